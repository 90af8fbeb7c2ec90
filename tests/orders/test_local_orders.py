"""Orders on disk: what is written is read back, by our reader and by an independent one."""

from __future__ import annotations

import json
import struct
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from trajectories.errors import UserError
from trajectories.orders import RowReader, open_order
from trajectories.orders.megatron import read_index
from trajectories.orders.sources import pieces
from trajectories.orders.writer import write_order

ROWS, ROW_TOKENS, SHARD_BYTES = 101, 17, 501


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (ROWS, ROW_TOKENS)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path, rows: np.ndarray) -> Path:
    write_order(tmp_path, "standard", rows, rows_per_step=4, shard_bytes=SHARD_BYTES)
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> RowReader:
    return open_order(folder)


def test_the_shards_are_a_hard_case(folder: Path) -> None:
    sizes = [shard["bytes"] for shard in json.loads((folder / "order.json").read_text())["shards"]]
    assert gcd(SHARD_BYTES, ROW_TOKENS * 2) == 1
    assert len(sizes) >= 3
    assert 0 < sizes[-1] < SHARD_BYTES
    assert set(sizes[:-1]) == {SHARD_BYTES}


def test_rows_equal_those_that_numpy_sees_in_the_concatenated_shards(folder: Path, reader: RowReader, rows: np.ndarray) -> None:
    joined = b"".join(path.read_bytes() for path in sorted(folder.glob("*.bin")))
    independent = np.frombuffer(joined, "<u2").reshape(-1, ROW_TOKENS)
    np.testing.assert_array_equal(reader[:], independent)
    np.testing.assert_array_equal(independent, rows)


@pytest.mark.parametrize("wanted", [[5], [0, ROWS - 1], [7, 7, 3, 8, 9], list(range(ROWS))[::-1], []])
def test_rows_come_in_the_sequence_asked_for(reader: RowReader, rows: np.ndarray, wanted: list[int]) -> None:
    found = reader[wanted]
    assert found.dtype == np.uint16
    assert found.shape == (len(wanted), ROW_TOKENS)
    np.testing.assert_array_equal(found, rows[np.array(wanted, int)])


def test_one_number_gives_one_row_and_a_slice_gives_several(reader: RowReader, rows: np.ndarray) -> None:
    np.testing.assert_array_equal(reader[29], rows[29])
    np.testing.assert_array_equal(reader[10:40:3], rows[10:40:3])


@pytest.mark.parametrize("wanted", [ROWS, -1, [0, ROWS], [-2]])
def test_a_row_that_does_not_exist_is_an_index_error(reader: RowReader, wanted: int | list[int]) -> None:
    with pytest.raises(IndexError, match=r"101 rows of 'standard'"):
        reader[wanted]


def test_every_way_of_cutting_bytes_covers_them_once() -> None:
    sizes = [3, 0, 5, 1]
    names = [(file, at) for file, size in enumerate(sizes) for at in range(size)]
    for start in range(9):
        for stop in range(start, 10):
            assert [(f, at) for f, first, end in pieces(sizes, start, stop) for at in range(first, end)] == names[start:stop]


def test_the_index_has_the_bytes_of_megatrons_format(folder: Path) -> None:
    content = (folder / "document.idx").read_bytes()
    assert content[:9] == b"MMIDIDX\x00\x00"
    assert struct.unpack("<QBQQ", content[9:34]) == (1, 8, ROWS, ROWS + 1)
    assert np.all(np.frombuffer(content, "<i4", ROWS, 34) == ROW_TOKENS)
    np.testing.assert_array_equal(np.frombuffer(content, "<i8", ROWS, 34 + 4 * ROWS), np.arange(ROWS) * 2 * ROW_TOKENS)
    np.testing.assert_array_equal(np.frombuffer(content, "<i8", ROWS + 1, 34 + 12 * ROWS), np.arange(ROWS + 1))
    assert len(content) == 34 + 12 * ROWS + 8 * (ROWS + 1)


def test_the_index_is_read_back(folder: Path) -> None:
    index = read_index(folder / "document.idx")
    assert (index.dtype, len(index.sizes), int(index.pointers[-1])) == (np.uint16, ROWS, (ROWS - 1) * 2 * ROW_TOKENS)


@pytest.mark.parametrize("cut", [1, 250])
def test_a_short_shard_is_refused_when_the_order_is_opened(folder: Path, cut: int) -> None:
    shard = sorted(folder.glob("*.bin"))[1]
    shard.write_bytes(shard.read_bytes()[:-cut])
    with pytest.raises(UserError, match=rf"{shard.name}' is damaged \(it has {SHARD_BYTES - cut} bytes instead of {SHARD_BYTES}"):
        open_order(folder)


def test_a_missing_shard_is_refused_when_the_order_is_opened(folder: Path) -> None:
    sorted(folder.glob("*.bin"))[-1].unlink()
    with pytest.raises(UserError, match="it is gone"):
        open_order(folder)


def test_a_changed_byte_is_found_on_demand(folder: Path) -> None:
    shard = sorted(folder.glob("*.bin"))[2]
    content = bytearray(shard.read_bytes())
    content[77] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match="SHA-256"):
        open_order(folder).verify()


def test_a_whole_order_passes_the_check_of_every_byte(reader: RowReader) -> None:
    reader.verify()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-8], "its header promises"),
        (lambda b: b"GARBAGE" + b[7:], "no MMIDIDX index"),
        (lambda b: b[:9] + b"\2" + b[10:], "version 2"),
    ],
)
def test_a_damaged_index_is_refused(folder: Path, damage, message: str) -> None:
    index = folder / "document.idx"
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(UserError, match=message):
        open_order(folder)


def test_an_index_of_other_rows_is_refused(folder: Path, tmp_path: Path, rows: np.ndarray) -> None:
    write_order(tmp_path / "other", "other", rows[:, :-1].copy(), rows_per_step=4, shard_bytes=SHARD_BYTES)
    (tmp_path / "other" / "document.idx").replace(folder / "document.idx")
    with pytest.raises(UserError, match="does not list 101 rows of 17"):
        open_order(folder)


def test_no_manifest_means_no_order(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"order\.json' does not exist"):
        open_order(tmp_path)


def test_steps_and_positions_follow_the_order(folder: Path, reader: RowReader, rows: np.ndarray) -> None:
    assert reader.step_of(np.array([0, 3, 4, 100])).tolist() == [0, 0, 1, 25]
    write_order(folder / "back", "back", rows[::-1], 4, SHARD_BYTES, reversed=True)
    back = open_order(folder / "back")
    wanted = np.array([0, 17, 100])
    np.testing.assert_array_equal(back[back.position(wanted)], rows[wanted])
    np.testing.assert_array_equal(reader[reader.position(wanted)], rows[wanted])
