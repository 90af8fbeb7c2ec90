"""Which rows are drawn, and where copies of a text are found."""

from __future__ import annotations

import numpy as np
import pytest
from memorization.world import ROWS_PER_STEP, STEPS, Rows, world
from trajectories.experiments.memorization.sample import occurrences, sample_rows


def drawn(size: int, strata: int = 10, seed: int = 1, **more: object) -> np.ndarray:
    return sample_rows(STEPS * ROWS_PER_STEP, ROWS_PER_STEP, size, strata, np.random.default_rng(seed), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [7, 130, 1000])
def test_strata_and_batches_give_equally_many_rows(size: int) -> None:
    rows = drawn(size)
    assert len(set(rows.tolist())) == size
    strata = np.bincount(rows * 10 // (STEPS * ROWS_PER_STEP), minlength=10)
    batches = np.bincount(rows // ROWS_PER_STEP, minlength=STEPS)
    assert strata.max() - strata.min() <= 1
    assert batches.max() <= -(-size // STEPS) + 1


def test_the_seed_decides_the_sample() -> None:
    assert drawn(200).tolist() == drawn(200).tolist()
    assert drawn(200).tolist() != drawn(200, seed=2).tolist()


def test_excluded_rows_are_never_drawn_and_a_batch_gives_what_it_has() -> None:
    excluded = set(range(0, STEPS * ROWS_PER_STEP, 2))
    rows = drawn(STEPS * ROWS_PER_STEP, exclude=excluded)
    assert sorted(rows) == sorted(set(range(STEPS * ROWS_PER_STEP)) - excluded)


def test_rows_of_a_batch_that_is_not_whole_are_left_out() -> None:
    rows = sample_rows(10 * 8 + 5, 8, 1000, 4, np.random.default_rng(1))
    assert rows.tolist() == list(range(80))


def test_every_copy_is_found_at_any_offset_as_by_comparing_all_places() -> None:
    tokens = np.random.default_rng(1).integers(0, 3, (200, 12)).astype(np.uint16)
    spans = tokens[[3, 50, 3], 2:7]
    found = set(occurrences(Rows(tokens), spans).itertuples(index=False, name=None))
    expected = {(s, r, o) for s in range(3) for r in range(200) for o in range(8) if (tokens[r, o : o + 5] == spans[s]).all()}
    assert found == expected
    assert len(expected) > 5


def test_copies_over_the_end_of_a_row_are_not_counted() -> None:
    tokens = np.arange(40, dtype=np.uint16).reshape(4, 10)
    assert occurrences(Rows(tokens), np.arange(8, 13)[None]).empty
    assert occurrences(Rows(tokens), np.arange(5, 10)[None])[["row", "offset"]].to_numpy().tolist() == [[0, 5]]


def test_a_long_order_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, spans = Rows(world().standard), world().standard[::50, 8:16]
    whole = occurrences(reader, spans)
    assert reader.read == [STEPS * ROWS_PER_STEP]
    monkeypatch.setattr("trajectories.experiments.memorization.sample._CHUNK_TOKENS", 10_000)
    pieces = Rows(world().standard)
    assert occurrences(pieces, spans).equals(whole)
    assert len(pieces.read) > 10


def test_spans_longer_than_a_row_or_none_at_all_are_found_nowhere() -> None:
    reader = Rows(np.zeros((3, 4), np.uint16))
    assert occurrences(reader, np.zeros((1, 5))).empty
    assert occurrences(reader, np.empty((0, 2))).empty
