"""Which GPUs of this machine a process computes on: Snakemake counts them and hands out none, so each process claims its own.

A claim is a lock on a file of this machine, and holds until the process ends, however it ends. A job of SLURM has locks of its own: what
it may see is no other job's, but several processes may run in it (Snakemake in ``salloc``, grouped jobs), and they share that out.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from trajectories.errors import UserError

PAUSE = 1.0
"""Seconds between two looks for a free GPU."""

_GPU = re.compile(r"^(?P<part>\s*)(?:GPU|MIG) .*\(UUID: (?P<uuid>[^)]+)\)")
_held: list[FileLock] = []
_log = logging.getLogger(__name__)


def listed(output: str) -> list[list[str]]:
    """What ``nvidia-smi -L`` prints, as a list by index: the GPU's UUID, or those of its parts (MIG), which then stand for it."""
    found: list[list[str]] = []
    for line in output.splitlines():
        if match := _GPU.match(line):
            if not match["part"]:
                found.append([match["uuid"]])
            elif found:
                whole = found[-1]
                found[-1] = [*(uuid for uuid in whole if uuid.startswith("MIG-")), match["uuid"]]
    return found


def visible(variable: str | None, machine: Sequence[Sequence[str]]) -> list[str]:
    """The devices that a process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Args:
        variable: that variable's value, None if it is not set.
        machine: as :func:`listed`; empty where it is not known.

    Returns:
        UUIDs where they are known, else the variable's own words; what follows an entry that CUDA does not accept is hidden, as CUDA does.
    """
    if variable is None:
        return [uuid for parts in machine for uuid in parts]
    every = [uuid for parts in machine for uuid in parts]
    found: list[str] = []
    for entry in filter(None, (part.strip() for part in variable.split(","))):
        if entry.isdigit():
            if machine and int(entry) >= len(machine):
                break
            found += machine[int(entry)] if machine else [entry]
        elif entry.startswith(("GPU-", "MIG-")):
            found += [uuid for uuid in every if uuid.startswith(entry)] or [entry]
        else:
            break
    return list(dict.fromkeys(found))


def choose(devices: Sequence[str], number: int, folder: Path, wait: bool = True) -> tuple[list[str], list[FileLock]]:
    """Claim so many of the devices that no other process has claimed.

    Args:
        devices: as :func:`visible`.
        number: how many are wanted.
        folder: of this machine, where the locks are.
        wait: wait for others to end, or give up at once.

    Returns:
        The devices and the locks that hold the claim; both empty if it was given up.

    Raises:
        UserError: there are fewer devices than are wanted, or the locks cannot be written.
    """
    _enough(devices, number)
    told = False
    while True:
        taken: dict[str, FileLock] = {}
        for device in devices:
            if len(taken) < number and (lock := _try(folder, device)) is not None:
                taken[device] = lock
        if len(taken) == number:
            return list(taken), list(taken.values())
        for lock in taken.values():
            lock.release()
        if not wait:
            return [], []
        if not told:
            _log.warning("waiting for a GPU: %d can be seen and others use them; say --resources gpu=%d", len(devices), len(devices))
            told = True
        time.sleep(PAUSE)


def claim(device: str, number: int, environment: Mapping[str, str] = os.environ) -> None:
    """Let this process see only GPUs that are its own, until it ends; call it before CUDA is used.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        number: how many GPUs it wants.
        environment: of the process.

    Raises:
        UserError: as :func:`choose`.
    """
    if device == "cpu" or number < 1 or _held:
        return
    devices = visible(environment.get("CUDA_VISIBLE_DEVICES"), _machine())
    if not devices:
        return  # none, or no tool that would name them: torch finds out
    names, locks = choose(devices, number, _folder(environment))
    _held.extend(locks)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)
    _log.info("computing on %s", ", ".join(names))


def _folder(environment: Mapping[str, str]) -> Path:
    """Of the locks: one for all processes of a person, and one for each job of SLURM on each of its machines: every job may call its first
    GPU 0, and TMPDIR may be shared by the machines."""
    job = environment.get("SLURM_JOB_ID")
    names = ["trajectories-gpus", str(os.getuid()), *([job, socket.gethostname()] if job else [])]
    return Path(tempfile.gettempdir()) / _plain("-".join(names))


def _plain(name: str) -> str:
    """As part of a file's name."""
    return re.sub(r"[^A-Za-z0-9-]", "_", name)


def _enough(devices: Sequence[str], number: int) -> None:
    if number > len(devices):
        raise UserError(
            f"The model wants {number} GPUs and only {len(devices)} can be seen; choose a narrower 'dtype', or say in "
            "workflow/resources.yaml that it fits into fewer."
        )


def _machine() -> list[list[str]]:
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)  # noqa: S607 (wherever it is)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed(done.stdout)


def _try(folder: Path, device: str) -> FileLock | None:
    lock = FileLock(folder / f"{_plain(device)}.lock")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid != os.getuid():
            raise UserError(f"'{folder}' belongs to somebody else; remove it, or set TMPDIR to a folder of your own.")
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise UserError(f"Cannot write '{folder}': {error.strerror}; set TMPDIR to a folder that can be written.") from error
    return lock
