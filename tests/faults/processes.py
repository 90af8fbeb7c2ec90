"""Processes to be killed: those of a run's session, found in /proc."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workflow.flow import jobs

_STARTED = re.compile(r"^(?:local)?rule (?!all:)[^:\s]+:$", re.MULTILINE)
_BLOCK = re.compile(r"^(?:local)?rule [^:\s]+:$(?:\n    .*)*", re.MULTILINE)


def of_session(session: int) -> dict[int, str]:
    """Command line by process id of all that a run has started."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def kill_all(run: subprocess.Popen[bytes]) -> None:
    """SIGKILL for Snakemake, first, and for all its jobs."""
    run.kill()
    while others := of_session(run.pid):
        for process in others:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        run.poll()
    run.wait()


def wait_for(what: Callable[[], object], run: subprocess.Popen[bytes], seconds: float = 400) -> bool:
    """Wait until ``what`` is true; False if the run ends before. A lock that was killed half-written holds for a lease."""
    deadline = time.monotonic() + seconds
    while not what():
        if run.poll() is not None:
            return False
        assert time.monotonic() < deadline, "the run does not get there"
        time.sleep(0.02)
    return True


def begun(log: Path) -> int:
    """How many jobs a run has started."""
    return len(_STARTED.findall(log.read_text()))


def finished(log: str) -> set[str]:
    """The jobs that a log says are finished, named as :func:`workflow.flow.jobs` does."""
    done = re.findall(r"^Finished jobid: (\d+) ", log, re.MULTILINE)
    blocks = {match[0].partition("jobid: ")[2].split("\n")[0]: match[0] for match in _BLOCK.finditer(log)}
    return set().union(*(jobs(blocks[number]) for number in done if number in blocks))


def jobs_of(session: int, verb: str) -> list[int]:
    """The processes of a session that run a verb of the command."""
    return [process for process, command in of_session(session).items() if re.search(rf"python\S* \S*/trajectories {verb}\b", command)]
