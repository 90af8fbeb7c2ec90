"""What stimuli may ask for, and how token scores become an item's columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from extraction.tiny import asked, items_of, table_of
from trajectories.errors import UserError
from trajectories.extraction import items, measures
from trajectories.extraction.measures import Scores


def test_an_unknown_measure_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'greedy'"):
        measures.plan([{"name": "gredy", "options": {}}], "grammar.parquet")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'layers'"):
        measures.plan([{"name": "hidden", "options": {"layer": [1]}}], "grammar.parquet")


def test_a_measure_asked_for_twice_is_refused() -> None:
    with pytest.raises(UserError, match="asked for twice"):
        measures.plan([{"name": "hidden", "options": {"layers": [n]}} for n in (1, 2)], "x")


def test_no_measure_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="ask for no measure"):
        measures.plan([], "x")


def test_columns_are_those_of_the_contract_with_their_types() -> None:
    scores = Scores(
        np.array([0, 3, 5]),
        np.array([-1, -2, -4, -8, -16], np.float32),
        np.array([5, 6, 7, 8, 9], np.int32),
        np.array([True, False, True, True, True]),
        np.array([0.5, 0.25, 0.125, 2, 1], np.float32),
    )
    hits = np.array([True, False, False, True, True])
    plan = measures.plan(
        [{"name": "logprob", "options": {"token_logprobs": True}}, {"name": "greedy"}, {"name": "generate"}],
        "x",
    )
    table = measures.columns(plan, ["a", "b"], scores, hits)
    assert table.to_pylist() == [
        {
            "item_id": "a", "logprob": -7.0, "n_tokens": 3, "token_logprobs": [-1.0, -2.0, -4.0],
            "matched": 1, "memorized": False, "min_margin": 0.25, "hits": [True, False, False], "score": pytest.approx(1 / 3),
        },
        {
            "item_id": "b", "logprob": -24.0, "n_tokens": 2, "token_logprobs": [-8.0, -16.0],
            "matched": 2, "memorized": True, "min_margin": 1.0, "hits": [True, True], "score": 1.0,
        },
    ]  # fmt: skip
    assert table.schema.field("logprob").type == pa.float64()
    assert table.schema.field("token_logprobs").type == pa.list_(pa.float32())


def test_sums_are_taken_in_float64() -> None:
    many = 100_000
    scores = Scores.empty(np.array([many]))
    scores.logprob[:] = np.float32(-0.1)
    assert scores.logprob_sum()[0] == pytest.approx(many * float(np.float32(-0.1)), abs=1e-8)


def test_no_items_give_an_empty_table() -> None:
    plan = asked("greedy", "generate", "logprob")
    scores = Scores.empty(np.zeros(0, np.int64))
    assert measures.columns(plan, [], scores, np.zeros(0, bool)).num_rows == 0


def test_the_digest_changes_with_whatever_a_measurement_depends_on_and_nothing_else() -> None:
    plan, sequences = asked("logprob"), [[0, 1, 2], [0, 3]]
    digest = items_of(sequences, plan).digest()
    assert items_of(sequences, plan, paradigm=["a", "b"]).digest() == digest
    changed = [
        items_of([[0, 1, 2], [0, 4]], plan),
        items_of([[0, 1], [2, 0, 3]], plan),
        items_of(sequences, plan, start=[2, 1]),
        items_of(sequences, plan, end=[2, 2]),
        items_of(sequences[:1], plan),
    ]
    assert len({digest, *(c.digest() for c in changed)}) == 6
    named = asked("hidden", positions="noun")
    assert items_of(sequences, named, noun=[1, 1]).digest() != items_of(sequences, named, noun=[1, 0]).digest()


@pytest.mark.parametrize(("start", "end"), [(0, 2), (2, 2), (1, 4)])
def test_a_span_outside_its_sequence_is_refused(start: int, end: int) -> None:
    with pytest.raises(UserError, match="row 1 has the span"):
        items_of([[0, 1, 2], [0, 1, 2]], asked("logprob"), start=[1, start], end=[3, end])


def test_positions_outside_a_sequence_or_of_changing_number_are_refused() -> None:
    named = asked("hidden", positions="noun")
    with pytest.raises(UserError, match="lies outside its sequence"):
        items_of([[0, 1]], named, noun=[2])
    with pytest.raises(UserError, match="same number of positions"):
        items_of([[0, 1], [0, 1]], named, noun=pa.array([[0], [0, 1]]))
    with pytest.raises(UserError, match="'noun', which the stimuli lack"):
        items_of([[0, 1]], named)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UserError, match="lack the column 'end'"):
        items.from_table(table_of([[0, 1]]).drop_columns(["end"]), asked("logprob"), "x")
