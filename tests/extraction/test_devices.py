"""Each process its own GPUs, of those that it may see; no GPU is needed for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from trajectories.errors import UserError
from trajectories.extraction import devices

TWO = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-0000)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb2222-0000)
"""
PARTS = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-0000)
  MIG 3g.20gb     Device  0: (UUID: MIG-0001)
  MIG 3g.20gb     Device  1: (UUID: MIG-0002)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb2222-0000)
"""
A, B = "GPU-aaaa1111-0000", "GPU-bbbb2222-0000"

CLAIM = """
import os, sys
from pathlib import Path
from trajectories.extraction import devices
names, locks = devices.choose(sys.argv[3:], int(sys.argv[2]), Path(sys.argv[1]), wait=False)
print(*names, flush=True)
sys.stdin.readline()
"""

SEEN = """
import logging, os, sys
from trajectories.extraction import devices
logging.basicConfig()
devices.claim("cuda", int(sys.argv[1]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.readline()
"""


def test_gpus_and_their_parts_are_listed_by_index() -> None:
    assert devices.listed(TWO) == [[A], [B]]
    assert devices.listed(PARTS) == [["MIG-0001", "MIG-0002"], [B]]
    assert devices.listed("No devices were found\n") == []


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, [A, B]),
        ("", []),
        ("1", [B]),
        ("1,0", [B, A]),
        ("GPU-bbbb", [B]),
        ("0,GPU-aaaa1111", [A]),  # the same twice
        ("0,-1,1", [A]),  # CUDA stops at what it does not accept
        ("0,7,1", [A]),
        ("MIG-0003", ["MIG-0003"]),  # of a GPU that nvidia-smi does not list
    ],
)
def test_what_is_visible_is_what_cuda_visible_devices_says(variable: str | None, expected: list[str]) -> None:
    assert devices.visible(variable, devices.listed(TWO)) == expected


def test_parts_of_a_gpu_stand_for_it() -> None:
    assert devices.visible(None, devices.listed(PARTS)) == ["MIG-0001", "MIG-0002", B]
    assert devices.visible("0", devices.listed(PARTS)) == ["MIG-0001", "MIG-0002"]
    assert devices.visible("MIG-0002", devices.listed(PARTS)) == ["MIG-0002"]


def test_where_nothing_lists_gpus_the_variables_own_words_count() -> None:
    assert devices.visible("0,3", []) == ["0", "3"]
    assert devices.visible(None, []) == []


def test_each_process_has_its_own_device_and_gives_it_back_when_it_ends(tmp_path: Path) -> None:
    started = []
    try:
        for expected in (A, B, ""):
            command = [sys.executable, "-c", CLAIM, str(tmp_path / "locks"), "1", A, B]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            started.append(process)
            assert process.stdout is not None
            assert process.stdout.readline().strip() == expected
        started[0].kill()
        started[0].wait(timeout=10)
        names, locks = devices.choose([A, B], 1, tmp_path / "locks")
        assert names == [A]
        # two at once, or none
        assert devices.choose([A, B], 2, tmp_path / "locks", wait=False) == ([], [])
        for lock in locks:
            lock.release()
        started[1].kill()
        started[1].wait(timeout=10)
        assert devices.choose([A, B], 2, tmp_path / "locks")[0] == [A, B]
    finally:
        for process in started:
            process.kill()
            process.wait(timeout=10)


def test_more_devices_than_there_are_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="wants 2 GPUs and only 1 can be seen"):
        devices.choose([A], 2, tmp_path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with two GPUs, as far as nvidia-smi says."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{TWO}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return tmp_path


def test_a_process_sees_only_what_it_claimed(machine: Path) -> None:
    devices.claim("auto", 1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == A
    devices.claim("auto", 1)  # of the next checkpoint in the same process
    assert os.environ["CUDA_VISIBLE_DEVICES"] == A


def test_nothing_is_claimed_for_processors(machine: Path) -> None:
    devices.claim("cpu", 1)
    devices.claim("auto", 0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert not [path for path in machine.iterdir() if path.name.startswith("trajectories")]


@pytest.fixture
def claimed(machine: Path) -> Iterator[Callable[..., str]]:
    """Let a new process claim GPUs; returns what it then sees. They end with the test."""
    started = []

    def run(number: int, **variables: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-c", SEEN, str(number)],
            env={**os.environ, "TMPDIR": str(machine), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def test_processes_in_one_job_of_slurm_share_its_gpus_out(claimed: Callable[..., str]) -> None:
    assert [claimed(1, SLURM_JOB_ID="7") for _ in range(2)] == [A, B]
    assert "waiting for a GPU" in claimed(1, SLURM_JOB_ID="7")


def test_a_job_of_slurm_claims_what_it_sees_whatever_others_call_theirs(claimed: Callable[..., str]) -> None:
    # the last two as where the job sees its own GPU alone, and nothing lists it
    assert [claimed(2, SLURM_JOB_ID=job) for job in ("7", "8_1")] == [f"{A},{B}"] * 2
    assert [claimed(1, SLURM_JOB_ID=job, CUDA_VISIBLE_DEVICES="0", PATH="") for job in ("9", "10")] == ["0", "0"]
    assert claimed(2) == f"{A},{B}"  # outside of SLURM


def test_a_job_of_slurm_that_sees_too_few_gpus_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with pytest.raises(UserError, match="wants 3 GPUs and only 2 can be seen"):
        devices.claim("cuda", 3)


def test_locks_of_a_job_on_several_machines_are_apart(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "../7")
    for host in ("n1", "n2.cluster"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        monkeypatch.setattr(devices, "_held", [])
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        devices.claim("cuda", 2)
    folders = sorted(path.name for path in machine.iterdir() if path.name.startswith("trajectories"))
    assert folders == [f"trajectories-gpus-{os.getuid()}-___7-{host}" for host in ("n1", "n2_cluster")]
