"""A loopback Hub that serves tiny checkpoints of a model named like one of EleutherAI's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub.server import LoopbackHub, Repository
from hub.tiny import NAME, TOKEN, Workplace, checkpoint
from trajectories.hub import client


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """The server, as HF_ENDPOINT, with a token that the user has; its address is all that the client knows."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with LoopbackHub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


@pytest.fixture
def pythia(hub: LoopbackHub) -> Repository:
    return hub.add(
        NAME, {"main": checkpoint(3), "step0": checkpoint(0), "step1": checkpoint(1), "step2": checkpoint(2), "step143000": checkpoint(3)}
    )


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the client would have slept; it does not."""
    slept: list[float] = []
    monkeypatch.setattr(client, "_sleep", slept.append)
    return slept


@pytest.fixture
def running(hub: LoopbackHub) -> Callable[[], int]:
    """How many bytes the fetching of large files has cost so far; the audit, unlike it, asks for ranges with an end."""
    return lambda: sum(r.sent for r in hub.asked("^/storage/") if not re.fullmatch(r"bytes=\d+-\d+", r.range or ""))
