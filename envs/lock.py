"""Derive every environment from the dependencies in pyproject.toml: `make lock`. Needs uv; whoever installs needs only pip.

Writes beside itself:
    requirements.txt       what a run needs, exact versions, for every supported Python
    requirements-test.txt  the same and what tests, lint and comparisons need
    trajectories.yaml      the same as requirements.txt as a conda environment, which every rule names
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = """\
# Written by `make lock` from pyproject.toml; do not edit.
# Without hashes, and torch without the libraries of the GPU that it brings along: which build of torch suits a machine is for pip to find.
"""
# what torch's builds for GPUs require; they pin it themselves, and the build for CPUs does without
BROUGHT_BY_TORCH = re.compile(r"^(nvidia-|cuda-|triton\b)")


def compiled(*options: str) -> list[str]:
    """The locked requirements, one line each, without those that torch brings along."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11"]
    command += ["--no-header", "--no-annotate", "--quiet"]
    done = subprocess.run([*command, *options], cwd=HERE.parent, capture_output=True, text=True, check=False)  # noqa: S603 (a fixed command)
    if done.returncode:
        sys.exit(f"uv could not resolve the dependencies:\n{done.stderr}")
    return [line for line in done.stdout.splitlines() if not BROUGHT_BY_TORCH.match(line)]


def main() -> None:
    """Write the three files."""
    tests = compiled("--extra", "test", *(["--upgrade"] if "--upgrade" in sys.argv else []))
    lock = HERE / "requirements-test.txt"
    lock.write_text(HEADER + "\n".join(tests) + "\n", encoding="utf-8")
    run = compiled("--constraint", str(lock))
    (HERE / "requirements.txt").write_text(HEADER + "\n".join(run) + "\n", encoding="utf-8")
    pip = "".join(f"      - {line!r}\n" if "'" not in line else f'      - "{line}"\n' for line in run)
    (HERE / "trajectories.yaml").write_text(
        HEADER + f"channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python =3.12\n  - pip\n  - pip:\n{pip}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
