"""Where an order's bytes come from: local shards, or shards on the Hub read by range."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from trajectories import tables
from trajectories.errors import UserError


class Source(Protocol):
    """The concatenation of an order's shards, as bytes."""

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes [start, stop) of the concatenated shards for each ``(start, stop)``, all within them."""
        ...

    def verify(self) -> None:
        """Raise :class:`UserError` unless every byte is what the order's manifest says (reads everything)."""
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
    """Shards in a folder. They are read, not mapped: pages of a mapped file would count as this process's memory.

    Args:
        folder: where the shards lie.
        shards: ``{"name", "bytes", "sha256"}`` in the order of concatenation.

    Raises:
        UserError: a shard is absent or has another size than ``bytes``.
    """

    def __init__(self, folder: Path, shards: Sequence[dict]):
        self._folder, self._shards = Path(folder), list(shards)
        self._sizes = [shard["bytes"] for shard in self._shards]
        for shard in self._shards:
            path = self._folder / shard["name"]
            try:
                size = path.stat().st_size
            except OSError as error:
                raise UserError(f"Shard '{path}' cannot be read ({error.strerror}); write the order again.") from error
            if size != shard["bytes"]:
                raise UserError(
                    f"Shard '{path}' has {size} bytes instead of {shard['bytes']}; it is damaged: delete it and write the order again."
                )

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As :meth:`Source.read`."""
        return [self._read(start, stop) for start, stop in ranges]

    def _read(self, start: int, stop: int) -> bytes:
        parts = []
        for file, first, end in pieces(self._sizes, start, stop):
            path = self._folder / self._shards[file]["name"]
            parts.append(np.fromfile(path, np.uint8, end - first, offset=first).tobytes())
        return b"".join(parts)

    def verify(self) -> None:
        """As :meth:`Source.verify`."""
        for shard in self._shards:
            path = self._folder / shard["name"]
            if tables.sha256(path) != shard["sha256"]:
                raise UserError(
                    f"Shard '{path}' does not have the SHA-256 that 'order.json' names; it is damaged: delete it and write the order again."
                )
