"""Which rows are drawn, and where copies of a text are found."""

from __future__ import annotations

import numpy as np
import pytest
from memorization.world import ROWS_PER_STEP, STEPS, Rows, world
from trajectories.experiments.memorization.sample import either, inclusion, occurrences, sample_rows


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


def test_the_probability_of_being_drawn_is_how_often_a_row_is_drawn() -> None:
    excluded = {*range(0, 8), *range(16, 22), 70}
    design = (10 * 8 + 5, 8, 23, 4)
    times = np.zeros(90)
    for seed in range(3000):
        times[sample_rows(*design, np.random.default_rng(seed), excluded)] += 1
    chance = inclusion(np.arange(90), *design, excluded)
    assert np.abs(times / 3000 - chance).max() < 4 * np.sqrt(0.25 / 3000)
    assert (chance[[*excluded, 80, 84, 89]] == 0).all()
    assert chance[22:24].min() > chance[24:32].max(), "few are left of that batch"


def test_an_even_design_draws_every_row_with_one_probability() -> None:
    n = STEPS * ROWS_PER_STEP
    assert np.allclose(inclusion(np.arange(0, n, 37), n, ROWS_PER_STEP, 1000, 10), 1000 / n)
    assert np.allclose(inclusion(np.arange(5), n, ROWS_PER_STEP, 10 * n, 10), 1.0)


def test_either_of_two_samples_draws_what_not_both_of_them_miss() -> None:
    assert either(np.array([0.2, 0.0, 1.0]), np.array([0.5, 0.3, 0.4])).tolist() == pytest.approx([0.6, 0.3, 1.0])
