"""A made-up run, drawn and reported once for all tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator

import made_up
import pytest


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[made_up.Run]:
    """The made-up run with its figures and its report written."""
    with pytest.MonkeyPatch.context() as patch:
        run = made_up.make(tmp_path_factory.mktemp("results") / "made-up", patch, made_up.suite())
        run.figures()
        run.report()
        yield run


@pytest.fixture(scope="session")
def html(finished: made_up.Run) -> str:
    """The report's HTML."""
    return finished.layout.report.read_text(encoding="utf-8")
