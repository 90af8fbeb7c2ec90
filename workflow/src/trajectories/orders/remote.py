"""Orders on the Hub: rows of a data set of hundreds of gigabytes, read by HTTP range requests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from trajectories import tables
from trajectories.errors import UserError
from trajectories.orders.sources import pieces
from trajectories.suites import Order


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
    def _files(self) -> Any:
        from huggingface_hub import HfFileSystem

        return HfFileSystem(use_listings_cache=True)

    def read(self, start: int, stop: int) -> bytes:
        parts = []
        for file, first, end in pieces(self._sizes, start, stop):
            path = f"datasets/{self._repository}@{self._revision}/{self._shards[file]['name']}"
            try:
                data = self._files.cat_file(path, start=first, end=end)
            except Exception as error:
                raise UserError(f"Cannot read bytes {first} to {end} of '{path}' on the Hub ({type(error).__name__}: {error}); try again later.") from error
            if len(data) != end - first:
                raise UserError(f"The Hub sent {len(data)} of {end - first} bytes of '{path}' from byte {first}; try again later.")
            parts.append(data)
        return b"".join(parts)

    def verify(self) -> None:
        raise UserError(f"The order of '{self._repository}' is read by range; only a downloaded copy can be checked whole.")


def write_remote(folder: Path, name: str, order: Order, rows_per_step: int | None, provenance: dict[str, Any]) -> dict[str, Any]:
    """Write ``order.json`` for an order that stays on the Hub: the commit it is pinned to, and its shards' sizes and hashes as the Hub tells them.

    Raises:
        UserError: the suite does not say where the order lies, the Hub cannot be reached, or a file is not there.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if order.repository is None or order.index is None or not order.shards or rows_per_step is None:
        raise UserError(f"Order '{name}' is not published (its suite names no repository, index, shards or model), so its rows cannot be read.")
    wanted = [order.index, *order.shards]
    try:
        api = HfApi()
        commit = api.dataset_info(order.repository).sha
        found = {file.path: file for file in api.get_paths_info(order.repository, wanted, repo_type="dataset", revision=commit)}
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(f"Cannot ask the Hub for the files of '{order.repository}' ({type(error).__name__}: {error}); check the network.") from error
    absent = [path for path in wanted if path not in found]
    if absent:
        raise UserError(f"The Hub's '{order.repository}' has no '{absent[0]}'; correct the suite's list of shards.")
    shards = [{"name": s, "bytes": found[s].size, "sha256": found[s].lfs.sha256 if found[s].lfs else None} for s in order.shards]
    width = order.row_tokens * 2
    manifest = {
        "order": name,
        "row_tokens": order.row_tokens,
        "rows": order.rows or sum(s["bytes"] for s in shards) // width,
        "rows_per_step": rows_per_step,
        "dtype": "uint16",
        "index": order.index,
        "shards": shards,
        "remote": {"repository": order.repository, "revision": commit},
        "provenance": provenance,
    }
    tables.write_json(folder / "order.json", manifest)
    return manifest
