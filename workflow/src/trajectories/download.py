"""Folders out of GitHub repositories at a pinned commit: downloaded once, checked, kept in a cache."""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Container
from pathlib import Path, PurePosixPath

import httpx2

from trajectories import locks, tables
from trajectories.errors import UserError
from trajectories.outside import inside

HOST = "https://codeload.github.com"
HOST_VARIABLE = "TRAJECTORIES_GITHUB"
"""Environment variable: where archives come from instead of :data:`HOST` (a mirror, or a test's server)."""
CACHE_VARIABLE = "TRAJECTORIES_CACHE"
"""Environment variable: folder of downloads instead of ``~/.cache/trajectories``."""
ATTEMPTS = 4
WAIT = 2.0
LONGEST_WAIT = 60.0
LARGEST = 4 << 30
"""Bytes of an archive as it is sent."""
LARGEST_UNPACKED = 32 << 30
"""Bytes of an archive when it is unpacked, members that are not kept included."""
MOST_MEMBERS = 500_000
LARGEST_READ = 1 << 20
"""Bytes that are unpacked at a time: more than any header needs that is not made to fill the memory."""

log = logging.getLogger(__name__)


def cache() -> Path:
    """Folder of downloads: :data:`CACHE_VARIABLE`, else ``trajectories`` in the user's cache folder (XDG)."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trajectories"


def digest(folder: Path) -> str:
    """SHA-256 over the lines ``<sha256>  <path>`` of all files in a folder, sorted by path (bytewise), as ``sha256sum`` writes them."""
    names = sorted((p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()), key=lambda name: name.encode())
    lines = "".join(f"{tables.sha256(folder / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


class _Retry(Exception):
    """The server may answer better later."""

    def __init__(self, reason: str, after: float | None = None):
        super().__init__(reason)
        self.after = after


def _attempt(url: str, path: Path) -> None:
    with httpx2.stream("GET", url, follow_redirects=True, timeout=httpx2.Timeout(30.0, read=120.0)) as answer:
        if answer.status_code == 429 or answer.status_code >= 500:
            after = answer.headers.get("retry-after", "")
            raise _Retry(f"status {answer.status_code}", float(after) if after.isdigit() else None)
        answer.raise_for_status()
        size = 0
        with open(path, "wb") as file:
            for part in answer.iter_bytes(1 << 20):
                size += len(part)
                if size > LARGEST:
                    raise httpx2.HTTPError(f"it is larger than {LARGEST >> 30} GiB")
                file.write(part)


def _get(url: str, path: Path) -> None:
    """Download ``url`` to ``path``; transient failures are tried again. Raises httpx2.HTTPError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(url, path)
        except (_Retry, httpx2.TransportError) as error:
            if attempt == ATTEMPTS:
                raise httpx2.HTTPError(str(error)) from error
            after = error.after if isinstance(error, _Retry) and error.after is not None else WAIT * 2 ** (attempt - 1)
            log.info("%s: %s; trying again in %.0f s", url, error, after)
            time.sleep(min(after, LONGEST_WAIT))


class _Unpacked(gzip.GzipFile):
    """An archive's bytes, as long as they are no more than an honest archive has."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError("a member's header is too large")
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset > LARGEST_UNPACKED:
            raise tarfile.ReadError(f"it unpacks to more than {LARGEST_UNPACKED >> 30} GiB")
        return super().seek(offset, whence)


def _extract(archive: Path, prefix: str, target: Path, keep: Container[str] | None) -> int:
    """Write the regular files below ``prefix`` of a repository's archive (only those in ``keep``) to ``target``; returns how many.

    The archive's one top folder and the prefix are left away. Links, devices, files with holes and names that leave the folder are not
    written. Raises tarfile.ReadError for an archive that is made to fill memory or disk.
    """
    above = PurePosixPath(prefix).parts
    count = 0
    with _Unpacked(archive) as unpacked, tarfile.open(fileobj=unpacked, mode="r:") as tar:
        for number, member in enumerate(tar):
            if number >= MOST_MEMBERS or member.offset_data + member.size > LARGEST_UNPACKED:
                raise tarfile.ReadError(f"it holds more than {MOST_MEMBERS:,} members or {LARGEST_UNPACKED >> 30} GiB")
            tar.members.clear()  # type: ignore[attr-defined]  # or all headers stay in memory
            parts = PurePosixPath(member.name).parts[1:]
            inner = parts[len(above) :]
            if not member.isreg() or member.issparse() or parts[: len(above)] != above or not inner or not inside(member.name):
                continue
            if keep is not None and "/".join(inner) not in keep:
                continue
            path = target.joinpath(*inner)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            if source is None:
                continue
            with source, open(path, "wb") as file:
                shutil.copyfileobj(source, file)
            count += 1
    return count


def github(
    repository: str, commit: str, prefix: str, otherwise: str, check: Callable[[Path], None], keep: Container[str] | None = None
) -> Path:
    """The files below a folder of a GitHub repository at a commit, from the cache or downloaded.

    Args:
        repository: ``owner/name``.
        commit: full hash.
        prefix: folder in the repository; empty for all of it.
        otherwise: what the user can do without a network, as the end of a sentence.
        check: raises :class:`UserError` if the files are not what they should be; called once, before they enter the cache.
        keep: paths below ``prefix`` that are wanted; all if None.

    Returns:
        A folder whose paths are those below ``prefix``. Processes that want the same folder wait for the one that downloads it.

    Raises:
        UserError: the download failed, or what came is not what was asked for.
    """
    place = cache() / "github" / repository.replace("/", "+") / commit
    final = place / (prefix.strip("/").replace("/", "+") or "all")
    if final.is_dir():
        return final
    url = f"{os.environ.get(HOST_VARIABLE, HOST).rstrip('/')}/{repository}/tar.gz/{commit}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with locks.lock(place / ".lock"), tempfile.TemporaryDirectory(dir=place, prefix=".part-") as temporary:
            if final.is_dir():
                return final
            log.info("downloading %s", url)
            archive, folder = Path(temporary) / "archive.tar.gz", Path(temporary) / "files"
            folder.mkdir()
            _get(url, archive)
            if not _extract(archive, prefix, folder, keep):
                raise UserError(f"The archive {url} holds nothing below '{prefix}'; {otherwise}.")
            check(folder)
            os.replace(folder, final)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UserError(
            f"Cannot download {url} ({str(error).splitlines()[0].rstrip('.') if str(error) else type(error).__name__}); {otherwise}."
        ) from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise UserError(f"The archive {url} is damaged ({error}); run again, or {otherwise}.") from error
    except OSError as error:
        raise UserError(f"Cannot keep {url} in '{place}': {error.strerror or error}; name another folder in {CACHE_VARIABLE}.") from error
    return final
