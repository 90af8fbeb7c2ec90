"""Orders on the Hub: an index that asks for sizes, and rows read by range."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub.server import LoopbackHub
from hypothesis import given, settings
from hypothesis import strategies as st
from trajectories import tables
from trajectories.errors import UserError
from trajectories.orders import RowReader, open_order
from trajectories.orders.cache import RowCache
from trajectories.orders.remote import WASTE, HubShards, _Piece, joined, write_remote
from trajectories.orders.writer import write_order
from trajectories.suites import Order

ROWS = np.random.default_rng(1).integers(0, 50304, (640, 65)).astype(np.uint16)
REPOSITORY = "EleutherAI/pile-standard-pythia-preshuffled"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TRAJECTORIES_CACHE", str(tmp_path / "cache"))
    with LoopbackHub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


@pytest.fixture
def order(hub: LoopbackHub, tmp_path: Path) -> Order:
    local = write_order(tmp_path / "local", "pile", ROWS, 64, shard_bytes=20011)
    hub.add(REPOSITORY, {"main": tmp_path / "local"}, kind="datasets")
    return Order(row_tokens=65, rows=640, repository=REPOSITORY, index="document.idx", shards=[s["name"] for s in local["shards"]])


@pytest.fixture
def folder(order: Order, tmp_path: Path) -> Path:
    write_remote(tmp_path / "remote", "pile", order, 64, {})
    return tmp_path / "remote"


def test_rows_by_range_equal_the_rows_that_were_written(folder: Path) -> None:
    reader = open_order(folder)
    wanted = np.array([0, 1, 2, 639, 153, 154, 300, 153])
    assert (len(reader), reader.row_tokens, reader.rows_per_step) == (640, 65, 64)
    np.testing.assert_array_equal(reader[wanted], ROWS[wanted])


def test_a_sample_costs_its_own_bytes_and_neighbours_share_a_request(folder: Path, hub: LoopbackHub) -> None:
    before = len(hub.requests), hub.sent("^/storage/")
    open_order(folder)[np.array([10, 11, 12, 400])]
    assert hub.sent("^/storage/") - before[1] == 4 * 65 * 2
    asked = [r for r in hub.requests[before[0] :] if "/storage/" in r.path]
    assert len(asked) == 2


def test_the_hub_is_asked_once_for_each_shards_address_however_many_reads_follow(folder: Path, hub: LoopbackHub) -> None:
    reader = open_order(folder)
    for start in range(0, 640, 40):
        np.testing.assert_array_equal(reader[np.arange(start, 640, 41)], ROWS[start::41])
    assert len(hub.asked("/resolve/")) == 5


def test_a_long_read_tells_how_far_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("trajectories.orders.reader._LONG", 100)
    monkeypatch.setattr("trajectories.orders.reader._AT_ONCE", 50 * 130)
    np.testing.assert_array_equal(open_order(folder)[::2], ROWS[::2])
    assert "PROGRESS read pile 320/320 row" in capsys.readouterr().err


def test_the_index_names_sizes_hashes_and_the_commit_that_the_hub_tells(folder: Path, tmp_path: Path) -> None:
    reader = open_order(folder)
    shards = reader.manifest["shards"]
    assert [s["bytes"] for s in shards] == [20011] * 4 + [ROWS.nbytes - 4 * 20011]
    local = {s["name"]: s["sha256"] for s in open_order(tmp_path / "local").manifest["shards"]}
    assert {s["name"]: s["sha256"] for s in shards} == local
    assert len(reader.manifest["remote"]["revision"]) == 40


def test_the_number_of_rows_follows_from_the_sizes_where_the_suite_does_not_say(order: Order, tmp_path: Path) -> None:
    write_remote(tmp_path / "r", "pile", order.model_copy(update={"rows": None}), 64, {})
    assert len(open_order(tmp_path / "r")) == 640


def test_a_suite_that_claims_more_rows_than_the_hub_has_is_refused(order: Order, tmp_path: Path) -> None:
    write_remote(tmp_path / "r", "pile", order.model_copy(update={"rows": 641}), 64, {})
    with pytest.raises(UserError, match="too few for 641 rows"):
        open_order(tmp_path / "r")


def test_a_shard_that_the_hub_does_not_have_is_named(order: Order, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no 'document-9\.bin'"):
        write_remote(tmp_path / "r", "pile", order.model_copy(update={"shards": ["document-9.bin"]}), 64, {})


def test_an_order_that_is_not_published_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not published"):
        write_remote(tmp_path / "r", "v0", Order(row_tokens=2049), 1024, {})


def test_no_network_is_one_sentence(folder: Path, order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("trajectories.hub.client._sleep", lambda seconds: None)
    with pytest.raises(UserError, match="check the network"):
        open_order(folder)[0]
    with pytest.raises(UserError, match="check the network"):
        write_remote(tmp_path / "r", "pile", order, 64, {})


def test_a_shard_that_is_not_the_one_of_the_index_is_refused(folder: Path) -> None:
    manifest = tables.read_json(folder / "order.json")
    manifest["shards"][0]["sha256"] = "0" * 64
    tables.write_json(folder / "order.json", manifest)
    with pytest.raises(UserError, match=r"another content of 'document-00000-of-00004\.bin'"):
        open_order(folder)[0]


def test_a_server_that_ignores_ranges_is_refused(folder: Path, hub: LoopbackHub) -> None:
    hub.misbehave("no-range", r"document-.*\.bin", times=100)
    with pytest.raises(UserError, match="ignores ranges"):
        open_order(folder)[0]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The manifest of a served order of rows of 34 bytes in shards of 501, the last one shorter, and its bytes mapped."""
    folder = tmp_path_factory.mktemp("odd")
    written = write_order(folder, "odd", np.arange(101 * 17, dtype=np.uint16).reshape(101, 17) * np.uint16(40503), 4, shard_bytes=501)
    shards = written["shards"]
    (folder / "whole").write_bytes(b"".join((folder / shard["name"]).read_bytes() for shard in shards))
    with LoopbackHub() as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", served.endpoint)
        repository = served.add(REPOSITORY, {"main": {s["name"]: folder / s["name"] for s in shards}}, kind="datasets")
        remote = {"repository": REPOSITORY, "revision": repository.branches["main"]}
        yield {**written, "remote": remote}, np.memmap(folder / "whole", "<u2", "r").reshape(101, 17)


@settings(max_examples=30, deadline=None)
@given(wanted=st.lists(st.integers(0, 100), max_size=40), at_once=st.sampled_from([1, 3, 1000]), keep=st.booleans())
def test_any_rows_equal_those_of_a_memory_mapping(
    odd: tuple[dict[str, Any], np.ndarray], wanted: list[int], at_once: int, keep: bool
) -> None:
    manifest, mapped = odd
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr("trajectories.orders.reader._AT_ONCE", at_once * 34)
        shards = HubShards(manifest["remote"]["repository"], manifest["remote"]["revision"], manifest["shards"])
        reader = RowReader(manifest, shards, RowCache(Path(folder) / "odd", 17) if keep else None)
        for part in (wanted[::2], wanted):
            np.testing.assert_array_equal(reader[part], mapped[np.array(part, int)])


pieces = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(1, 9)), max_size=30)


@given(pieces)
def test_gaps_are_closed_within_the_budget_and_no_other_choice_leaves_fewer_requests(drawn: list[tuple[int, int, int]]) -> None:
    parts: list[_Piece] = []
    for shard, first, size in sorted(set(drawn)):
        if not parts or parts[-1].shard < shard or parts[-1].end <= first:
            parts.append(_Piece(shard, first, first + size, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trajectories.orders.remote.GAP", 15)
        groups = joined(parts)
    assert [part for group in groups for part in group] == parts
    assert all(len({part.shard for part in group}) == 1 for group in groups)
    own = sum(part.end - part.first for part in parts)
    moved = sum(group[-1].end - group[0].first for group in groups)
    assert moved <= (1 + WASTE) * own
    # one gap more, the smallest of those left open, would break the budget or be too wide
    left = [b[0].first - a[-1].end for a, b in itertools.pairwise(groups) if a[0].shard == b[0].shard]
    closed = [b.first - a.end for group in groups for a, b in itertools.pairwise(group)]
    assert not left or min(left) > 15 or (moved + min(left) > (1 + WASTE) * own and max(closed, default=0) <= min(left))
    assert max(closed, default=0) <= 15
