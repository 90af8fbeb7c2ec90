"""Locks between processes: who works on something holds its file, and the system frees it when the holder ends, however it ends.

So a lock is never left behind by a process that was killed. Locks go across machines where the file system's do (NFS does); where it has
none, they count as held.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from trajectories.errors import UserError


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"Cannot write '{path}': {error.strerror}; free space or fix the folder, then run again.") from error


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock ``path`` for a block; whoever else wants it waits."""
    handle = _open(path)
    try:
        if not _try(handle):
            print("Another process is making the same, perhaps one of a run that was stopped; waiting for it to end.", flush=True)
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def only_run(root: Path) -> None:
    """Hold the results of a suite until this process ends.

    Raises:
        UserError: another run holds them; it is named.
    """
    path = root / ".run.lock"
    handle = _open(path)
    if not _try(handle):
        holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "it is just starting"
        os.close(handle)
        raise UserError(f"Another run works on '{root}' ({holder}); wait until it has ended, then run again. Nothing was changed.")
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
