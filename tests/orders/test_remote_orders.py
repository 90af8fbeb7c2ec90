"""Orders on the Hub: an index that asks for sizes, and rows read by range."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub.server import LoopbackHub
from trajectories.errors import UserError
from trajectories.orders import open_order
from trajectories.orders.remote import write_remote
from trajectories.orders.writer import write_order
from trajectories.suites import Order

ROWS = np.random.default_rng(1).integers(0, 50304, (640, 65)).astype(np.uint16)
REPOSITORY = "EleutherAI/pile-standard-pythia-preshuffled"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
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
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(UserError, match="check the network"):
        open_order(folder)[0]
    with pytest.raises(UserError, match="check the network"):
        write_remote(tmp_path / "r", "pile", order, 64, {})


def test_a_server_that_ignores_ranges_is_refused(folder: Path, hub: LoopbackHub) -> None:
    hub.misbehave("no-range", r"document-.*\.bin", times=100)
    with pytest.raises(UserError, match="ignores ranges"):
        open_order(folder)[0]
