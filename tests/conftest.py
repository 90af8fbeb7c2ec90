"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# numerical libraries of several test processes must not fight for the same processors
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# else huggingface_hub asks the endpoint, here a loopback one, for a list and keeps the answer in the user's cache
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """SLURM's test first, since it mostly waits, then those that stay together on one worker: at the end, the other workers would idle."""
    items.sort(key=lambda item: (item.get_closest_marker("slurm") is None, item.get_closest_marker("xdist_group") is None))


@pytest.fixture(scope="session", autouse=True)
def _downloads(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests download is kept apart from what the user has downloaded, and goes with the tests' other files."""
    os.environ["TRAJECTORIES_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the working copy."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Local copies of the public data sets: ``$TRAJECTORIES_TEST_DATA``, or ``shared/data`` beside the repository."""
    folder = Path(os.environ.get("TRAJECTORIES_TEST_DATA", REPOSITORY.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"needs the public data sets in {folder} (or name their folder in TRAJECTORIES_TEST_DATA)")
    return folder
