"""What counting finds in the planted corpus is what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from trajectories.nano.corpus import Corpus
from trajectories.nano.settings import Training
from trajectories.orders import RowReader, open_order
from trajectories.orders.counting import count
from trajectories.orders.terms import Terms
from trajectories.orders.writer import write_order


@pytest.fixture(scope="module")
def reader(corpus: Corpus, training: Training, tmp_path_factory: pytest.TempPathFactory) -> RowReader:
    folder = tmp_path_factory.mktemp("order")
    write_order(folder, "standard", corpus.packed.rows[: training.rows], training.rows_per_step, training.shard_bytes)
    return open_order(folder)


def encoded(corpus: Corpus, text: str) -> list[int]:
    return list(corpus.tokenizer.encode(text).ids)


def test_sentences_of_facts_are_counted_as_often_as_they_were_planted(corpus: Corpus, training: Training, reader: RowReader) -> None:
    facts, steps = corpus.truth["facts"], [0, 1, 7, 30, training.steps]
    sequences = {row.fact_id: [encoded(corpus, prompt + row.answer) for prompt in row.prompts] for row in facts.itertuples()}
    found = count(reader, Terms(sequences), steps, 10**9, np.random.default_rng(0))
    exposures = corpus.truth["fact_exposures"].query("form == 'forward'")
    for step, counted in zip(found.steps, found.count, strict=True):
        expected = exposures[exposures["step"] < step]["fact_id"].value_counts()
        assert counted.tolist() == facts["fact_id"].map(expected).fillna(0).tolist()
    assert found.count[-1].tolist() == facts["frequency"].tolist()


def test_subject_and_object_meet_in_as_many_documents_as_tell_the_fact_in_either_direction(
    corpus: Corpus, training: Training, reader: RowReader
) -> None:
    facts = corpus.truth["facts"]
    names = sorted({*facts["subject"], *facts["object"]})
    sequences = {name: [encoded(corpus, f" {name}"), encoded(corpus, name)] for name in names}
    pairs = list(facts[["subject", "object"]].itertuples(index=False, name=None))
    found = count(reader, Terms(sequences, pairs), [training.steps], 10**9, np.random.default_rng(0))
    assert found.count[-1, len(names) :].tolist() == (facts["frequency"] + facts["reversed_count"]).tolist()


def test_occupations_meet_pronouns_as_often_as_they_were_planted(corpus: Corpus, training: Training, reader: RowReader) -> None:
    table = corpus.truth["occupations"]
    sequences = {}
    for row in table.itertuples():
        for gender in ("feminine", "masculine"):
            answers = getattr(row, f"{gender}_answers")
            sequences[f"{row.occupation}/{gender}"] = [encoded(corpus, p + a) for p, a in zip(row.prompts, answers, strict=True)]
    found = count(reader, Terms(sequences), [training.steps], 10**9, np.random.default_rng(0)).count[-1].reshape(-1, 2)
    assert found[:, 0].tolist() == table["feminine"].tolist()
    assert found.sum(axis=1).tolist() == table["sentences"].tolist()


def test_canaries_are_counted_where_no_token_of_theirs_is_a_target_only(corpus: Corpus, training: Training, reader: RowReader) -> None:
    canaries, copies = corpus.truth["canaries"], corpus.truth["canary_exposures"]
    ends = copies["offset"] + copies["canary_id"].map(canaries.set_index("canary_id")["input_ids"].map(len))
    steps = [0, 7, 30, training.steps]
    sequences = {row.canary_id: [list(row.input_ids)] for row in canaries.itertuples()}
    found = count(reader, Terms(sequences), steps, 10**9, np.random.default_rng(0))
    for step, counted in zip(found.steps, found.count, strict=True):
        expected = copies.loc[(ends < training.row_tokens) & (copies["step"] < step), "canary_id"].value_counts()
        assert counted.tolist() == canaries["canary_id"].map(expected).fillna(0).tolist()
    assert found.count[-1].sum() > 0
