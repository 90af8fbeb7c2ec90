"""Rows that were read over the network, kept for later jobs and runs.

A folder per content of an order holds immutable files, one for each some megabytes that were fetched: an index (row numbers and a digest of
each row, a NumPy array), then the rows. A file is written whole under a name that its rows give, so any number of processes, also on a
shared file system, need no locks; whoever wants a row looks for it in all of them, whatever it was once fetched along with. A file per row
would be a burden to file systems of clusters, a file per sample of no use to other samples, and a database needs locks that network file
systems do not keep.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import numpy as np

from trajectories import tables
from trajectories.errors import UserError

LARGEST = 8 << 30
"""Most bytes of all orders' rows that are kept; beyond it, those that have not been used for the longest time go."""
_TRIM_EVERY = 50
"""Files written by one process until it looks again how large the whole has become."""
_INDEX = np.dtype([("row", "<i8"), ("digest", "u1", 16)])
log = logging.getLogger(__name__)


def _digest(row: int, data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=16, key=row.to_bytes(8, "little")).digest()


class RowCache:
    """Rows of one order, by number; what is found damaged counts as absent.

    Args:
        folder: of this order's content; its siblings are other orders'.
        row_tokens: tokens per row, two bytes each.
    """

    def __init__(self, folder: Path, row_tokens: int):
        self._folder, self._width = Path(folder), row_tokens * 2
        self._known: dict[str, tuple[np.ndarray, int]] = {}
        self._written, self._complained = 0, False

    def take(self, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Copy the rows that are kept to their places in ``out``; returns which these are.

        Args:
            rows: ascending row numbers [n].
            out: uint16 [n, row_tokens].
        """
        found = np.zeros(len(rows), bool)
        places = out.reshape(-1).view(np.uint8).data
        for name, (index, base) in self._files().items():
            if found.all():
                break
            at = np.minimum(np.searchsorted(index["row"], rows), len(index) - 1)
            here = np.flatnonzero(~found & (index["row"][at] == rows))
            if not len(here):
                continue
            try:
                with open(self._folder / name, "rb", buffering=0) as file:
                    for i in here.tolist():
                        file.seek(base + int(at[i]) * self._width)
                        place = places[i * self._width : (i + 1) * self._width]
                        whole = file.readinto(place) == self._width
                        found[i] = whole and _digest(int(rows[i]), place) == index["digest"][at[i]].tobytes()
                os.utime(self._folder / name)
            except OSError:
                continue  # removed by another process, or not ours to touch
            if not found[here].all():
                log.info("Rows kept in '%s' are damaged; they are read again.", self._folder / name)
        return found

    def put(self, rows: np.ndarray, data: np.ndarray) -> None:
        """Keep rows; where that fails (no space, no right to write) it is said once, and they are read again another time.

        Args:
            rows: ascending row numbers [n].
            data: uint16 [n, row_tokens].
        """
        index = np.empty(len(rows), _INDEX)
        index["row"] = rows
        view = np.ascontiguousarray(data, "<u2").reshape(-1).view(np.uint8).data
        for i, row in enumerate(rows.tolist()):
            index["digest"][i] = np.frombuffer(_digest(row, view[i * self._width : (i + 1) * self._width]), np.uint8)
        name = f"{rows[0]}-{rows[-1]}-{hashlib.sha256(index.tobytes()).hexdigest()[:16]}.rows"
        try:
            with tables.replacing(self._folder / name) as temporary, open(temporary, "wb") as file:
                np.save(file, index, allow_pickle=False)
                file.write(view)
            if self._written % _TRIM_EVERY == 0:
                _trim(self._folder.parent)
            self._written += 1
        except (UserError, OSError) as error:
            if not self._complained:
                log.warning("Rows read from the Hub are not kept for later runs (%s)", str(error).rstrip("."))
            self._complained = True

    def _files(self) -> dict[str, tuple[np.ndarray, int]]:
        """The files that are there now: index, and at which byte the rows begin."""
        try:
            names = {path.name for path in self._folder.glob("*.rows")}
        except OSError:
            names = set()
        for name in names - set(self._known):
            try:
                with open(self._folder / name, "rb") as file:
                    index = np.lib.format.read_array(file, allow_pickle=False)
                    if index.dtype == _INDEX and index.ndim == 1 and len(index) and np.all(np.diff(index["row"]) > 0):
                        self._known[name] = index, file.tell()
            except (OSError, ValueError, EOFError):
                continue  # damaged: its rows are read and written again, and it goes when it is the oldest
        self._known = {name: entry for name, entry in self._known.items() if name in names}
        return self._known


def _trim(folder: Path) -> None:
    """Remove the files that have not been used for the longest time until the rest fits :data:`LARGEST`."""
    files = []
    for path in folder.glob("*/*"):
        try:
            status = path.stat()
        except OSError:
            continue
        files.append((status.st_mtime, status.st_size, path))
    excess = sum(size for _, size, _ in files) - LARGEST
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        path.unlink(missing_ok=True)
        excess -= size
