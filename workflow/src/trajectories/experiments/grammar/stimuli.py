"""Minimal pairs as stimuli: each sentence whole, after one end-of-text token, as lm-evaluation-harness scores BLiMP.

The harness that made the published v0 results (0.3) put nothing between that token and the sentence; since 0.4 it puts a space there, which
``grammar.stimuli.leading_space`` does too.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from trajectories import data
from trajectories.errors import UserError
from trajectories.experiments.grammar import ngrams
from trajectories.stimuli import Measure, Stimuli, StimuliContext

COLUMNS = ["set", "paradigm", "phenomenon", "field", "pair", "good", "bad", "seen", "frequency"]


def stimuli(context: StimuliContext) -> Stimuli:
    """Both sentences of every chosen pair, to be scored whole.

    Raises:
        UserError: planted pairs are asked for on a suite without planted truth.
    """
    sets = context.settings.sets
    if sets == "auto":
        sets = ["planted"] if context.has_truth else ["blimp"]
    pairs, notes, sources = [], [], {}
    for name in dict.fromkeys(sets):
        if name == "planted":
            if not context.has_truth:
                raise UserError(f"Suite '{context.suite.name}' has no planted paradigms; leave 'planted' out of grammar.stimuli.sets.")
            found = planted(context.truth("paradigms"))
        else:
            found = blimp(Path(context.data("blimp")))
            sources["blimp"] = data.sources("blimp")
        pairs.append(_sampled(found, context.settings.pairs, context.generator(f"grammar pairs {name}")))
    table = pd.concat(pairs, ignore_index=True)
    identical = table["good"] == table["bad"]
    if identical.any():
        notes.append(
            f"{identical.sum()} of {len(table):,} pairs consist of two identical sentences "
            f"({', '.join(sorted(set(table['paradigm'][identical])))}); they count as right, as they do in lm-evaluation-harness since 0.4."
        )
    items = _items(table, context)
    if context.settings.ngrams:
        items, said = _with_ngrams(items, context)
        notes.append(said)
    return Stimuli(items, [Measure("logprob")], notes=notes, sources=sources)


def _with_ngrams(items: pd.DataFrame, context: StimuliContext) -> tuple[pd.DataFrame, str]:
    """The items with a column ``logprob_<n>gram`` per n, from a training order on this machine, and what the report should say."""
    here = [n for n, order in context.suite.orders.items() if not order.held_out and order.repository is None and n in context.orders]
    if not here:
        return items, "No n-gram models: the training order does not lie on this machine."
    name, reader = here[0], context.orders[here[0]]
    longest, vocabulary = context.settings.ngrams, context.tokenizer().get_vocab_size()
    sentences = items["input_ids"].tolist()
    model, tokens = ngrams.counted(reader, sentences, longest, vocabulary, context.settings.ngram_tokens)
    found = np.stack([model.logprob(ids, start) for ids, start in zip(sentences, items["start"], strict=True)])
    return items.assign(**{f"logprob_{n + 1}gram": found[:, n] for n in range(longest)}), (
        f"N-gram models up to n = {longest} (interpolated, Witten and Bell's discounting) are counted on {tokens:,} of "
        f"{len(reader) * reader.row_tokens:,} tokens of order '{name}', and score each sentence as the models do."
    )


def planted(truth: pd.DataFrame) -> pd.DataFrame:
    """The planted pairs of an embedded suite, with :data:`COLUMNS`; those seen in training are a set of their own."""
    name = np.where(truth["seen"], "planted-seen", "planted")
    return pd.DataFrame(
        {**truth[["paradigm", "phenomenon", "field", "good", "bad", "seen", "frequency"]], "set": name, "pair": truth["pair_id"]}
    )[COLUMNS]


def files(folder: Path) -> list[Path]:
    """BLiMP's files, one per paradigm, sorted by name; they lie in ``folder`` or its ``data``."""
    found = sorted(folder.glob("*.jsonl")) or sorted((folder / "data").glob("*.jsonl"))
    if not found:
        raise UserError(f"No BLiMP file (*.jsonl) in '{folder}' or its 'data'; point 'data_dir' at a folder that holds 'blimp/data'.")
    return found


def blimp(folder: Path) -> pd.DataFrame:
    """BLiMP's pairs, with :data:`COLUMNS`.

    A phenomenon is the file's ``linguistics_term``; one paradigm writes its field ``syntax/semantics``, the others ``syntax_semantics``,
    which is taken for the same.

    Raises:
        UserError: no file, or one that does not hold what BLiMP's files hold.
    """
    rows = []
    for path in files(folder):
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                pair = json.loads(line)
                name = pair["UID"], pair["linguistics_term"], pair["field"].replace("/", "_")
                rows.append(("blimp", *name, f"{pair['UID']}/{pair['pairID']}", pair["sentence_good"], pair["sentence_bad"], False, -1))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"'{path}' is not a file of BLiMP as expected ({error!r}); fetch it again.") from error
    return pd.DataFrame(rows, columns=COLUMNS)


def _sampled(pairs: pd.DataFrame, most: int | None, generator: np.random.Generator) -> pd.DataFrame:
    """At most so many pairs of each paradigm of a set, at random, in their original order."""
    if most is None:
        return pairs
    rank = pairs.assign(key=generator.random(len(pairs))).groupby(["set", "paradigm"])["key"].rank(method="first")
    return pairs[rank <= most]


def _items(pairs: pd.DataFrame, context: StimuliContext) -> pd.DataFrame:
    """Two rows per pair, the good sentence first."""
    tokenizer = context.tokenizer()
    pair_id = (pairs["set"] + "/" + pairs["pair"].astype(str)).to_numpy()
    parts = []
    for variant in ("good", "bad"):
        space = " " if context.settings.leading_space else ""
        encoded = tokenizer.encode_batch([space + sentence for sentence in pairs[variant]], add_special_tokens=False)
        ids = [[context.suite.end_of_text, *e.ids] for e in encoded]
        part = pairs[["set", "paradigm", "phenomenon", "field", "seen", "frequency"]].reset_index(drop=True)
        part.insert(0, "item_id", pair_id + f"/{variant}")
        part.insert(1, "input_ids", pd.Series(ids, dtype=object))
        part.insert(2, "start", 1)
        part.insert(3, "end", [len(i) for i in ids])
        part.insert(4, "pair_id", pair_id)
        part.insert(5, "variant", variant)
        part["identical"] = (pairs["good"] == pairs["bad"]).to_numpy()
        parts.append(part)
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
