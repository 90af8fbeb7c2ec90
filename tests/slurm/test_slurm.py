"""The miniature workflow through a real SLURM: the same tables as on one machine, whatever happens on the way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm.cluster import Cluster
from workflow.flow import Flow, copy_of

TESTS = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm")]

# two models, so that two packs of checkpoints want the one GPU; `auto` asks for it on a cluster, and finds none
CHOSEN = {"models": ["mini-s", "mini-m"], "steps": [0, 30], "experiments": ["grammar"], "device": "auto"}
# this cluster has no accounting; the rest is for speed
HERE = ["--slurm-status-command", "squeue", "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1"]
HERE += ["--seconds-between-status-checks", "2", "--max-status-checks-per-second", "1", "--latency-wait", "10"]

# wants more time than it asks for at first: SLURM's shortest limit is a minute
IMPATIENT = """
from trajectories.resources import growing

rule all:
    input: "done.txt"

rule impatient:
    output: "done.txt"
    resources: runtime=growing(1), mem_mb=growing(100)
    shell: "if [ {resources.runtime} = 1 ]; then sleep 600; fi; echo {resources.runtime} {resources.mem_mb} > {output}"
"""


def without_accounting(folder: Path) -> str:
    """A PATH without `sacct`: the plugin falls back to it, and never returns, where the controller is away when it asks."""
    folder.mkdir()
    kept = []
    for place in map(Path, os.environ["PATH"].split(os.pathsep)):
        if not (place / "sacct").exists():
            kept.append(str(place))
            continue
        for program in place.iterdir():
            if program.name != "sacct" and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return os.pathsep.join([*kept, str(folder)])


def start(flow: Flow, path: str, *options: str) -> subprocess.Popen[str]:
    """Start Snakemake under the profile for SLURM, in a group of processes of its own."""
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    profile = ["--workflow-profile", str(flow.folder / "workflow" / "profiles" / "slurm")]
    return subprocess.Popen(
        ["timeout", "--foreground", "-k", "5", "400", snakemake, "--nocolor", *profile, *HERE, *options],
        cwd=flow.folder,
        env={**os.environ, "PATH": path, "TRAJECTORIES_SUITES": str(flow.suites), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def contending(cluster: Cluster) -> tuple[int, int]:
    """How many jobs with a GPU run, and how many wait."""
    running, waiting = (cluster.says("squeue", "-h", "-t", state, "-O", "tres-per-job:40").count("gpu") for state in ("RUNNING", "PENDING"))
    return running, waiting


def finished(process: subprocess.Popen[str]) -> str:
    out = process.communicate(timeout=450)[0]
    assert process.returncode == 0, out[-8000:]
    return out


def contents(flow: Flow) -> dict[str, bytes]:
    """What the run found, file by file."""
    root = flow.folder / "results" / "miniature"
    paths = [*root.rglob("*.parquet"), root / "report.html", root / "claims.json"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if "store" not in path.relative_to(root).parts}


def test_a_cluster_gives_the_tables_of_one_machine_though_jobs_contend_time_runs_out_and_the_controller_is_restarted(
    cluster: Cluster, checkout: Path, tmp_path: Path
) -> None:
    flow = Flow(copy_of(checkout, tmp_path / "cluster"), TESTS / "data" / "suites")
    flow.configure(**CHOSEN)
    local = flow.twin(tmp_path / "local")
    (tmp_path / "impatient").mkdir()
    slow = Flow(flow.twin(tmp_path / "impatient" / "workflow").folder, flow.suites)
    (slow.folder / "Snakefile").write_text(IMPATIENT)

    path = without_accounting(tmp_path / "programs")
    impatient = start(slow, path, "--config", "unused=1")
    process = start(flow, path)
    try:
        cluster.wait(lambda: process.poll() is not None or contending(cluster) == (1, 1), "no jobs contend", 300)
        assert process.poll() is None, finished(process)
        cluster.stop_controller()
        time.sleep(1)
        assert "DOWN" in cluster.says("scontrol", "ping")
        cluster.start_controller()
        local.run("--cores", "1")
        log = finished(process)
        told = finished(impatient)
    finally:
        for one in (process, impatient):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait(timeout=10)

    assert contents(flow) == contents(local)
    assert len(contents(flow)) > 15
    assert len(re.findall("submitted with SLURM jobid", log)) == 8
    # the first attempt was ended by SLURM, the second was given twice as much
    assert (slow.folder / "done.txt").read_text() == "2 200\n"
    assert "TIMEOUT" in told
