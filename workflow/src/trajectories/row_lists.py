"""Lists of rows by step as a table: the form in which published lists of memorized rows are kept and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from trajectories import tables

SCHEMA = pa.schema({"step": pa.int32(), "row": pa.int32()})
"""One line per row and checkpoint, ascending by step, then row."""


def table(rows: dict[int, np.ndarray]) -> pa.Table:
    """A table of :data:`SCHEMA` from rows (ascending, below 2³¹) by step (ascending)."""
    parts = [
        pa.table({"step": np.full(len(r), step, np.int32), "row": r.astype(np.int32, copy=False)}, schema=SCHEMA)
        for step, r in rows.items()
    ]
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()


def by_step(listed: pa.Table) -> dict[int, np.ndarray]:
    """The rows of a table of :data:`SCHEMA`, int32 ascending, by step; steps without rows are absent."""
    steps, rows = listed["step"].to_numpy(), listed["row"].to_numpy()
    starts = np.flatnonzero(np.diff(steps, prepend=np.int32(-1)))
    return {int(steps[a]): rows[a:b] for a, b in zip(starts, [*starts[1:], len(steps)], strict=True)}


def load(path: Path) -> dict[int, np.ndarray]:
    """What :func:`by_step` gives of a table on disk; raises :class:`UserError` if it is absent or damaged."""
    return by_step(tables.read_arrow(path))
