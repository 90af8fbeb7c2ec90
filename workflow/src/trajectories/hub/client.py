"""Requests to the Hub: the session, headers and token are ``huggingface_hub``'s; patience and resuming are added here.

The library's own download starts a file again from its first byte when the process was stopped, and neither waits for a server error nor
survives a connection that is reset in the middle; a checkpoint of 24 GB wants all three. Only plain HTTP is used, which the Hub offers for
every file below 50 GB.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx2
from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, parse_ratelimit_headers

from trajectories.errors import UserError
from trajectories.hub.files import RemoteFile

T = TypeVar("T")
Kind = Literal["models", "datasets"]
"""What a repository holds."""

ATTEMPTS = 5
"""How often a request is tried in a row without a single byte received."""
LONGEST_WAIT = 600.0
"""Seconds; if the Hub asks to stay away for longer, the run ends and says so."""
TIMEOUT = httpx2.Timeout(30.0, read=60.0)
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_sleep = time.sleep
_log = logging.getLogger(__name__)


def endpoint() -> str:
    """Address of the Hub: ``HF_ENDPOINT`` if set."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _asked_to_wait(error: HfHubHTTPError) -> float | None:
    """Seconds named by ``Retry-After`` (a number or a date) or by the Hub's own header of rate limits; None if neither says anything."""
    limit = parse_ratelimit_headers(error.response.headers)
    if error.response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    value = error.response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def _wait(error: Exception, attempt: int, what: str) -> None:
    """Sleep before the next attempt, or raise the error as a sentence if there is no point in another one."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    asked = _asked_to_wait(error) if isinstance(error, HfHubHTTPError) else None
    transient = status in _TRANSIENT if status is not None else isinstance(error, httpx2.TransportError)
    if not transient or attempt >= ATTEMPTS or (asked or 0) > LONGEST_WAIT:
        raise explain(error, what, attempt, asked) from error
    seconds = asked if asked is not None else float(2 ** (attempt - 1))
    reason = f"answered {status}" if status is not None else f"broke off ({type(error).__name__})"
    _log.info("The Hub %s for %s; trying again in %.0f s (%d of %d)", reason, what, seconds, attempt, ATTEMPTS - 1)
    _sleep(seconds)


_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (OfflineModeIsEnabled, "Cannot fetch {what}: HF_HUB_OFFLINE is set; unset it or use a suite that needs no network."),
    (GatedRepoError, "{what} is gated at {where}; accept its terms there and log in with `hf auth login`."),
    (
        RepositoryNotFoundError,
        "{where} shows no such thing as {what}, or it is private; check the suite's repository name or log in with `hf auth login`.",
    ),
    (RevisionNotFoundError, "{where} no longer has the commit of {what}; run the audit of this model again."),
    (
        httpx2.TransportError,
        "Cannot reach {where} for {what} ({kind}, tried {attempts} times); check the network (or HF_ENDPOINT) and run again, "
        "what is here is kept.",
    ),
)


def explain(error: Exception, what: str, attempts: int = 1, asked: float | None = None) -> UserError:
    """One sentence for what went wrong with a request; never holds a header.

    Args:
        error: what the client raised.
        what: what was asked for, in a few words.
        attempts: how often.
        asked: seconds that the Hub asks to wait.
    """
    where = endpoint()
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return UserError(sentence.format(what=what, where=where, kind=type(error).__name__, attempts=attempts))
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status in (401, 403):
        end = f"refuses access to {what} (status {status}); log in with `hf auth login` with a token that may read it."
    elif asked is not None and asked > LONGEST_WAIT:
        end = f"asks to wait {asked:.0f} s before it serves {what} (status {status}); run again after that."
    elif status in _TRANSIENT:
        end = f"answered {status} for {what} {attempts} times in a row; run again later, what is here is kept."
    else:
        end = f"answered {status} for {what}; expected the file, so check the suite's repository and revision pattern."
    return UserError(f"{where} {end}")


def patiently(action: Callable[[], T], what: str) -> T:
    """What a request gives, tried again while there is a point in it; raises :class:`UserError` that says what was asked for."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled) as error:
            _wait(error, attempt, what)
    raise AssertionError("unreachable")


def _pages(url: str, what: str) -> Iterator[Any]:
    """The JSON answers to a request and to those that its ``Link`` headers name next."""
    following: str | None = url
    while following is not None:
        address = following

        def get(address: str = address) -> httpx2.Response:
            response = get_session().get(address, headers=build_hf_headers(library_name="pythia-trajectories"), timeout=TIMEOUT)
            hf_raise_for_status(response)
            return response

        response = patiently(get, what)
        try:
            yield response.json()
        except ValueError as error:
            raise UserError(f"{endpoint()} answered for {what} with something that is no JSON; check HF_ENDPOINT.") from error
        following = response.links.get("next", {}).get("url")


def refs(repository: str, kind: Kind = "models") -> dict[str, str]:
    """Commits by name of branch and tag (a branch wins where a tag has its name).

    Raises:
        UserError: no such repository, no right to read it, or no network.
    """
    found: dict[str, str] = {}
    for page in _pages(f"{endpoint()}/api/{kind}/{repository}/refs", f"repository '{repository}'"):
        for named in ("tags", "branches"):
            found |= {entry["name"]: entry["targetCommit"] for entry in page.get(named, [])}
    return found


def files(repository: str, commit: str, kind: Kind = "models", recursive: bool = False) -> list[RemoteFile]:
    """The files at the top of a repository at a commit, or all of them, with sizes and hashes; downloads nothing.

    Raises:
        UserError: as :func:`refs`.
    """
    url = f"{endpoint()}/api/{kind}/{repository}/tree/{quote(commit, safe='')}?recursive={str(recursive).lower()}&expand=false"
    return [
        RemoteFile(e["path"], int((e.get("lfs") or e)["size"]), e.get("oid"), (e.get("lfs") or {}).get("oid"))
        for page in _pages(url, f"the files of '{repository}' at {commit[:12]}")
        for e in page
        if e.get("type") == "file"
    ]


def download(
    repository: str,
    commit: str,
    file: RemoteFile,
    target: Path,
    received: Callable[[int], None] = lambda n: None,
    kind: Kind = "models",
) -> None:
    """Fetch a file's bytes into ``target``; what is already there is taken as its beginning and only the rest is asked for.

    The number of bytes is checked here, their hash is the caller's to check.

    Args:
        repository: ``owner/name``.
        commit: the pinned commit, never a branch.
        file: as listed by :func:`files`.
        target: the growing file; left in place when the download fails, so that the next call goes on from there.
        received: told the number of bytes that came, negative where they have to be taken back.
        kind: what the repository holds.

    Raises:
        UserError: no network, no access, an error or a short body that did not go away, or a full disk.
    """
    what = f"'{file.name}' of {repository}@{commit[:12]}"
    url = hf_hub_url(repository, file.name, repo_type=kind.removesuffix("s"), revision=commit, endpoint=endpoint())
    # a body that may be compressed on the way has no byte range
    headers = build_hf_headers(library_name="pythia-trajectories") | {"Accept-Encoding": "identity"}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "ab") as out:
            if out.tell() > file.size:
                out.truncate(0)
            attempt = 1
            while (start := out.seek(0, os.SEEK_END)) < file.size:
                try:
                    _stream(url, headers, out, start, file.size, received)
                    if out.tell() < file.size:
                        raise httpx2.RemoteProtocolError(f"{out.tell()} of {file.size} bytes")
                except (HfHubHTTPError, httpx2.TransportError, OfflineModeIsEnabled) as error:
                    attempt = next_attempt(error, attempt, out.tell() > start, what)
    except OSError as error:
        raise disk_error(error, target.parent) from error


def next_attempt(error: Exception, attempt: int, progressed: bool, what: str) -> int:
    """Wait, and count the next attempt; the count starts again where the last one brought something."""
    attempt = 1 if progressed else attempt
    _wait(error, attempt, what)
    return attempt + 1


def _stream(url: str, headers: dict[str, str], out: Any, start: int, size: int, received: Callable[[int], None]) -> None:
    """One request for the bytes from ``start`` on; appends whatever arrives, at most up to ``size``."""
    ranged = headers | {"Range": f"bytes={start}-"} if start else headers
    with get_session().stream("GET", url, headers=ranged, timeout=TIMEOUT, follow_redirects=True) as response:
        hf_raise_for_status(response)
        if start and response.status_code != 206:  # the server sends the whole file again
            out.truncate(0)
            out.seek(0)
            received(-start)
        try:
            for chunk in response.iter_bytes():
                kept = chunk[: size - out.tell()]
                out.write(kept)
                received(len(kept))
                if out.tell() >= size:
                    break
        finally:
            out.flush()


def disk_error(error: OSError, folder: Path) -> UserError:
    """One sentence for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"No space left in '{folder}'; free some, set 'keep_checkpoints: false', or choose another 'results' folder.")
    return UserError(f"Cannot write to '{folder}': {error.strerror or error}; fix the folder or choose another 'results' folder.")
