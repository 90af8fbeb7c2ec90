"""The miniature workflow through a real SLURM: the same tables as on one machine, whatever happens on the way."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from slurm.cluster import Cluster
from workflow.flow import Flow, copy_of

TESTS = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm")]

# two models, so that two packs of checkpoints want the one GPU; `auto` asks for it on a cluster, and finds none
CHOSEN = {"models": ["mini-s", "mini-m"], "steps": [0, 30], "experiments": ["grammar"], "device": "auto"}
# seconds that a run may take on a loaded machine
LONGEST = 900
# quicker than the profile, and otherwise as it is
HERE = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2", "--max-status-checks-per-second", "1"]
HERE += ["--latency-wait", "10"]

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


def start(flow: Flow, *options: str) -> subprocess.Popen[bytes]:
    """Start Snakemake under the profile for SLURM, in a group of processes of its own."""
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    profile = ["--workflow-profile", str(flow.folder / "workflow" / "profiles" / "slurm")]
    with said(flow).open("w") as out:
        return subprocess.Popen(
            ["timeout", "--foreground", "-k", "5", str(LONGEST), snakemake, "--nocolor", *profile, *HERE, *options],
            cwd=flow.folder,
            env={**os.environ, "TRAJECTORIES_SUITES": str(flow.suites), "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def said(flow: Flow) -> Path:
    """What a run prints."""
    return flow.folder / "printed.log"


def submitted(flow: Flow) -> set[str]:
    """The jobs and packs that have been submitted so far."""
    return set(re.findall(r"[Jj]ob (\S+) has been submitted with SLURM jobid", said(flow).read_text()))


def contending(cluster: Cluster) -> tuple[int, int]:
    """How many jobs with a GPU run, and how many wait."""
    running, waiting = (cluster.says("squeue", "-h", "-t", state, "-O", "tres-per-job:40").count("gpu") for state in ("RUNNING", "PENDING"))
    return running, waiting


def finished(flow: Flow, process: subprocess.Popen[bytes]) -> str:
    ended = process.wait(timeout=LONGEST + 10)
    assert ended == 0, said(flow).read_text()[-8000:]
    return said(flow).read_text()


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

    impatient = start(slow, "--config", "unused=1")
    process = start(flow)
    try:
        # inputs, two trainings, two packs and the audit: what can be submitted now is, so that no submission meets an absent controller
        cluster.wait(
            lambda: process.poll() is not None or (len(submitted(flow)) == 6 and contending(cluster) == (1, 1)), "no jobs contend", LONGEST
        )
        assert process.poll() is None, said(flow).read_text()[-8000:]
        cluster.stop_controller()
        assert "DOWN" in cluster.says("scontrol", "ping")
        local.run("--cores", "1")
        cluster.start_controller()
        finished(flow, process)
        told = finished(slow, impatient)
    finally:
        for one in (process, impatient):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait(timeout=10)

    assert contents(flow) == contents(local)
    assert len(contents(flow)) > 15
    # a job whose step was to begin while the controller was away is submitted once more, under the same name
    assert len(submitted(flow)) == 8
    # the first attempt was ended by SLURM, the second was given twice as much
    assert (slow.folder / "done.txt").read_text() == "2 200\n"
    assert "TIMEOUT" in told
