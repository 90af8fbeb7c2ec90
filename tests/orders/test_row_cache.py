"""Rows read from the Hub are kept for later runs, by content, and never believed without a check."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hub.server import LoopbackHub
from trajectories import tables
from trajectories.orders import cache as row_cache
from trajectories.orders import open_order
from trajectories.orders.cache import RowCache
from trajectories.orders.remote import write_remote
from trajectories.orders.writer import write_order
from trajectories.suites import Order

ROWS = np.random.default_rng(3).integers(0, 50304, (400, 33)).astype(np.uint16)
NAME = "EleutherAI/pile"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "rows"


@pytest.fixture
def folder(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRAJECTORIES_CACHE", str(tmp_path / "cache"))
    local = write_order(tmp_path / "local", "pile", ROWS, 8, shard_bytes=5003)
    hub.add(NAME, {"main": tmp_path / "local"}, kind="datasets")
    shards = [s["name"] for s in local["shards"]]
    write_remote(tmp_path / "order", "pile", Order(row_tokens=33, repository=NAME, index="document.idx", shards=shards), 8, {})
    return tmp_path / "order"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with LoopbackHub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


def cost(hub: LoopbackHub, folder: Path, wanted: np.ndarray) -> int:
    """Bytes that a new reader takes from the Hub for some rows, which must be right."""
    before = hub.sent("^/storage/")
    np.testing.assert_array_equal(open_order(folder)[wanted], ROWS[wanted])
    return hub.sent("^/storage/") - before


def test_rows_once_read_cost_nothing_again_whatever_they_are_asked_along_with(folder: Path, hub: LoopbackHub) -> None:
    assert cost(hub, folder, np.arange(0, 400, 50)) == 8 * 66
    assert cost(hub, folder, np.arange(0, 400, 50)) == 0
    assert cost(hub, folder, np.arange(0, 400, 25)) == 8 * 66
    assert cost(hub, folder, np.array([375, 50, 50])) == 0


def test_rows_are_found_under_another_commit_with_the_same_shards(folder: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    cost(hub, folder, np.arange(10))
    hub.repositories["datasets", NAME].commit("main", tmp_path / "local")
    manifest = tables.read_json(folder / "order.json")
    manifest["remote"]["revision"] = hub.repositories["datasets", NAME].branches["main"]
    tables.write_json(folder / "order.json", manifest)
    assert cost(hub, folder, np.arange(10)) == 0


@pytest.mark.parametrize(
    ("damage", "again"),
    [
        (lambda content: content[:-200] + bytes([content[-200] ^ 1]) + content[-199:], 1),
        (lambda content: content[: -66 * 2 - 1], 3),
        (lambda content: content[:100], 20),
        (lambda content: b"", 20),
    ],
    ids=["byte", "end", "index", "all"],
)
def test_what_is_damaged_is_read_again(folder: Path, hub: LoopbackHub, kept: Path, damage, again: int) -> None:
    wanted = np.arange(0, 400, 20)
    cost(hub, folder, wanted)
    (file,) = kept.glob("*/*.rows")
    file.write_bytes(damage(file.read_bytes()))
    assert cost(hub, folder, wanted) == again * 66
    assert cost(hub, folder, wanted) == 0


def test_rows_are_never_taken_for_others(kept: Path) -> None:
    """The digest holds the number too: an index whose numbers were changed gives nothing."""
    cache = RowCache(kept / "a", 33)
    cache.put(np.arange(5), ROWS[:5])
    (file,) = kept.glob("*/*.rows")
    content = bytearray(file.read_bytes())
    at = content.index((4).to_bytes(8, "little"), 128)
    content[at] = 9
    file.write_bytes(content)
    out = np.zeros((2, 33), np.uint16)
    assert RowCache(kept / "a", 33).take(np.array([3, 9]), out).tolist() == [True, False]


def test_a_folder_that_cannot_be_written_is_said_once_and_rows_come_all_the_same(
    folder: Path, hub: LoopbackHub, kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("a file where the folder should be")
    monkeypatch.setattr("trajectories.orders.reader._AT_ONCE", 66)
    assert cost(hub, folder, np.arange(0, 400, 100)) == 4 * 66
    assert sum("are not kept for later runs" in r.getMessage() for r in caplog.records) == 1


def test_the_rows_that_were_used_last_stay_when_there_are_too_many(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = [RowCache(kept / name, 33) for name in "ab"]
    for i, cache in enumerate(caches):
        cache.put(np.arange(10), ROWS[:10])
        for file in kept.glob(f"{'ab'[i]}/*"):
            os.utime(file, (i, i))
    size = sum(f.stat().st_size for f in kept.glob("*/*"))
    monkeypatch.setattr(row_cache, "LARGEST", size + 10)
    monkeypatch.setattr(row_cache, "_TRIM_EVERY", 1)
    out = np.zeros((10, 33), np.uint16)
    caches[0].take(np.arange(10), out)
    caches[1].put(np.arange(20, 30), ROWS[20:30])
    assert [c.take(np.arange(10), out).all() for c in caches] == [True, False]
    assert caches[1].take(np.arange(20, 30), out).all()


def _fill(folder: Path, seed: int) -> bool:
    cache, random, right = RowCache(folder, 33), np.random.default_rng(seed), True
    for _ in range(30):
        rows = np.sort(random.choice(400, 20, replace=False))
        out = np.zeros((20, 33), np.uint16)
        found = cache.take(rows, out)
        right &= np.array_equal(out[found], ROWS[rows[found]])
        if not found.all():
            cache.put(rows[~found], ROWS[rows[~found]])
    return right


def test_several_processes_share_a_folder(kept: Path) -> None:
    with ProcessPoolExecutor(3) as pool:
        assert all(pool.map(_fill, [kept / "a"] * 3, range(3)))
    out = np.zeros((400, 33), np.uint16)
    found = RowCache(kept / "a", 33).take(np.arange(400), out)
    np.testing.assert_array_equal(out[found], ROWS[found])
    assert found.mean() > 0.9
