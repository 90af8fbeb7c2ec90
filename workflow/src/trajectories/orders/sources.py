"""Where an order's bytes come from: local shards, or shards on the Hub read by range."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from trajectories import tables
from trajectories.errors import Damaged, unreadable


class Source(Protocol):
    """The concatenation of an order's shards, as bytes."""

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes [start, stop) of the concatenated shards for each ``(start, stop)``, all within them."""
        ...

    def verify(self) -> None:
        """Raise :class:`Damaged` unless every byte is what the order's manifest says (reads everything)."""
        ...


def pieces(sizes: Sequence[int], start: int, stop: int) -> list[tuple[int, int, int]]:
    """Split the bytes [start, stop) of concatenated files of the given sizes: ``(file, first byte in it, end byte in it)``."""
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    file = int(np.searchsorted(bounds, start, side="right")) - 1
    while start < stop:
        end = min(stop, int(bounds[file + 1]))
        if end > start:
            found.append((file, start - int(bounds[file]), end - int(bounds[file])))
        start, file = end, file + 1
    return found


class LocalShards:
    """Shards in a folder. They are not memory-mapped: pages of a long order would count as memory of the job that reads it.

    Args:
        folder: where the shards lie.
        shards: ``{"name", "bytes", "sha256"}`` in the order of concatenation.

    Raises:
        Damaged: a shard is absent or has another size than ``bytes``.
    """

    def __init__(self, folder: Path, shards: Sequence[dict]):
        self._folder, self._shards = Path(folder), list(shards)
        self._sizes = [shard["bytes"] for shard in self._shards]
        for shard in self._shards:
            path = self._folder / shard["name"]
            try:
                size = path.stat().st_size
            except OSError as error:
                raise unreadable(path, error) from error
            if size != shard["bytes"]:
                raise Damaged(path, f"it has {size} bytes instead of {shard['bytes']}")

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As :meth:`Source.read`."""
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}

            def piece(shard: int, first: int, end: int) -> bytes:
                if shard not in files:
                    files[shard] = stack.enter_context(open(self._folder / self._shards[shard]["name"], "rb"))
                files[shard].seek(first)
                return files[shard].read(end - first)

            return [b"".join(piece(*part) for part in pieces(self._sizes, *bounds)) for bounds in ranges]

    def verify(self) -> None:
        """As :meth:`Source.verify`."""
        for shard in self._shards:
            path = self._folder / shard["name"]
            if tables.sha256(path) != shard["sha256"]:
                raise Damaged(path, "another SHA-256 than 'order.json' names")
