"""Reads rows of a training order by their number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trajectories import tables
from trajectories.errors import UserError
from trajectories.orders.megatron import read_index
from trajectories.orders.sources import LocalShards, Source

_DTYPE = np.dtype("<u2")


class RowReader:
    """The rows of one order; ``reader[i]`` for any integer, slice or array of row numbers.

    Row *i* holds the tokens at bytes [i·n, (i+1)·n) of the concatenated shards, n being two bytes times the tokens of a row. Rows next to
    each other are read in one go.

    Args:
        manifest: the content of ``order.json``.
        source: where the bytes come from.

    Attributes:
        name: the order's name.
        row_tokens: tokens per row; the last one is a target only.
        rows_per_step: rows of one training step; step *s* (0-based) trains on rows [r·s, r·(s+1)).
        manifest: the content of ``order.json``.
    """

    def __init__(self, manifest: dict[str, Any], source: Source):
        self.manifest = manifest
        self.name: str = manifest["order"]
        self.row_tokens: int = manifest["row_tokens"]
        self.rows_per_step: int = manifest["rows_per_step"]
        self._rows: int = manifest["rows"]
        self._source = source

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, indices: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        """Tokens of rows, uint16 [row_tokens] for one number, else [n, row_tokens] in the sequence asked for (repeats allowed).

        Raises:
            IndexError: a number is negative or not below ``len(reader)``.
        """
        if isinstance(indices, (int, np.integer)):
            return self[np.array([indices])][0]
        wanted = np.arange(len(self))[indices] if isinstance(indices, slice) else np.asarray(indices, np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(
                f"row {int(wanted.min() if wanted.min() < 0 else wanted.max())} is not among the {len(self)} rows of '{self.name}'"
            )
        unique, where = np.unique(wanted, return_inverse=True)
        width = self.row_tokens * _DTYPE.itemsize
        found = np.empty((len(unique), self.row_tokens), np.uint16)
        runs = [run for run in np.split(np.arange(len(unique)), np.flatnonzero(np.diff(unique) > 1) + 1) if run.size]
        ranges = [(int(unique[run[0]]) * width, (int(unique[run[-1]]) + 1) * width) for run in runs]
        for run, data in zip(runs, self._source.read(ranges), strict=True):
            found[run] = np.frombuffer(data, _DTYPE).reshape(len(run), self.row_tokens)
        return found[where.reshape(wanted.shape)]

    def step_of(self, rows: int | np.ndarray) -> Any:
        """The training step (0-based) that trains on a row; checkpoints after it have seen the row."""
        return rows // self.rows_per_step

    @cached_property
    def reversed(self) -> bool:
        """Whether this order shows the suite's corpus from its end (embedded suites)."""
        return bool(self.manifest.get("reversed", False))

    def position(self, corpus_rows: np.ndarray) -> np.ndarray:
        """Embedded suites: the numbers that rows of the corpus (as the truth tables give them) have in this order."""
        return len(self) - 1 - np.asarray(corpus_rows) if self.reversed else np.asarray(corpus_rows)

    def verify(self) -> None:
        """Read every byte and compare it with the manifest's hashes; raises :class:`UserError` on damage."""
        self._source.verify()


def open_order(folder: Path) -> RowReader:
    """Open an order that the verb ``order`` wrote.

    Raises:
        UserError: the manifest, the index or a shard is absent or does not fit the others; says which.
    """
    folder = Path(folder)
    manifest = tables.read_json(folder / "order.json")
    rows, width = manifest["rows"], manifest["row_tokens"] * _DTYPE.itemsize
    stored = sum(shard["bytes"] for shard in manifest["shards"])
    if manifest["remote"] is not None:
        from trajectories.orders.remote import HubShards

        if stored < rows * width:
            raise UserError(
                f"The order in '{folder}' has {stored} bytes on the Hub, too few for {rows} rows of {width} bytes; correct the suite."
            )
        return RowReader(manifest, HubShards(manifest["remote"]["repository"], manifest["remote"]["revision"], manifest["shards"]))
    if stored != rows * width:
        raise UserError(f"'{folder / 'order.json'}' names {stored} bytes for {rows} rows of {width} bytes; write the order again.")
    index = read_index(folder / manifest["index"])
    if index.dtype != np.uint16 or len(index.sizes) != rows or np.any(index.sizes != manifest["row_tokens"]):
        raise UserError(
            f"The index in '{folder}' does not list {rows} rows of {manifest['row_tokens']} uint16 tokens; write the order again."
        )
    return RowReader(manifest, LocalShards(folder, manifest["shards"]))
