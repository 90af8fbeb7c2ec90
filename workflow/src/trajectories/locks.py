"""Locks that hold between processes of one machine and of several that share a file system.

A lock is a file that its holder makes, or finds there and waits. The holder touches it now and then; whoever waits takes it over when it
has not changed for :data:`LEASE` seconds of the waiting process's own clock, so the machines' clocks need not agree and the file system
need not honour ``flock``. On the holder's own machine a killed holder is noticed at once, unless it was killed before it had written its
name. A holder that was stopped for longer than the lease goes on without the lock: nothing but double work may depend on it, and whoever
destroys something asks first whether it is held.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

from trajectories.errors import UserError

LEASE = 180.0
"""Seconds without a sign of life after which a lock is taken over: three times as long as NFS may keep the old times of a file."""

HEARTBEAT = 15.0
"""Seconds between two signs of life."""

PAUSE = 0.25
"""Seconds between two looks at a lock that is waited for."""

SECOND_LOOK = 3.0
"""Seconds in which the lock of a run that was killed on this machine is found to be nobody's."""

_log = logging.getLogger(__name__)
_unwritten: dict[Path, tuple[tuple[int, int], float]] = {}
"""Locks that were found empty, by which file and since when, over all attempts of this process."""


class Held:
    """Whether a lock is held: true from when it was got until it is let go, or until another process has taken it over."""

    def __init__(self, lease: SoftFileLease | None):
        self._lease = lease

    def __bool__(self) -> bool:
        lease = self._lease
        return lease is not None and lease.is_locked and lease.compromise is None and lease.is_lock_held_by_us


@contextlib.contextmanager
def lock(path: Path, wait: bool = True, lease: float = LEASE, heartbeat: float = HEARTBEAT) -> Iterator[Held]:
    """Hold a lock for the length of the block; it may be let go in another thread than it was got in.

    Args:
        path: the lock's file; its folder is made.
        wait: wait for a lock that is held, or give up at once.
        lease: seconds, the same for all who use this path.
        heartbeat: seconds, shorter than the lease.

    Raises:
        UserError: the file cannot be written, or another version of the workflow left it.
    """
    got = _acquire(path, -1 if wait else 0, lease, heartbeat)
    try:
        yield Held(got)
    finally:
        if got is not None:
            with contextlib.suppress(OSError):  # the file system is away: the lease ends by itself
                got.release()


def only_run(root: Path, lease: float = LEASE, heartbeat: float = HEARTBEAT) -> None:
    """Hold a suite's results until this process ends, however it ends.

    A run that was killed on this machine is noticed at once; of one on another machine that can be told only by its silence, which is
    waited for.

    Raises:
        UserError: another run holds them, or the lock cannot be written.
    """
    path = root / ".run.lock"
    got = _acquire(path, SECOND_LOOK, lease, heartbeat)
    if got is None and (host := _holder(path, lease, heartbeat)[1]) != socket.gethostname():
        _log.warning("A run on '%s' works on '%s'; waiting up to %.0f s to see whether it is alive.", host, root, 1.2 * lease)
        got = _acquire(path, 1.2 * lease, lease, heartbeat)
    if got is None:
        process, host = _holder(path, lease, heartbeat)
        raise UserError(
            f"Another run works on '{root}' (process {process} on {host}); wait until it has ended, then run again. Nothing was changed."
        )
    atexit.register(got.release)


def _holder(path: Path, lease: float, heartbeat: float) -> tuple[int | str, str]:
    """The process that holds a lock and its machine; not known while it has not written them."""
    owner = SoftFileLease(path, lease_duration=lease, heartbeat_interval=heartbeat, thread_local=False).owner
    return (owner.pid, owner.hostname) if owner is not None else ("not known", "a machine not known")


def _let_go_unwritten(path: Path, lease: float) -> bool:
    """Remove a lock that has been empty for a lease: its holder was killed before it wrote its name, and filelock leaves such a file alone.

    Returns:
        False, whatever was found, as it is asked whether waiting should end.
    """
    try:
        with open(path, "rb") as file:
            empty, about = not file.read(1), os.fstat(file.fileno())
    except FileNotFoundError:
        empty = False
    if not empty:
        _unwritten.pop(path, None)
        return False
    made = (about.st_ino, about.st_mtime_ns)
    if _unwritten.get(path, (None, 0.0))[0] != made:
        _unwritten[path] = made, time.monotonic()
    elif time.monotonic() - _unwritten[path][1] >= lease:
        path.unlink(missing_ok=True)
    return False


def _acquire(path: Path, seconds: float, lease: float = LEASE, heartbeat: float = HEARTBEAT) -> SoftFileLease | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = SoftFileLease(path, lease_duration=lease, heartbeat_interval=heartbeat, thread_local=False, poll_interval=PAUSE)
        _let_go_unwritten(path, lease)
        held.acquire(timeout=seconds, cancel_check=lambda: _let_go_unwritten(path, lease))
    except Timeout:
        return None
    except OSError as error:
        raise UserError(f"Cannot write '{path.parent}': {error.strerror}; choose another folder or free it.") from error
    except LeaseSettingsMismatch as error:
        raise UserError(f"The lock '{path}' is not one of this version; delete it when no run uses its folder.") from error
    return held
