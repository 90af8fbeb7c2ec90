"""Items: a table of stimuli as flat arrays, and the digest of what a measurement depends on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trajectories.errors import UserError
from trajectories.extraction.measures import Plan


@dataclass(frozen=True)
class Items:
    """Token sequences with the spans to be scored and, for hidden states, the positions to be read.

    Attributes:
        item_id: names of the items, in the table's order.
        ids: int32, all sequences one after the other.
        offsets: int64 [items + 1]; item ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
        start, end: int64 [items]; half-open spans, ``1 ≤ start < end ≤ length``.
        hidden: int64, items whose hidden states are read, ascending; or None.
        positions: int64 [those items, positions] to read them at, or None.
        lens: int64, items that the logit lens is turned on, ascending; or None.
    """

    item_id: tuple[str, ...]
    ids: np.ndarray
    offsets: np.ndarray
    start: np.ndarray
    end: np.ndarray
    hidden: np.ndarray | None = None
    positions: np.ndarray | None = None
    lens: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.item_id)

    def __getitem__(self, item: int) -> np.ndarray:
        return self.ids[self.offsets[item] : self.offsets[item + 1]]

    @property
    def length(self) -> np.ndarray:
        """Tokens of each item, int64 [items]."""
        return np.diff(self.offsets)

    @property
    def span(self) -> np.ndarray:
        """Scored tokens of each item, int64 [items]."""
        return self.end - self.start

    def digest(self) -> str:
        """Hexadecimal SHA-256 of everything here: columns of the table that no measure looks at do not change it."""
        total = hashlib.sha256()
        parts = ["\0".join(self.item_id).encode(), *(a.astype("<i8").tobytes() for a in (self.ids, self.offsets, self.start, self.end))]
        for name, array in (("hidden", self.hidden), ("positions", self.positions), ("lens", self.lens)):
            if array is not None:
                parts += [f"{name} {array.shape}".encode(), array.astype("<i8").tobytes()]
        for part in parts:
            total.update(len(part).to_bytes(8, "little") + part)
        return total.hexdigest()


def _numbers(array: pa.Array) -> np.ndarray:
    """The numbers of an array without nulls (pyarrow's own conversion imports pandas, which takes a second)."""
    return np.from_dlpack(array) if len(array) else np.zeros(0, np.int64)


def _integers(table: pa.Table, column: str, where: str) -> np.ndarray:
    values = table[column].combine_chunks()
    if values.null_count or not pa.types.is_integer(values.type):
        raise UserError(f"{where}: column '{column}' should hold an integer in every row, found {values.type}; make the stimuli again.")
    return _numbers(values).astype(np.int64)


def _rows(table: pa.Table, wanted: str, what: str, where: str) -> np.ndarray:
    """The rows that a column of bool chooses, or all of them; int64, ascending."""
    if wanted == "all":
        return np.arange(table.num_rows)
    if wanted not in table.column_names:
        raise UserError(f"{where}: {what} is asked for in the rows that column '{wanted}' chooses, which the stimuli lack.")
    column = table[wanted].combine_chunks()
    if column.null_count or not pa.types.is_boolean(column.type):
        raise UserError(f"{where}: column '{wanted}' should hold true or false in every row, found {column.type}; make the stimuli again.")
    return np.flatnonzero(column.to_numpy(zero_copy_only=False))


def _positions(table: pa.Table, wanted: Any, length: np.ndarray, where: str) -> np.ndarray:
    """Positions of hidden states, [items, positions]: the last token, the same few for all items, or those in a column."""
    if wanted == "last":
        found = length[:, None] - 1
    elif isinstance(wanted, str):
        if wanted not in table.column_names:
            raise UserError(f"{where}: hidden states are asked for at the positions in column '{wanted}', which the stimuli lack.")
        column = table[wanted].combine_chunks()
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            sizes = pc.list_value_length(column)
            if column.null_count or (len(column) and pc.min_max(sizes)["min"] != pc.min_max(sizes)["max"]):
                raise UserError(f"{where}: every row of column '{wanted}' should list the same number of positions.")
            flat = _numbers(column.flatten()).astype(np.int64)
            found = flat.reshape(len(column), -1)
        else:
            found = _integers(table, wanted, where)[:, None]
    else:
        fixed = np.asarray(wanted, dtype=np.int64)
        found = np.where(fixed < 0, length[:, None] + fixed, fixed)
    if found.size and (found.min() < 0 or np.any(found >= length[:, None])):
        raise UserError(f"{where}: a position of hidden states lies outside its sequence; choose positions within the shortest one.")
    return found


def from_table(table: pa.Table, plan: Plan, where: str) -> Items:
    """Read the columns that matter to ``plan`` from a table of stimuli.

    Args:
        table: ``item_id, input_ids, start, end`` and the columns of positions and rows that the plan names.
        plan: the measures.
        where: the table's name, for errors.

    Raises:
        UserError: a column is missing or not of its type, or a span or position lies outside its sequence.
    """
    missing = [c for c in ("item_id", "input_ids", "start", "end") if c not in table.column_names]
    if missing:
        raise UserError(f"{where}: stimuli lack the column '{missing[0]}'; make them again.")
    lists = table["input_ids"].combine_chunks()
    if not (pa.types.is_list(lists.type) and pa.types.is_integer(lists.type.value_type)) or lists.null_count:
        raise UserError(f"{where}: column 'input_ids' should hold lists of integers, found {lists.type}; make the stimuli again.")
    ids = _numbers(lists.flatten()).astype(np.int32)
    sizes = _numbers(pc.list_value_length(lists))
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    start, end = _integers(table, "start", where), _integers(table, "end", where)
    length = np.diff(offsets)
    if np.any(start < 1) or np.any(start >= end) or np.any(end > length):
        bad = int(np.flatnonzero((start < 1) | (start >= end) | (end > length))[0])
        raise UserError(f"{where}: row {bad} has the span [{start[bad]}, {end[bad]}) of {length[bad]} tokens; make the stimuli again.")
    hidden = positions = lens = None
    if plan.hidden:
        hidden = _rows(table, plan.hidden.rows, "measure 'hidden'", where)
        positions = _positions(table.take(pa.array(hidden)), plan.hidden.positions, length[hidden], where)
    if plan.lens:
        lens = _rows(table, plan.lens.rows, "measure 'lens'", where)
    return Items(tuple(str(v) for v in table["item_id"].to_pylist()), ids, offsets, start, end, hidden, positions, lens)
