"""A copy of the workflow in a folder of its own, run as a user would run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

# what a copy's config.yaml says unless a test says otherwise: few resamples, since these tests look at jobs, not at numbers
CONFIG = {
    "suite": "miniature",
    "models": "all",
    "steps": "all",
    "experiments": ["grammar", "memorization"],
    "device": "cpu",
    "grammar": {"analyse": {"draws": 100, "permutations": 100, "simulations": 20}},
    "memorization": {"stimuli": {"rows": 64}, "analyse": {"simulations": 40}},
}
_JOB = re.compile(r"^(?:local)?rule (?P<rule>[^:\s]+):$(?P<body>(?:\n    .*)*)", re.MULTILINE)
_WILDCARDS = re.compile(r"^    wildcards: (.*)$", re.MULTILINE)


def jobs(log: str) -> set[str]:
    """The jobs that a log of Snakemake lists, without the target: rule and wildcards' values, as in ``extract mini-s 10 grammar``."""
    found = set()
    for job in _JOB.finditer(log):
        wildcards = _WILDCARDS.search(job["body"])
        values = [pair.partition("=")[2] for pair in wildcards[1].split(", ")] if wildcards else []
        if job["rule"] != "all":
            found.add(" ".join([job["rule"], *values]))
    return found


def copy_of(repository: Path, folder: Path) -> Path:
    """Copy what git would clone, with what is new in the working tree."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=repository, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = repository / name, folder / name
        if name.startswith("tests/") or not (source.exists() or source.is_symlink()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target, follow_symlinks=False)
    return folder


def touch_everything(folder: Path) -> None:
    """Give all files newer times, in an order that says nothing."""
    subprocess.run(f"find '{folder}' -type f -not -path '*/.snakemake/*' -print0 | shuf -z | xargs -0 touch", shell=True, check=True)


@dataclass
class Flow:
    """A copy of the workflow: ``folder`` holds Snakefile and results, ``suites`` is where its suites lie besides its own."""

    folder: Path
    suites: Path

    def configure(self, **changes: object) -> None:
        """Write config.yaml: the usual test configuration with some keys changed."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))

    def environment(self) -> dict[str, str]:
        """Variables of a process that runs the copy's code."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        source = str(self.folder / "workflow" / "src")
        return {**os.environ, "PATH": path, "PYTHONPATH": source, "TRAJECTORIES_SUITES": str(self.suites), "OMP_NUM_THREADS": "1"}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``trajectories`` without Snakemake; standard error is in the output."""
        return self._run("trajectories", arguments, self.environment(), 300)

    def snakemake(self, *options: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run Snakemake as a person does who has not activated its environment; standard error is in the output."""
        return self._run("snakemake", ["--cores", "2", "--nocolor", *options], self._not_activated(), timeout)

    def start(self, log: Path, *options: str) -> subprocess.Popen[bytes]:
        """Start Snakemake as :meth:`snakemake` does, in a session of its own, and do not wait for it; ``log`` takes what it prints."""
        command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--nocolor", *options]
        with open(log, "wb") as out:
            return subprocess.Popen(
                command, cwd=self.folder, env=self._not_activated(), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _not_activated(self) -> dict[str, str]:
        environment = self.environment()
        del environment["PYTHONPATH"]
        return environment | {"PATH": os.environ["PATH"]}

    def _run(self, name: str, options: Sequence[str], environment: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name(name)), *options]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(self, *options: str) -> set[str]:
        """Run to the end; returns the jobs that were run."""
        done = self.snakemake(*options)
        assert done.returncode == 0, done.stdout[-6000:]
        return jobs(done.stdout)

    def planned(self, *options: str) -> set[str]:
        """The jobs that a dry run lists."""
        done = self.snakemake("-n", *options)
        assert done.returncode == 0, done.stdout[-6000:]
        found = jobs(done.stdout)
        assert found or "Nothing to be done" in done.stdout, done.stdout[-6000:]
        return found

    def edit(self, module: str) -> Path:
        """Change the code of a module of the copy's package."""
        path = self.folder / "workflow" / "src" / "trajectories" / module
        path.write_text(path.read_text() + "\nEDITED = True\n")
        return path

    def twin(self, folder: Path) -> Flow:
        """The whole folder once more, times of change included, as ``cp -a`` makes it."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Flow(folder, self.suites)
