"""The command's verbs on a results folder, in this process: what Snakemake would start, without its start."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.conftest import SMALL
from trajectories import cli

OPTIONS = ["--device", "cpu", "--experiments", "grammar", "--steps", ",".join(map(str, SMALL["steps"]))]


class Verbs:
    """Runs verbs with the recipes that lie in a results folder, as the rules do.

    Args:
        root: ``results/<suite>``.
        capture: takes what is printed.
    """

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]):
        self.root, self._capture = root, capture

    def __call__(self, command: str) -> tuple[int, str]:
        """Run ``<verb> <targets>``; returns the exit code and what stands on standard error."""
        verb, *targets = command.split()
        named = [t for t in targets if not t.isdigit() and t != "all"][: 1 if verb in ("extract", "fetch") else None]
        [recipe] = self.root.glob(f"recipes/{'.'.join([verb, *named])}-{'?' * 16}.json")
        self._capture.readouterr()
        code = cli.main([verb, *targets, "--recipe", str(recipe), *OPTIONS])
        return code, self._capture.readouterr().err

    def well(self, *commands: str) -> None:
        """Run verbs that must end well."""
        for command in commands:
            code, said = self(command)
            assert code == 0, f"{command}: {said}"
