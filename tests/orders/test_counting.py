"""Counts through an order: exact where it is read whole, unbiased with honest standard errors where it is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from hub.server import LoopbackHub
from trajectories.errors import UserError
from trajectories.orders import RowReader, open_order
from trajectories.orders.counting import count, sampled, shares
from trajectories.orders.remote import write_remote
from trajectories.orders.terms import Terms
from trajectories.orders.writer import write_order
from trajectories.suites import Order

ROW_TOKENS, SHARD_BYTES, PER_STEP = 17, 501, 4
SEQUENCES = {"one": [[1]], "two": [[1, 2], [3]], "three": [[1, 2, 4]], "never": [[99]]}
PAIRS = [("one", "two"), ("one", "never"), ("two", "three")]


def rows(n: int) -> np.ndarray:
    """Rows in which terms become more frequent, with rare ones in few rows."""
    random = np.random.default_rng(3)
    tokens = random.integers(0, 9, (n, ROW_TOKENS))
    return np.where(random.random((n, ROW_TOKENS)) < np.linspace(0.9, 0.3, n)[:, None], tokens, 8).astype(np.uint16)


def order(folder: Path, n: int) -> RowReader:
    write_order(folder, "standard", rows(n), PER_STEP, shard_bytes=SHARD_BYTES)
    return open_order(folder)


@pytest.mark.parametrize("chunk", [1, 5 * ROW_TOKENS, 2**19])
def test_an_order_in_odd_shards_is_counted_exactly_up_to_each_step(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trajectories.orders.counting._CHUNK", chunk)
    assert gcd(SHARD_BYTES, ROW_TOKENS * 2) == 1
    terms = Terms(SEQUENCES, PAIRS)
    found = count(order(tmp_path, 103), terms, [0, 1, 3, 25], 10**9, np.random.default_rng(0))
    for step, counted in zip(found.steps, found.count, strict=True):
        assert counted.tolist() == terms.count(rows(103)[: step * PER_STEP])[0].tolist()
    assert not found.stderr.any()
    assert (found.rows, found.read) == (100, 100)
    assert "PROGRESS count in standard 100/100 row" in capsys.readouterr().err


def test_an_order_on_the_hub_is_counted_like_a_local_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    local = order(tmp_path / "local", 40)
    with LoopbackHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add("someone/order", {"main": tmp_path / "local"}, kind="datasets")
        names = [shard["name"] for shard in local.manifest["shards"]]
        about = Order(row_tokens=ROW_TOKENS, rows=40, repository="someone/order", index="document.idx", shards=names)
        write_remote(tmp_path / "remote", "standard", about, PER_STEP, {})
        terms = Terms(SEQUENCES, PAIRS)
        readers = open_order(tmp_path / "remote"), local
        there, here = (count(reader, terms, [2, 5, 10], 20 * ROW_TOKENS, np.random.default_rng(5)) for reader in readers)
    np.testing.assert_array_equal(there.count, here.count)
    np.testing.assert_array_equal(there.stderr, here.stderr)
    assert 0 < here.read < here.rows


def test_short_intervals_are_read_whole_and_the_others_alike() -> None:
    assert shares([4, 4, 100, 1000], 408) == [4, 4, 100, 300]
    assert shares([1000, 1000, 8], 308) == [150, 150, 8]
    assert shares([5, 0, 3], 100) == [5, 0, 3]
    assert shares([1, 50, 50], 0) == [1, 2, 2]


@pytest.mark.parametrize(("length", "n"), [(10, 3), (7, 6), (101, 2), (5, 5)])
def test_every_row_has_the_same_chance_to_be_read(length: int, n: int) -> None:
    random = np.random.default_rng(1)
    draws = 4000
    met = np.zeros(length)
    for _ in range(draws):
        chosen = sampled(30, length, n, random)
        assert len(set(chosen.tolist())) == n
        assert (np.diff(chosen) > 0).all()
        met[chosen - 30] += 1
    share = n / length
    assert np.abs(met / draws - share).max() < 5 * np.sqrt(share * (1 - share) / draws) + 1e-12


class InMemory:
    """An order's bytes without a file."""

    def __init__(self, content: np.ndarray):
        self.content = content.astype("<u2").tobytes()

    def read(self, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        out[:] = b"".join(self.content[start:stop] for start, stop in ranges)

    def verify(self) -> None: ...


def test_estimates_from_samples_are_unbiased_and_their_errors_are_told() -> None:
    terms, steps, draws, n = Terms(SEQUENCES, PAIRS), [0, 2, 20, 100, 250], 300, 1000
    off, errors = np.zeros((2, draws, len(steps), len(terms)))
    manifest = {"order": "shuffled", "row_tokens": ROW_TOKENS, "rows_per_step": PER_STEP, "rows": n}
    for i in range(draws):
        random = np.random.default_rng([9, i])
        shuffled = random.permutation(rows(n))
        found = count(RowReader(manifest, InMemory(shuffled)), terms, steps, 300 * ROW_TOKENS, random)
        off[i] = found.count - [terms.count(shuffled[: step * PER_STEP])[0] for step in steps]
        errors[i] = found.stderr
    assert not off[:, :3].any()
    assert not errors[:, :3].any()
    spread = off[:, 3:].std(axis=0, ddof=1)
    assert (np.abs(off[:, 3:].mean(axis=0)) <= 4 * spread / np.sqrt(draws)).all()
    assert (np.abs(off) <= 1.96 * errors).mean(axis=0).min() > 0.92
    ratio = np.sqrt((errors[:, 3:, :2] ** 2).mean(axis=0)) / spread[:, :2]
    assert ((ratio > 0.85) & (ratio < 1.2)).all(), "of frequent terms, whose error is not that of a single occurrence"


def test_a_term_that_the_sample_lacks_is_not_said_to_be_absent(tmp_path: Path) -> None:
    found = count(order(tmp_path, 400), Terms(SEQUENCES), [100], 40 * ROW_TOKENS, np.random.default_rng(0))
    assert found.count[0, 3] == 0
    assert found.stderr[0, 3] == pytest.approx(np.sqrt(10**2 * 0.9))


def test_estimates_hold_for_an_order_that_repeats_itself(tmp_path: Path) -> None:
    """Rows in a rhythm, which a sample of evenly spaced rows would miss or meet each time."""
    tokens = np.where(np.arange(400)[:, None] % 10 == 3, 1, 8) * np.ones(ROW_TOKENS, int)
    write_order(tmp_path, "standard", tokens.astype(np.uint16), PER_STEP, shard_bytes=SHARD_BYTES)
    reader, terms = open_order(tmp_path), Terms({"one": [[1]]})
    draws = [count(reader, terms, [100], 40 * ROW_TOKENS, np.random.default_rng(seed)) for seed in range(400)]
    counts, errors = (np.array([getattr(found, name)[0, 0] for found in draws]) for name in ("count", "stderr"))
    truth = 40 * (ROW_TOKENS - 1)
    assert abs(counts.mean() - truth) < 4 * counts.std() / np.sqrt(len(draws))
    assert np.sqrt((errors**2).mean()) == pytest.approx(counts.std(), rel=0.15)


def test_no_terms_cost_no_reading(tmp_path: Path) -> None:
    found = count(order(tmp_path, 40), Terms({}), [2, 10], 10**9, np.random.default_rng(0))
    assert found.count.shape == found.stderr.shape == (2, 0)
    assert (found.rows, found.read) == (40, 0)


def test_a_step_beyond_the_orders_end_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 40 rows, but step 11 has seen 44"):
        count(order(tmp_path, 40), Terms(SEQUENCES), [11], 10**9, np.random.default_rng(0))
