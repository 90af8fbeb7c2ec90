"""Orders on the Hub: rows of a data set of hundreds of gigabytes, read by HTTP range requests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trajectories import tables
from trajectories.errors import UserError
from trajectories.orders.sources import pieces
from trajectories.suites import Order

if TYPE_CHECKING:
    from trajectories.hub.ranges import Ranges

WASTE = 0.25
"""Most bytes between the ranges asked for that are read along with them, as a share of the ranges' own."""
GAP = 1 << 16
"""Bytes; what lies between two ranges that are farther apart takes longer than a request of its own."""


class _Piece(NamedTuple):
    """The bytes [first, end) of a shard, and where they go."""

    shard: int
    first: int
    end: int
    at: int


def joined(parts: Sequence[_Piece]) -> list[list[_Piece]]:
    """Pieces, ascending and without overlap, in groups that one request each reads, along with what lies between a group's pieces.

    The smallest gaps are closed first, up to :data:`GAP` and until :data:`WASTE` is used up: of all ways to keep to both, this leaves the
    fewest requests.
    """
    if not parts:
        return []
    same = np.array([one.shard == other.shard for one, other in pairwise(parts)], bool)
    gaps = np.array([other.first - one.end for one, other in pairwise(parts)], np.int64)
    inside = np.flatnonzero(same & (gaps <= GAP))
    inside = inside[np.argsort(gaps[inside], kind="stable")]
    closed = set(inside[gaps[inside].cumsum() <= WASTE * sum(p.end - p.first for p in parts)].tolist())
    groups = [[parts[0]]]
    for i, part in enumerate(parts[1:]):
        if i in closed:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


class HubShards:
    """Shards of a Hub data set, read by range at a pinned commit; nothing is requested before the first read.

    Args:
        repository: the data set (owner/name).
        revision: commit hash.
        shards: ``{"name", "bytes", "sha256"}`` in the order of concatenation.
    """

    def __init__(self, repository: str, revision: str, shards: Sequence[dict[str, Any]]):
        self._repository, self._revision, self._shards = repository, revision, list(shards)
        self._sizes = [shard["bytes"] for shard in self._shards]

    @cached_property
    def _ranges(self) -> Ranges:
        from trajectories.hub.ranges import Ranges

        return Ranges(self._repository, self._revision, "datasets", {shard["name"]: shard["sha256"] for shard in self._shards})

    def read(self, ranges: Sequence[tuple[int, int]], out: memoryview) -> None:
        """As :meth:`trajectories.orders.sources.Source.read`; ranges near each other share a request (:func:`joined`)."""
        from trajectories.hub.ranges import Part

        parts, at = [], 0
        for start, stop in ranges:
            for shard, first, end in pieces(self._sizes, start, stop):
                parts.append(_Piece(shard, first, end, at))
                at += end - first
        groups = joined(parts)

        def deliver(number: int, data: bytes) -> None:
            base = groups[number][0].first
            for part in groups[number]:
                out[part.at : part.at + part.end - part.first] = data[part.first - base : part.end - base]

        self._ranges.fetch((Part(self._shards[g[0].shard]["name"], g[0].first, g[-1].end) for g in groups), deliver)

    def verify(self) -> None:
        """As :meth:`Source.verify`: nothing lies on this machine, and a range has no hash of its own."""


def describe(name: str, order: Order, rows_per_step: int | None, provenance: dict[str, Any]) -> dict[str, Any]:
    """The manifest (``order.json``) of an order that stays on the Hub: its commit now, and the shards' sizes and hashes as the Hub tells.

    Raises:
        UserError: the suite does not say where the order lies, the Hub cannot be reached, or a file is not there.
    """
    if order.repository is None or order.index is None or not order.shards or rows_per_step is None:
        raise UserError(
            f"Order '{name}' is not published (its suite names no repository, index, shards or model), so its rows cannot be read."
        )
    from trajectories.hub import client

    commit = client.refs(order.repository, "datasets").get("main")
    if commit is None:
        raise UserError(f"The Hub's '{order.repository}' has no branch 'main'; correct the suite's repository.")
    wanted = [order.index, *order.shards]
    listed = client.files(order.repository, commit, "datasets", recursive=any("/" in path for path in wanted))
    found = {file.name: file for file in listed}
    absent = [path for path in wanted if path not in found]
    if absent:
        raise UserError(f"The Hub's '{order.repository}' has no '{absent[0]}'; correct the suite's list of shards.")
    shards: list[dict[str, Any]] = [{"name": path, "bytes": found[path].size, "sha256": found[path].sha256} for path in order.shards]
    return {
        "order": name,
        "row_tokens": order.row_tokens,
        "rows": order.rows or sum(shard["bytes"] for shard in shards) // (order.row_tokens * 2),
        "rows_per_step": rows_per_step,
        "dtype": "uint16",
        "index": order.index,
        "shards": shards,
        "remote": {"repository": order.repository, "revision": commit},
        "provenance": provenance,
    }


def write_remote(folder: Path, name: str, order: Order, rows_per_step: int | None, provenance: dict[str, Any]) -> dict[str, Any]:
    """Write ``order.json`` for an order that stays on the Hub; returns its content.

    Raises:
        UserError: as :func:`describe`.
    """
    manifest = describe(name, order, rows_per_step, provenance)
    tables.write_json(folder / "order.json", manifest)
    return manifest
