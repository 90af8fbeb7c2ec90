"""SIGKILL at any moment, of everything, of Snakemake alone, or of one job: the same command finishes, with the same bytes.

``TRAJECTORIES_FAULTS=all`` tries all moments; without it some of them, spread over the run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.conftest import STAGES
from faults.content import differences, half_written, results, worth_keeping
from faults.processes import begun, finished, jobs_of, kill_all, wait_for
from workflow.flow import Flow, jobs

SEED = 20
JOBS = {"training": 10, "measuring": 6}
"""How many jobs each stage has."""


@dataclass(frozen=True)
class Moment:
    """When and what to kill: so many seconds after so many jobs have begun; all processes, or Snakemake alone, whose jobs then go on."""

    stage: str
    begun: int
    seconds: float
    alone: bool

    def __str__(self) -> str:
        return f"{self.stage}-{self.begun}-jobs-begun-plus-{self.seconds}s-{'snakemake' if self.alone else 'all'}"


def moments(number: int = 20) -> list[Moment]:
    """Random moments, one in each of as many parts of equal length of a run."""
    chance, found = random.Random(SEED), []
    total = sum(JOBS.values())
    for i in range(number):
        at = (i + chance.random()) * total / number
        stage, inside = ("training", at) if at < JOBS["training"] else ("measuring", at - JOBS["training"])
        found.append(Moment(stage, int(inside), round(chance.uniform(0, 3), 2), bool(i % 2)))
    return found


ALL = moments()
CHOSEN = ALL if os.environ.get("TRAJECTORIES_FAULTS") == "all" else [ALL[i] for i in (5, 8, 14, 17)]


@pytest.mark.parametrize("moment", CHOSEN, ids=str)
def test_a_run_that_was_killed_is_finished_by_the_same_command(
    at: Callable[[str], Flow], undisturbed: Flow, tmp_path: Path, moment: Moment
):
    flow, targets, log = at(moment.stage), STAGES[moment.stage][1], tmp_path / "killed.log"
    run = flow.start(log, *targets)
    wait_for(lambda: begun(log) >= moment.begun, run)
    time.sleep(moment.seconds)
    if moment.alone:
        run.kill()
        run.wait()
    else:
        kill_all(run)
        assert half_written(results(flow)) == []
    kept, before = worth_keeping(results(flow)), finished(log.read_text())
    again = flow.snakemake(*targets)
    assert again.returncode == 0, again.stdout[-6000:]
    wrong = differences(results(flow), results(undisturbed))
    wrong = [name for name in wrong if moment.stage != "training" or (results(flow) / name).exists()]  # the rest was not asked for
    assert wrong == []
    assert not jobs(again.stdout) & before, "what was finished is not done again"
    after = worth_keeping(results(flow))
    assert {path: after[path] for path in kept} == kept, "no checkpoint is trained or measured twice"
    assert flow.planned(*targets) == set()


@pytest.mark.parametrize(
    ("stage", "verbs"), [("training", ["corpus", "stimuli", "train"]), ("measuring", ["extract", "analyse", "figures", "report"])]
)
def test_a_run_whose_jobs_are_killed_one_after_the_other_is_finished(
    at: Callable[[str], Flow], undisturbed: Flow, tmp_path: Path, stage: str, verbs: list[str]
):
    flow, targets, log = at(stage), STAGES[stage][1], tmp_path / "killed.log"
    chance = random.Random(SEED)
    for verb in verbs:
        run = flow.start(log, *targets)
        assert wait_for(lambda verb=verb, run=run: jobs_of(run.pid, verb), run), log.read_text()
        time.sleep(chance.uniform(0, 3 if verb in ("train", "extract") else 0.5))
        for job in jobs_of(run.pid, verb):
            with suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
        assert run.wait(300) == 1, log.read_text()
        assert half_written(results(flow)) == []
    flow.run(*targets)
    wrong = differences(results(flow), results(undisturbed))
    assert [name for name in wrong if stage != "training" or (results(flow) / name).exists()] == []
