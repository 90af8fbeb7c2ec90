"""A disk that fills up while a verb writes: one sentence, nothing half-written, and the same verb finishes once there is room."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.content import differences, half_written, results
from faults.verbs import Verbs
from workflow.flow import Flow

VERBS = [
    "corpus",
    "order standard",
    "order swapped",
    "order unseen",
    "stimuli grammar",
    "train mini-s",
    "train mini-s-swapped",
    "audit mini-s",
    "audit mini-s-swapped",
    "audit all",
    "extract mini-s 30 grammar",
    "extract mini-s 0 grammar",
    "extract mini-s-swapped 30 grammar",
    "analyse grammar",
    "figures grammar",
    "report",
]
PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system can be mounted by root only ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, pages: int) -> Path:
    """Leave so many pages of 4,096 bytes."""
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - pages * PAGE)
    return ballast


def test_every_verb_survives_a_disk_that_fills_up(disk: Path, undisturbed: Flow, capsys: pytest.CaptureFixture[str]):
    root, chance, struck = disk / "results" / "miniature", random.Random(3), []
    shutil.copytree(results(undisturbed) / "recipes", root / "recipes")
    verb = Verbs(root, capsys)
    for command in VERBS:
        ballast = fill(disk, chance.choice([0, 1, 2, 4, 8]))
        code, said = verb(command)
        if code:
            struck.append(command)
            assert "Traceback" not in said
            assert "full" in said or "No space left" in said, f"{command}: {said}"
            assert half_written(root) == []
        ballast.unlink()
        verb.well(command)
    assert differences(root, results(undisturbed)) == []
    assert {command.split()[0] for command in struck} == {command.split()[0] for command in VERBS}
