"""One undisturbed run, which all workers of the tests share, and copies of it at several stages."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.content import remove
from filelock import FileLock
from workflow.flow import Flow, copy_of

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = Path(__file__).resolve().parents[1] / "data" / "suites"
SMALL = {"models": ["mini-s", "mini-s-swapped"], "steps": [0, 30], "experiments": ["grammar"]}

# what of the finished run is removed, and the target whose making is disturbed
MEASURED = ("measurements", "store", "trajectories", "claims", "calibration", "recovery", "figures", "report.html", "claims.json")
STAGES = {
    "training": (("*",), ["results/miniature/audit.parquet", "results/miniature/stimuli/grammar.parquet"]),
    "measuring": (MEASURED, []),
    "reporting": (MEASURED[2:], []),
    "finished": ((), []),
}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A finished run. Not to be changed."""
    base = tmp_path_factory.getbasetemp()
    base = Path(os.environ["FAULTS_BASE"]) if "FAULTS_BASE" in os.environ else base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "undisturbed"
    with FileLock(base / "undisturbed.lock"):
        if not (folder / "done").exists():
            flow = Flow(copy_of(REPOSITORY, folder / "workflow"), SUITES)
            flow.configure(**SMALL)
            flow.run()
            (folder / "done").touch()
    return Flow(folder / "workflow", SUITES)


@pytest.fixture
def at(undisturbed: Flow, tmp_path: Path) -> Callable[[str], Flow]:
    """Make a copy of the finished run in which what comes after a stage's beginning is not made yet."""

    def make(stage: str) -> Flow:
        flow = undisturbed.twin(tmp_path / "run")
        remove(flow, *STAGES[stage][0])
        return flow

    return make
