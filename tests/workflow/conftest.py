"""One run of the whole workflow, which all tests of this folder look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workflow.flow import Flow, copy_of, touch_everything

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = Path(__file__).resolve().parents[1] / "data" / "suites"

# the finished run leaves out a model, a step and an experiment, which tests add
LESS = {"models": ["mini-s", "mini-s-swapped"], "steps": [0, 20, 30], "experiments": ["grammar"]}


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """The workflow as it is when the tests begin, however long they take and whoever edits it meanwhile."""
    return Flow(copy_of(REPOSITORY, tmp_path_factory.mktemp("code") / "workflow"), SUITES)


@pytest.fixture(scope="session")
def finished(code: Flow, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A finished run on the miniature suite with less than all of it. Not to be changed: take a ``twin``."""
    flow = code.twin(tmp_path_factory.mktemp("finished") / "workflow")
    flow.configure(**LESS)
    flow.run()
    return flow


@pytest.fixture
def twin(finished: Flow, tmp_path: Path) -> Flow:
    """The finished run's folder once more, to be changed."""
    return finished.twin(tmp_path / "twin")


@pytest.fixture
def clone(code: Flow, finished: Flow, tmp_path: Path) -> Callable[[bool], Flow]:
    """Make a fresh clone of the code with the finished results copied in, with or without Snakemake's own records."""

    def make(records: bool) -> Flow:
        flow = code.twin(tmp_path / "clone")
        touch_everything(flow.folder)  # a clone's files are new
        flow.configure(**LESS)
        for name in ["results", *([".snakemake"] if records else [])]:
            Flow(finished.folder / name, finished.suites).twin(flow.folder / name)
        return flow

    return make


@pytest.fixture(scope="session")
def unrun(code: Flow, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """A copy in which nothing has been run."""
    flow = code.twin(tmp_path_factory.mktemp("unrun") / "workflow")
    flow.configure()
    return flow
