"""Where an order's bytes come from: local shards, or shards on the Hub read by range."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Protocol

from trajectories import tables
from trajectories.errors import Damaged, unreadable


class Source(Protocol):
    """The concatenation of an order's shards, as bytes."""

    def read(self, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        """Fill ``out`` with the bytes [start, stop) of the concatenated shards for each ``(start, stop)``, one range after the other.

        Args:
            ranges: ascending, without overlap, all within the shards.
            out: as many bytes as the ranges have in all.
        """
        ...

    def verify(self) -> None:
        """Raise :class:`Damaged` unless every byte that lies on this machine is what the order's manifest says (reads everything)."""
        ...


def pieces(sizes: Sequence[int], start: int, stop: int) -> list[tuple[int, int, int]]:
    """Split the bytes [start, stop) of concatenated files of the given sizes: ``(file, first byte in it, end byte in it)``."""
    bounds = [0, *accumulate(sizes)]
    found = []
    file = bisect_right(bounds, start) - 1
    while start < stop:
        end = min(stop, bounds[file + 1])
        if end > start:
            found.append((file, start - bounds[file], end - bounds[file]))
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

    def read(self, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        """As :meth:`Source.read`."""
        at = 0
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}
            for start, stop in ranges:
                for shard, first, end in pieces(self._sizes, start, stop):
                    if shard not in files:
                        files[shard] = stack.enter_context(open(self._folder / self._shards[shard]["name"], "rb"))
                    files[shard].seek(first)
                    if files[shard].readinto(out[at : at + end - first]) < end - first:  # type: ignore[attr-defined]
                        raise Damaged(self._folder / self._shards[shard]["name"], "it became shorter while it was read")
                    at += end - first

    def verify(self) -> None:
        """As :meth:`Source.verify`."""
        for shard in self._shards:
            path = self._folder / shard["name"]
            if tables.sha256(path) != shard["sha256"]:
                raise Damaged(path, "another SHA-256 than 'order.json' names")
