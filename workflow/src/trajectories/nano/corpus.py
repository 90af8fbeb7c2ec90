"""Makes the embedded suite's corpus: real text and planted truth, a tokenizer, packed rows, and tables that say what was planted where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

from trajectories.nano import canaries, facts, grammar, occupations, tokenizer
from trajectories.nano.packing import Packed, pack
from trajectories.nano.planted import Sentence, generator
from trajectories.nano.settings import Training
from trajectories.nano.text import docstrings

_TOKENS_PER_CHARACTER = 0.6
"""More than any text needs: how much text is encoded is bounded by this; what is too much is not used."""


@dataclass
class Corpus:
    """A packed corpus with its truth tables by name."""

    packed: Packed
    tokenizer: Tokenizer
    truth: dict[str, pd.DataFrame]


def build(training: Training) -> Corpus:
    """Make the corpus; the same settings and packages give the same rows on any machine."""
    fact_table = facts.facts(training.facts, training.seed)
    grammar_sentences = grammar.sentences(training.grammar, training.seed)
    occupation_table, occupation_sentences = occupations.occupations(training.occupations, training.seed)
    second_table = facts.second_facts(training.facts, training.seed)
    planted = [*facts.sentences(fact_table, second_table), *grammar_sentences, *occupation_sentences]

    total = training.rows + training.never_seen
    documents = list(docstrings(training.text))
    documents = [documents[i] for i in generator(training.seed, "text").permutation(len(documents))]
    # twice what the rows can hold is enough to learn the tokenizer from, however many packages there are
    documents = _up_to(documents, 2 * total * training.row_tokens / _TOKENS_PER_CHARACTER)
    trained = tokenizer.train([*(text for _, text in documents), *(sentence.text for sentence in planted)], training.vocabulary)

    canary_table, copies = canaries.design(training)
    packed = pack(
        total,
        training.row_tokens,
        _encode_text(trained, documents, total * training.row_tokens),
        _encode_planted(trained, planted),
        {row.canary_id: np.array(row.input_ids, np.uint16) for row in canary_table.itertuples()},
        copies,
        generator(training.seed, "packing"),
        training.rows,
    )
    canary_table["incidental_grams"] = canaries.incidental(canary_table, copies, packed.rows, training.canaries.gram)
    canary_table["gram_tokens"] = training.canaries.gram
    steps = copies["row"] // training.rows_per_step
    canary_table["first_step"] = canary_table["canary_id"].map(steps.groupby(copies["canary_id"]).min()).astype("Int64")
    canary_table["last_step"] = canary_table["canary_id"].map(steps.groupby(copies["canary_id"]).max()).astype("Int64")
    exposures = {kind: _exposures(packed.documents, kind, training.rows_per_step) for kind in ("fact", "grammar", "occupation")}
    told = exposures["fact"].rename(columns={"source": "fact_id"})
    told[["form", "phrasing"]] = told.pop("variant").str.split(" ", expand=True)
    for table, form in ((fact_table, facts.FORWARD), (second_table, facts.SECOND_FACT)):
        first = told[told["form"] == form].groupby("fact_id")["step"].min()
        table["first_step"] = table["fact_id"].map(first).astype("Int64")
    truth = {
        "canaries": canary_table,
        "canary_exposures": copies.assign(step=steps),
        "facts": fact_table,
        "second_facts": second_table,
        "fact_exposures": told.astype({"phrasing": int}),
        "paradigms": grammar.pairs(training.grammar, training.seed, planted),
        "paradigm_exposures": exposures["grammar"].rename(columns={"source": "paradigm"}),
        "occupations": occupation_table,
        "occupation_exposures": exposures["occupation"]
        .rename(columns={"source": "occupation", "variant": "template"})
        .astype({"template": int}),
        "documents": packed.documents,
        "pronouns": packed.pronouns,
    }
    return Corpus(packed, trained, truth)


def _up_to(documents: list[tuple[str, str]], characters: float) -> list[tuple[str, str]]:
    total = np.cumsum([len(text) for _, text in documents])
    return documents[: int(np.searchsorted(total, characters)) + 1]


def _encode_text(trained: Tokenizer, documents: list[tuple[str, str]], tokens: int) -> list[tuple[str, np.ndarray]]:
    """Encode real documents until there are ``tokens`` of them."""
    found: list[tuple[str, np.ndarray]] = []
    total = 0
    for start in range(0, len(documents), 1000):
        if total >= tokens:
            break
        part = documents[start : start + 1000]
        for (source, _), encoding in zip(part, trained.encode_batch([text for _, text in part]), strict=True):
            found.append((source, np.array(encoding.ids, np.uint16)))
            total += len(encoding.ids) + 1
    return found


def _encode_planted(trained: Tokenizer, planted: list[Sentence]) -> list[tuple[Sentence, np.ndarray, np.ndarray]]:
    texts = sorted({text for sentence in planted for text in (sentence.text, sentence.swapped)})
    ids = dict(zip(texts, (np.array(e.ids, np.uint16) for e in trained.encode_batch(texts)), strict=True))
    return [(sentence, ids[sentence.text], ids[sentence.swapped]) for sentence in planted]


def _exposures(documents: pd.DataFrame, kind: str, rows_per_step: int) -> pd.DataFrame:
    chosen = documents.loc[documents["kind"] == kind, ["source", "row", "offset", "length", "variant"]]
    return chosen.assign(step=chosen["row"] // rows_per_step).reset_index(drop=True)
