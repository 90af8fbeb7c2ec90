"""What a run has done, does now and has still to do, from the events that Snakemake logs and the progress lines of its jobs' logs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trajectories.progress import Line

_TAIL = 4096
# what a library or a name from outside may have written, and a terminal would obey
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def tail(path: Path, size: int = _TAIL) -> list[str]:
    """The last whole lines within the last ``size`` bytes of a file; empty if it is not there."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            lines = [_CONTROL.sub("\ufffd", line) for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return []
    return lines[1:] if end > size else lines


def last_progress(path: Path | None) -> Line | None:
    """The last progress line of a job's log."""
    # not at the top: Snakemake imports every logger plugin before it knows which copy of the package the workflow uses
    from trajectories.progress import Line

    for text in reversed(tail(path) if path else []):
        line = Line.parse(text)
        if line is not None:
            return line
    return None


@dataclass
class Job:
    """A running job: ``started`` is a clock's reading in seconds."""

    stage: str
    label: str
    log: Path | None
    started: float


@dataclass
class Stage:
    """The jobs of rules whose names begin with the same word."""

    total: int
    done: int = 0
    seconds: float = 0.0


@dataclass
class Run:
    """The state of a run.

    Args:
        budget: stage to the seconds that one of its jobs may take, which counts less the more jobs of that stage have been timed.
        clock: seconds since whenever.
    """

    budget: Mapping[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    cores: int = 1
    stages: dict[str, Stage] = field(default_factory=dict)
    running: dict[int, Job] = field(default_factory=dict)
    failed: int = 0

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def total(self) -> int:
        """Jobs planned."""
        return sum(stage.total for stage in self.stages.values())

    @property
    def done(self) -> int:
        """Jobs finished."""
        return sum(stage.done for stage in self.stages.values())

    def plan(self, stats: Mapping[str, int]) -> None:
        """Take over Snakemake's table of jobs by rule; targets do no work and are left out."""
        self.stages = {}
        for rule, count in stats.items():
            if rule not in ("total", "all"):
                name = rule.split("_")[0]
                self.stages.setdefault(name, Stage(0)).total += count

    def start(self, jobid: int, rule: str, wildcards: Mapping[str, Any], log: str | None) -> None:
        """A job begins."""
        name, _, rest = rule.partition("_")
        if name in self.stages:
            label = " ".join([name, *([rest] if rest else []), *(f"step {v}" if k == "step" else str(v) for k, v in wildcards.items())])
            self.running[jobid] = Job(name, label, Path(log) if log else None, self.clock())

    def finish(self, jobid: int) -> None:
        """A job ends well."""
        job = self.running.pop(jobid, None)
        if job is not None:
            stage = self.stages[job.stage]
            stage.done += 1
            stage.seconds += self.clock() - job.started

    def fail(self, jobid: int) -> None:
        """A job ends badly."""
        self.running.pop(jobid, None)
        self.failed += 1

    def seconds_per_job(self, name: str) -> float | None:
        """Mean of the stage's finished jobs, blended with its budget by how many are finished; one of the two, or None, if that is all.

        The first jobs of a stage tell little of the later ones: an extraction measures what others then find done.
        """
        stage, told = self.stages[name], self.budget.get(name)
        if not stage.done:
            return told
        mean = stage.seconds / stage.done
        return mean if told is None else told + (mean - told) * stage.done / stage.total

    def seconds_left_of(self, job: Job, line: Line | None) -> float | None:
        """What a running job tells, else what jobs like it took; None if neither is known."""
        if line is not None and line.seconds_left is not None:
            return float(line.seconds_left)
        mean = self.seconds_per_job(job.stage)
        return None if mean is None else max(0.0, mean - (self.clock() - job.started))

    def seconds_left(self) -> tuple[float, bool]:
        """Seconds until the run is over, and whether that counts every stage (else it is a lower bound).

        The work that is left is spread over the cores, but takes no less than the longest job that runs now.
        """
        work, longest, complete = 0.0, 0.0, True
        waiting = {name: stage.total - stage.done for name, stage in self.stages.items()}
        for job in list(self.running.values()):
            waiting[job.stage] -= 1
            left = self.seconds_left_of(job, last_progress(job.log))
            if left is None:
                complete = False
            else:
                work, longest = work + left, max(longest, left)
        for name, count in waiting.items():
            mean = self.seconds_per_job(name)
            if count > 0 and mean is None:
                complete = False
            elif count > 0 and mean is not None:
                work += count * mean
        return max(work / max(self.cores, 1), longest), complete
