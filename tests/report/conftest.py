"""A made-up run, drawn and reported once for all tests that only read it."""

from __future__ import annotations

import pytest
from report import made_up


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> made_up.Run:
    """The made-up run with its figures and its report written."""
    with pytest.MonkeyPatch.context() as patch:
        run = made_up.make(tmp_path_factory.mktemp("results") / "made-up", patch, made_up.suite())
        run.figures()
        run.report()
    return run


@pytest.fixture(scope="session")
def html(finished: made_up.Run) -> str:
    """The report's HTML."""
    return finished.layout.report.read_text(encoding="utf-8")
