"""Reads rows of a training order by their number."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trajectories import tables
from trajectories.errors import Damaged, UserError
from trajectories.orders.cache import RowCache
from trajectories.orders.megatron import read_index
from trajectories.orders.sources import LocalShards, Source
from trajectories.progress import Progress

_DTYPE = np.dtype("<u2")
_AT_ONCE = 1 << 23
"""Bytes of rows that are fetched, and kept for later, at a time."""
_LONG = 2000
"""Rows whose fetching is worth a progress bar."""


class RowReader:
    """The rows of one order; ``reader[i]`` for any integer, slice or array of row numbers.

    Row *i* holds the tokens at bytes [i·n, (i+1)·n) of the concatenated shards, n being two bytes times the tokens of a row. Rows next to
    each other are read in one go; ask for all rows at once rather than one by one.

    Args:
        manifest: the content of ``order.json``.
        source: where the bytes come from.
        cache: where rows that were costly to read are kept, or None.

    Attributes:
        name: the order's name.
        row_tokens: tokens per row; the last one is a target only.
        rows_per_step: rows of one training step; step *s* (0-based) trains on rows [r·s, r·(s+1)).
        manifest: the content of ``order.json``.
    """

    def __init__(self, manifest: dict[str, Any], source: Source, cache: RowCache | None = None):
        self.manifest = manifest
        self.name: str = manifest["order"]
        self.row_tokens: int = manifest["row_tokens"]
        self.rows_per_step: int = manifest["rows_per_step"]
        self._rows: int = manifest["rows"]
        self._source, self._cache = source, cache

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
        found = np.empty((len(unique), self.row_tokens), _DTYPE)
        if self._cache is None:
            self._read(unique, found)
        else:
            self._read_kept(unique, found, self._cache)
        # the rows of a large sample, which is ascending, need no second copy
        return found if np.array_equal(unique, wanted) else found[where.reshape(wanted.shape)]

    def _read(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Read ascending rows into an array [rows, row_tokens]."""
        width = self.row_tokens * _DTYPE.itemsize
        if not rows.size:
            return
        breaks = np.flatnonzero(np.diff(rows) > 1)
        starts, stops = rows[np.r_[0, breaks + 1]], rows[np.r_[breaks, -1]] + 1
        self._source.read(list(zip((starts * width).tolist(), (stops * width).tolist(), strict=True)), out.reshape(-1).view(np.uint8).data)

    def _read_kept(self, rows: np.ndarray, out: np.ndarray, cache: RowCache) -> None:
        """As :meth:`_read`, but only what the cache does not hold; some megabytes at a time, which enter the cache when they are here."""
        absent = np.flatnonzero(~cache.take(rows, out))
        at_once = max(1, _AT_ONCE // (self.row_tokens * _DTYPE.itemsize))
        with Progress(f"read {self.name}", len(absent), "row") if len(absent) >= _LONG else nullcontext() as progress:
            for start in range(0, len(absent), at_once):
                some = absent[start : start + at_once]
                fetched = np.empty((len(some), self.row_tokens), _DTYPE)
                self._read(rows[some], fetched)
                cache.put(rows[some], fetched)
                out[some] = fetched
                if progress is not None:
                    progress.update(len(some))

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
        """Compare every byte that lies on this machine with the manifest's hashes; raises :class:`Damaged`."""
        self._source.verify()


def open_order(folder: Path) -> RowReader:
    """Open an order that the verb ``order`` wrote.

    Raises:
        UserError: the manifest, the index or a shard is absent or does not fit the others; says which.
    """
    folder = Path(folder)
    return reader(tables.read_json(folder / "order.json"), folder)


def reader(manifest: dict[str, Any], folder: Path) -> RowReader:
    """The reader of an order from its manifest; local shards lie in ``folder``.

    Raises:
        UserError: as :func:`open_order`.
    """
    rows, width = manifest["rows"], manifest["row_tokens"] * _DTYPE.itemsize
    stored = sum(shard["bytes"] for shard in manifest["shards"])
    if manifest["remote"] is not None:
        from trajectories.download import cache
        from trajectories.orders.remote import HubShards

        remote, shards = manifest["remote"], manifest["shards"]
        if stored < rows * width:
            raise UserError(
                f"Order '{manifest['order']}' has {stored} bytes on the Hub, too few for {rows} rows of {width} bytes; correct the suite."
            )
        # by content, where the Hub tells hashes: other suites' and other commits' rows are found too
        known = all(shard["sha256"] for shard in shards)
        content = tables.digest([width, [[s["bytes"], s["sha256"]] for s in shards], None if known else remote], 32)
        return RowReader(
            manifest,
            HubShards(remote["repository"], remote["revision"], shards),
            RowCache(cache() / "rows" / content, manifest["row_tokens"]),
        )
    if stored != rows * width:
        raise UserError(f"'{folder / 'order.json'}' names {stored} bytes for {rows} rows of {width} bytes; write the order again.")
    index = read_index(folder / manifest["index"])
    lengths_fit = len(index.sizes) == rows and bool(np.all(index.sizes == manifest["row_tokens"]))
    if index.dtype != np.uint16 or not lengths_fit or not np.array_equal(index.pointers, np.arange(rows) * width):
        raise Damaged(
            folder / manifest["index"], f"it does not list {rows} rows of {manifest['row_tokens']} uint16 tokens one after another"
        )
    return RowReader(manifest, LocalShards(folder, manifest["shards"]))
