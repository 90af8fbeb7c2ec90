"""Archives on loopback, and a cache of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from published.archives import Archives, serving
from trajectories import download


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(download, "WAIT", 0.0)
    with serving() as state:
        monkeypatch.setenv(download.HOST_VARIABLE, state.url)
        yield state
