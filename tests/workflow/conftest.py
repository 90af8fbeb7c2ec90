"""One run of the whole workflow, which all tests of this folder look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workflow.flow import Flow, copy_of

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = Path(__file__).resolve().parents[1] / "data" / "suites"

# the finished run leaves out a model, a step and an experiment, which tests add
LESS = {"models": ["mini-s", "mini-s-swapped"], "steps": [0, 20, 30], "experiments": ["grammar"]}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A finished run on the miniature suite with less than all of it. Not to be changed: take a ``twin``."""
    flow = Flow(copy_of(REPOSITORY, tmp_path_factory.mktemp("finished") / "workflow"), SUITES)
    flow.configure(**LESS)
    flow.run()
    return flow


@pytest.fixture
def twin(finished: Flow, tmp_path: Path) -> Flow:
    """The finished run's folder once more, to be changed."""
    return finished.twin(tmp_path / "twin")


@pytest.fixture
def clone(finished: Flow, tmp_path: Path) -> Callable[[bool], Flow]:
    """Make a fresh clone of the code with the finished results copied in, with or without Snakemake's own records."""

    def make(records: bool) -> Flow:
        flow = Flow(copy_of(REPOSITORY, tmp_path / "clone"), finished.suites)
        flow.configure(**LESS)
        for name in ["results", *([".snakemake"] if records else [])]:
            Flow(finished.folder / name, finished.suites).twin(flow.folder / name)
        return flow

    return make


@pytest.fixture(scope="session")
def unrun(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A copy in which nothing has been run."""
    flow = Flow(copy_of(REPOSITORY, tmp_path_factory.mktemp("unrun") / "workflow"), SUITES)
    flow.configure()
    return flow
