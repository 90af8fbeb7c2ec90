"""Orders on the Hub: rows of a data set of hundreds of gigabytes, read by HTTP range requests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trajectories import tables
from trajectories.errors import UserError
from trajectories.orders.sources import pieces
from trajectories.suites import Order

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_CONNECTIONS = 8


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

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """As :meth:`trajectories.orders.sources.Source.read`; one request per range and shard, some at the same time."""
        parts = [pieces(self._sizes, start, stop) for start, stop in ranges]
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            data = pool.map(lambda part: self._request(*part), [part for of_range in parts for part in of_range])
            return [b"".join(itertools.islice(data, len(of_range))) for of_range in parts]

    def _request(self, file: int, first: int, end: int) -> bytes:
        import httpx2
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

        name = self._shards[file]["name"]
        where = f"bytes {first} to {end} of '{name}' in '{self._repository}'"
        headers = build_hf_headers(library_name="pythia-trajectories") | {
            "Range": f"bytes={first}-{end - 1}",
            "Accept-Encoding": "identity",
        }
        url = hf_hub_url(self._repository, name, repo_type="dataset", revision=self._revision, endpoint=_endpoint())
        try:
            with http_stream_backoff("GET", url, headers=headers, timeout=60, follow_redirects=True) as response:
                hf_raise_for_status(response)
                # checked before the body is read: a whole shard has tens of gigabytes
                ranged = response.status_code == 206
                data: bytes = response.read() if ranged else b""
        except (HfHubHTTPError, OSError, httpx2.TransportError) as error:
            raise UserError(f"Cannot read {where} from the Hub ({_short(error)}); check the network and run again.") from error
        if not ranged:
            raise UserError(f"The server ignores ranges, so {where} would cost the whole shard; check HF_ENDPOINT.")
        if len(data) != end - first:
            raise UserError(f"The Hub sent {len(data)} instead of {end - first} bytes for {where}; run again.")
        return data

    def verify(self) -> None:
        """Always raises: nobody wants to read hundreds of gigabytes to check them."""
        raise UserError(f"The order in '{self._repository}' is read by range; only a downloaded copy can be checked whole.")


def _endpoint() -> str:
    """Address of the Hub: ``HF_ENDPOINT`` if set now, not when the client was imported."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"


def _shard(file: RepoFile) -> dict[str, Any]:
    return {"name": file.path, "bytes": file.size, "sha256": file.lfs.sha256 if file.lfs else None}


def write_remote(folder: Path, name: str, order: Order, rows_per_step: int | None, provenance: dict[str, Any]) -> dict[str, Any]:
    """Write ``order.json`` for an order that stays on the Hub: its commit now, and the shards' sizes and hashes as the Hub tells them.

    Raises:
        UserError: the suite does not say where the order lies, the Hub cannot be reached, or a file is not there.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import RepoFile

    if order.repository is None or order.index is None or not order.shards or rows_per_step is None:
        raise UserError(
            f"Order '{name}' is not published (its suite names no repository, index, shards or model), so its rows cannot be read."
        )
    wanted = [order.index, *order.shards]
    try:
        api = HfApi(endpoint=_endpoint())
        commit = api.dataset_info(order.repository).sha
        entries = api.get_paths_info(order.repository, wanted, repo_type="dataset", revision=commit)
    except (HfHubHTTPError, OSError, httpx2.TransportError) as error:
        raise UserError(
            f"Cannot ask the Hub for the files of '{order.repository}' ({_short(error)}); check the network and run again."
        ) from error
    found = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    absent = [path for path in wanted if path not in found]
    if absent:
        raise UserError(f"The Hub's '{order.repository}' has no '{absent[0]}'; correct the suite's list of shards.")
    shards = [_shard(found[name]) for name in order.shards]
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
