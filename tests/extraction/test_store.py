"""The store: whole entries or none, whatever happens to the processes that write them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file
from trajectories import tables
from trajectories.errors import UserError
from trajectories.extraction.store import ABANDONED, Store

TABLE = pa.table({"item_id": ["a", "b"], "logprob": [-1.0, -2.0]})
TENSOR = np.arange(12, dtype=np.float32).reshape(2, 1, 3, 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_an_entry_comes_back_as_it_was_put(store: Store, tmp_path: Path) -> None:
    store.put("k", TABLE, {"hidden": TENSOR}, {"device": "cpu"})
    entry = store.get("k")
    assert entry is not None
    assert (entry.record, entry.tensors) == ({"device": "cpu"}, {"hidden": tables.sha256(entry.folder / "hidden.safetensors")})
    assert entry.table().to_pydict() == TABLE.to_pydict()
    target = tmp_path / "measurements" / "x.hidden.safetensors"
    for _ in range(2):  # the second time over the first
        entry.copy_tensor("hidden", target)
        np.testing.assert_array_equal(load_file(target)["hidden"], TENSOR)
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_there_is_nothing_under_an_unknown_key(store: Store) -> None:
    assert store.get("k") is None


@pytest.mark.parametrize("name", ["table.parquet", "hidden.safetensors", "entry.json"])
@pytest.mark.parametrize("damage", ["truncated", "gone", "emptied"])
def test_a_damaged_entry_is_noticed_and_makes_room_for_a_new_one(store: Store, name: str, damage: str) -> None:
    store.put("k", TABLE, {"hidden": TENSOR}, {})
    path = store.root / "k" / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-10] if damage == "truncated" else b"")
    assert store.get("k") is None
    store.put("k", TABLE, {"hidden": TENSOR}, {})
    assert store.get("k") is not None


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    listed = []
    for name in ("one", "two"):
        entry = Store(tmp_path / name).put("k", TABLE, {"hidden": TENSOR}, {"b": 1, "a": [2]})
        listed.append({p.name: p.read_bytes() for p in entry.folder.iterdir()})
    assert listed[0] == listed[1]
    assert json.loads(listed[0]["entry.json"])["key"] == "k"


def test_the_entry_of_another_process_that_was_first_stays(store: Store) -> None:
    store.put("k", TABLE, {}, {"who": "first"})
    assert store.put("k", TABLE, {}, {"who": "second"}).record == {"who": "first"}
    assert sorted(p.name for p in store.root.iterdir()) == ["k"]


def test_what_a_killed_process_left_behind_is_swept_when_old_and_never_read(store: Store) -> None:
    store.root.mkdir()
    old, young = store.root / ".k.aaa.part", store.root / ".k.bbb.part"
    for part in (old, young):
        part.mkdir()
        (part / "table.parquet").write_bytes(b"half")
    os.utime(old, (time.time() - ABANDONED - 60,) * 2)
    assert store.get("k") is None
    store.put("k", TABLE, {}, {})
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        Store(tmp_path / "file" / "store").put("k", TABLE, {}, {})
