"""Writes rows as a training order: Megatron index, shards, and ``order.json``, which is written last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trajectories import tables
from trajectories.orders.megatron import write_index

INDEX = "document.idx"


def shard_names(count: int) -> list[str]:
    """``document-00000-of-00002.bin`` and so on: the last shard's number stands in each name, as in Pythia's preshuffled Pile."""
    return [f"document-{i:05d}-of-{count - 1:05d}.bin" for i in range(count)]


def write_order(folder: Path, name: str, rows: np.ndarray, rows_per_step: int, shard_bytes: int, **more: Any) -> dict[str, Any]:
    """Write an order's files.

    Args:
        folder: where to.
        name: the order's name.
        rows: uint16 [rows, row_tokens] in the sequence in which training meets them.
        rows_per_step: rows of one training step.
        shard_bytes: bytes of every shard but the last, which is shorter; rows (and even tokens) may straddle shards.
        more: further JSON-able entries of the manifest.

    Returns:
        The manifest, as written to ``order.json``.
    """
    if rows.dtype != np.uint16 or rows.ndim != 2:
        raise ValueError(f"rows should be uint16 [rows, row_tokens], found {rows.dtype} {rows.shape}")
    data = np.ascontiguousarray(rows, "<u2").tobytes()
    count = max(1, -(-len(data) // shard_bytes))
    shards = []
    for number, shard in enumerate(shard_names(count)):
        with tables.replacing(folder / shard) as temporary:
            temporary.write_bytes(data[number * shard_bytes : (number + 1) * shard_bytes])
        shards.append({"name": shard, "bytes": (folder / shard).stat().st_size, "sha256": tables.sha256(folder / shard)})
    write_index(folder / INDEX, *rows.shape)
    manifest = {
        "order": name,
        "row_tokens": int(rows.shape[1]),
        "rows": int(rows.shape[0]),
        "rows_per_step": rows_per_step,
        "dtype": "uint16",
        "index": INDEX,
        "index_sha256": tables.sha256(folder / INDEX),
        "shards": shards,
        "remote": None,
        **more,
    }
    tables.write_json(folder / "order.json", manifest)
    return manifest
