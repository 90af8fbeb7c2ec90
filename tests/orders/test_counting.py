"""Counting up to each of several steps: all rows, or a sample of them with standard errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trajectories.errors import UserError
from trajectories.orders import RowReader, open_order
from trajectories.orders.counting import Counts, count, sampled, shares
from trajectories.orders.terms import Terms
from trajectories.orders.writer import write_order

ROWS, ROW_TOKENS, ROWS_PER_STEP, STEPS = 1200, 33, 10, [0, 1, 3, 20, 60, 120]
TERMS = Terms(
    {"often": [[1]], "seldom": [[2, 3]], "never": [[9, 9]], "two forms": [[4], [5, 1]]}, [("often", "seldom"), ("never", "often")]
)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Rows whose counts differ much from row to row, since each prefers tokens of its own."""
    random = np.random.default_rng(2)
    leaning = random.dirichlet(np.full(8, 0.5), ROWS).cumsum(axis=1)
    return (random.random((ROWS, ROW_TOKENS, 1)) > leaning[:, None, :-1]).sum(axis=2).astype(np.uint16)


@pytest.fixture(scope="module")
def reader(rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> RowReader:
    folder = tmp_path_factory.mktemp("order")
    write_order(folder, "standard", rows, ROWS_PER_STEP, shard_bytes=20_001)
    return open_order(folder)


@pytest.fixture(scope="module")
def truth(rows: np.ndarray) -> np.ndarray:
    """Cumulative counts, each step's from its own rows alone [steps, columns]."""
    return np.array([TERMS.count(rows[: step * ROWS_PER_STEP])[0] for step in STEPS])


def counted(reader: RowReader, share: float, seed: int = 0) -> Counts:
    return count(reader, TERMS, STEPS, int(share * ROWS) * ROW_TOKENS, np.random.default_rng(seed))


def test_cumulative_counts_are_those_of_the_rows_below_each_step(
    reader: RowReader, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trajectories.orders.counting._CHUNK", 7 * ROW_TOKENS)
    found = counted(reader, 1)
    np.testing.assert_array_equal(found.count, truth)
    assert not found.stderr.any()
    assert (found.steps, found.rows, found.read) == (STEPS, ROWS, ROWS)
    assert (np.diff(found.count[:, :2], axis=0) > 0).all(), "the steps' counts differ, or this shows nothing"


def test_rows_behind_the_last_step_are_not_looked_at(reader: RowReader, truth: np.ndarray) -> None:
    found = count(reader, TERMS, STEPS[:4], 10**9, np.random.default_rng(0))
    np.testing.assert_array_equal(found.count, truth[:4])
    assert found.rows == found.read == 200


def test_a_step_that_the_order_does_not_reach_is_one_sentence(reader: RowReader) -> None:
    with pytest.raises(UserError, match="has 1200 rows, but step 121 has seen 1210"):
        count(reader, TERMS, [1, 121], 10**9, np.random.default_rng(0))


def test_no_terms_cost_no_reading(reader: RowReader) -> None:
    found = count(reader, Terms({}), STEPS, 10**9, np.random.default_rng(0))
    assert found.count.shape == found.stderr.shape == (len(STEPS), 0)
    assert (found.rows, found.read) == (ROWS, 0)


def test_early_steps_are_exact_where_there_is_room_for_them(reader: RowReader, truth: np.ndarray) -> None:
    found = counted(reader, 0.25)
    assert found.read == pytest.approx(0.25 * ROWS, abs=3)
    np.testing.assert_array_equal(found.count[:3], truth[:3])
    assert not found.stderr[:3].any()
    assert (found.stderr[3:] > 0).all()


def test_samples_are_unbiased_and_their_standard_errors_are_the_spread(reader: RowReader, truth: np.ndarray) -> None:
    draws = [counted(reader, 0.25, seed) for seed in range(300)]
    counts, stderr = np.array([d.count for d in draws]), np.array([d.stderr for d in draws])
    spread = counts.std(axis=0, ddof=1)
    for step in (3, 4, 5):
        for column in (0, 1, 3, 4):  # all that occur
            of = f"step {STEPS[step]}, column {column}"
            off = counts[:, step, column].mean() - truth[step, column]
            assert abs(off) < 4 * spread[step, column] / np.sqrt(len(draws)), of
            told = np.sqrt((stderr[:, step, column] ** 2).mean())
            assert told == pytest.approx(spread[step, column], rel=0.17), of  # four standard errors of a spread from 300 draws
            covered = np.abs(counts[:, step, column] - truth[step, column]) <= 1.96 * stderr[:, step, column]
            assert covered.mean() > 0.88, of


def test_what_no_row_of_a_sample_holds_is_not_certainly_absent(reader: RowReader) -> None:
    found = counted(reader, 0.25)
    weights = np.diff([0, *STEPS]) * ROWS_PER_STEP / np.maximum(shares((np.diff([0, *STEPS]) * ROWS_PER_STEP).tolist(), 300), 1)
    one = np.sqrt((weights**2 * (1 - 1 / np.maximum(weights, 1)))[3:])
    assert not found.count[:, 2].any()
    np.testing.assert_allclose(found.stderr[3:, 2], np.maximum.accumulate(one))
    assert (found.stderr[3:] >= found.stderr[3:, [2]]).all()


@pytest.mark.parametrize(("first", "length", "n"), [(0, 10, 10), (7, 10, 3), (5, 100, 99), (0, 3, 2), (4, 0, 0)])
def test_a_sample_has_different_rows_of_its_interval(first: int, length: int, n: int) -> None:
    for seed in range(50):
        found = sampled(first, length, n, np.random.default_rng(seed))
        assert len(set(found.tolist())) == len(found) == n
        assert ((found >= first) & (found < first + length)).all()


def test_every_row_has_the_same_chance() -> None:
    random = np.random.default_rng(5)
    drawn = np.bincount(np.concatenate([sampled(0, 10, 3, random) for _ in range(4000)]), minlength=10) / 4000
    np.testing.assert_allclose(drawn, 0.3, atol=4 * np.sqrt(0.3 * 0.7 / 4000))


@pytest.mark.parametrize("rows", [0, 5, 50, 110, 111, 200])
def test_shares_are_within_the_intervals_and_all_is_read_where_there_is_room(rows: int) -> None:
    lengths = [1, 0, 100, 10]
    found = shares(lengths, rows)
    assert all(min(2, length) <= n <= length for n, length in zip(found, lengths, strict=True))
    assert sum(found) <= max(rows, 5)
    assert (found == lengths) == (rows >= 111)


def test_a_sample_of_an_order_is_the_same_each_time(reader: RowReader, tmp_path: Path) -> None:
    one, again, other = (counted(reader, 0.1, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.count, again.count)
    np.testing.assert_array_equal(one.stderr, again.stderr)
    assert (one.count != other.count).any()
