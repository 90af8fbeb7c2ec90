"""Formatting, lint and types of everything that is code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

BIN = Path(sys.executable).parent

# what `snakemake --lint` complains of and we mean, by a part of its message
MEANT = {
    "uses variable MACHINE from outside": "device, batch size and the like change no result; as params they would rerun everything",
}


def check(repository: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=repository,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache"),
        ("ruff", "format", "--check", "--no-cache"),
        ("snakefmt", "--check", "Snakefile", "workflow/Snakefile", "workflow/rules"),
        ("mypy",),
    ],
    ids=["ruff check", "ruff format", "snakefmt", "mypy"],
)
def test_the_code_keeps_to(checkout: Path, tmp_path: Path, command: tuple[str, ...]):
    done = check(checkout, *command, MYPY_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("suite", ["nano", "pythia", "pythia-v0-published"])
def test_snakemake_has_no_complaint(checkout: Path, tmp_path: Path, suite: str):
    done = check(checkout, "snakemake", "--lint", "text", "--config", f"suite={suite}", f"results={tmp_path}")
    complaints = [text for text in done.stdout.splitlines() if text.startswith("    * ")]
    assert [text for text in complaints if not any(part in text for part in MEANT)] == [], done.stdout


def test_the_workflow_catalogs_path_is_the_same_workflow(checkout: Path, tmp_path: Path):
    done = check(checkout, "snakemake", "-s", "workflow/Snakefile", "-n", "--quiet", "rules", "--config", f"results={tmp_path}")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "extract" in done.stdout


def test_every_lock_is_what_the_dependencies_allow(checkout: Path):
    """Every direct dependency is locked, in each file, at a version that its bound admits."""
    import tomllib

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    extra = [Requirement(text) for text in project["optional-dependencies"]["test"]]
    run = [Requirement(text) for text in project["dependencies"]]
    for name, wanted in [("requirements.txt", run), ("requirements-test.txt", run + extra), ("trajectories.yaml", run)]:
        text = (checkout / "envs" / name).read_text()
        lines = yaml.safe_load(text)["dependencies"][-1]["pip"] if name.endswith(".yaml") else text.splitlines()
        pins = [Requirement(line) for line in lines if not line.startswith("#")]
        for requirement in wanted:
            found = [pin for pin in pins if canonicalize_name(pin.name) == canonicalize_name(requirement.name)]
            assert found, f"{requirement.name} is not in {name}"
            assert all(requirement.specifier.contains(next(iter(pin.specifier)).version) for pin in found), f"{requirement} in {name}"


def test_no_lock_names_a_registry_or_what_only_one_kind_of_machine_needs(checkout: Path):
    for path in (checkout / "envs").glob("*.*"):
        if path.suffix in {".txt", ".yaml"}:
            text = path.read_text()
            assert "://" not in text
            assert "nvidia" not in text
            assert "+cpu" not in text
