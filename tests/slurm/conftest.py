"""The cluster of the tests, started once and stopped at the end."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from slurm.cluster import Cluster, absent


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real SLURM of one node with one GPU; skips where there can be none."""
    reason = absent() or ("" if importlib.util.find_spec("snakemake_executor_plugin_slurm") else "needs snakemake-executor-plugin-slurm")
    if reason:
        pytest.skip(reason)
    try:
        alone = FileLock("/run/lock/trajectories-slurm.lock").acquire(timeout=0)
    except Timeout:
        pytest.skip("other tests of this machine use its SLURM")
    with alone:
        # the daemons' own user must get to its files, which pytest's folders do not allow
        folder = Path(tempfile.mkdtemp(prefix="trajectories-slurm-"))
        folder.chmod(0o755)
        found = Cluster(folder)
        try:
            found.start()
            yield found
        finally:
            found.stop()
            shutil.rmtree(folder, ignore_errors=True)
