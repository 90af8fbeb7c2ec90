"""Parts of files on the Hub, read by HTTP range requests: many at a time, over one pool of connections, with the patience of ``client``.

The Hub names the storage address of a large file once (it counts requests for that in windows of five minutes), and all ranges of the file
are read there, without the user's token. Such an address is signed and expires: where the storage refuses it, the Hub is asked again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
from huggingface_hub import get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from trajectories.errors import UserError
from trajectories.hub import client
from trajectories.hub.client import Kind

CONNECTIONS = 16
"""Requests at the same time; the client's pool keeps up to 20 connections open between requests."""
_LIBRARY = "pythia-trajectories"
_REFUSED = (400, 401, 403, 404, 410)
"""What storage services answer to an address whose signature has expired."""


@dataclass(frozen=True)
class Part:
    """The bytes [start, stop) of a file of a repository."""

    name: str
    start: int
    stop: int


class _File:
    """Where the bytes of one file are to be had."""

    def __init__(self, repository: str, commit: str, name: str, kind: Kind, sha256: str | None):
        self.what = f"'{name}' of {repository}@{commit[:12]}"
        self._url = hf_hub_url(repository, name, repo_type=kind.removesuffix("s"), revision=commit, endpoint=client.endpoint())
        self._sha256 = sha256
        self._lock = threading.Lock()
        self._address: str | None = None
        self.failed: UserError | None = None

    def address(self, refused: str | None = None) -> str:
        """The storage's address; asked of the Hub if not known yet, or if the one known is the one that was refused."""
        with self._lock:
            if self.failed is not None:
                raise self.failed
            if self._address is None or self._address == refused:
                try:
                    self._address = client.patiently(self._ask, self.what)
                except UserError as error:
                    self.failed = error
                    raise
            return self._address

    def _ask(self) -> str:
        told = get_hf_file_metadata(self._url, library_name=_LIBRARY, timeout=client.TIMEOUT.read)
        if self._sha256 is not None and told.etag is not None and len(told.etag) == 64 and told.etag != self._sha256:
            raise UserError(
                f"The Hub now holds another content of {self.what} (SHA-256 {told.etag[:12]}…); run the step that listed its hash again."
            )
        return told.location

    def headers(self, address: str) -> dict[str, str]:
        """Those of a request: the user's token goes to the Hub alone, never to the storage."""
        plain = {"Accept-Encoding": "identity"}
        return plain if self.elsewhere(address) else build_hf_headers(library_name=_LIBRARY) | plain

    def elsewhere(self, address: str) -> bool:
        """Whether an address is not the Hub's own."""
        one, other = httpx2.URL(address), httpx2.URL(self._url)
        return (one.scheme, one.host, one.port) != (other.scheme, other.host, other.port)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop); what arrived before a failure is not asked for again."""
        found = bytearray()
        attempt, refused = 1, None
        while len(found) < stop - start:
            before = len(found)
            try:
                address = self.address(refused)
                self._append(found, address, start, stop)
                if len(found) < stop - start:
                    raise httpx2.RemoteProtocolError(f"{len(found)} of {stop - start} bytes")
            except (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled) as error:
                status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
                if status in _REFUSED and self.elsewhere(address) and attempt < client.ATTEMPTS:
                    refused, attempt = address, attempt + 1
                else:
                    attempt = client.next_attempt(error, attempt, len(found) > before, self.what)
            except (httpx2.RequestError, httpx2.InvalidURL) as error:
                raise UserError(f"The address that the Hub gives for {self.what} leads nowhere; check HF_ENDPOINT.") from error
        return bytes(found)

    def _append(self, found: bytearray, address: str, start: int, stop: int) -> None:
        """One request for what is still absent of [start, stop)."""
        first, wanted = start + len(found), stop - start
        headers = self.headers(address) | {"Range": f"bytes={first}-{stop - 1}"}
        with get_session().stream("GET", address, headers=headers, timeout=client.TIMEOUT, follow_redirects=True) as response:
            if response.status_code == 416:
                raise UserError(f"{self.what} ends before byte {stop}, which was asked for; the suite or an index does not fit it.")
            hf_raise_for_status(response)
            # refused before the body is read, which may be a whole shard of tens of gigabytes
            if response.status_code != 206:
                raise UserError(f"The server ignores ranges, so a part of {self.what} would cost the whole file; check HF_ENDPOINT.")
            told = response.headers.get("Content-Range", "")
            if told.partition("/")[0] != f"bytes {first}-{stop - 1}" or response.headers.get("Content-Encoding", "identity") != "identity":
                raise UserError(f"The server sent '{told}' of {self.what} instead of bytes {first}-{stop - 1}; check HF_ENDPOINT.")
            for chunk in response.iter_raw():
                found += chunk
                if len(found) > wanted:
                    raise UserError(f"The server sent more than the {wanted} bytes of {self.what} that were asked for; check HF_ENDPOINT.")


class Ranges:
    """Files of a repository at a pinned commit, read by range.

    Args:
        repository: ``owner/name``.
        commit: the pinned commit, never a branch.
        kind: what the repository holds.
        hashes: SHA-256 by name of file, where known; a file that the Hub gives another one for is refused.
    """

    def __init__(self, repository: str, commit: str, kind: Kind = "models", hashes: Mapping[str, str | None] | None = None):
        self._of: tuple[str, str, Kind] = repository, commit, kind
        self._hashes = hashes or {}
        self._files: dict[str, _File] = {}

    def fetch(self, parts: Iterable[Part], deliver: Callable[[int, bytes], None]) -> None:
        """Read parts of the files; each is handed over when it has come, so that nobody need hold them all.

        Args:
            parts: what to read, none of it empty.
            deliver: called with a part's number and its bytes, in no particular sequence, never twice at a time.

        Raises:
            UserError: no network, no access, or an error that did not go away; the server ignores ranges or sends other bytes than asked
                for; a file is shorter than asked for.
        """
        lock, handing, stop = threading.Lock(), threading.Lock(), threading.Event()
        waiting: Iterator[tuple[int, Part | None]] = enumerate(parts)
        self._files = {name: file for name, file in self._files.items() if file.failed is None}
        repository, commit, kind = self._of

        def work(_: int) -> None:
            while not stop.is_set():
                with lock:
                    number, part = next(waiting, (-1, None))
                    if part is None:
                        return
                    if part.name not in self._files:
                        self._files[part.name] = _File(repository, commit, part.name, kind, self._hashes.get(part.name))
                try:
                    data = self._files[part.name].read(part.start, part.stop)
                    with handing:
                        deliver(number, data)
                except BaseException:
                    stop.set()
                    raise

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            try:
                list(pool.map(work, range(CONNECTIONS)))
            finally:
                stop.set()


def read(repository: str, commit: str, name: str, ranges: Sequence[tuple[int, int]], kind: Kind = "models") -> list[bytes]:
    """The bytes [start, stop) of one file of a repository at a pinned commit, for each ``(start, stop)`` in the sequence asked for.

    Raises:
        UserError: as :meth:`Ranges.fetch`.
    """
    found = [b""] * len(ranges)
    some = [i for i, (start, stop) in enumerate(ranges) if stop > start]

    def deliver(number: int, data: bytes) -> None:
        found[some[number]] = data

    Ranges(repository, commit, kind).fetch((Part(name, *ranges[i]) for i in some), deliver)
    return found
