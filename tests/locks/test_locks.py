"""Locks between the nodes of a cluster: processes here, each with a host name of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from trajectories import locks
from trajectories.errors import UserError

LEASE, HEARTBEAT = 3.0, 0.5

NODE = """
import socket, sys, time
socket.gethostname = lambda: sys.argv[1]
from pathlib import Path
from trajectories import locks
with locks.lock(Path(sys.argv[2]), lease=float(sys.argv[3]), heartbeat=float(sys.argv[4])) as held:
    print(bool(held), flush=True)
    sys.stdin.readline()
    print(bool(held), flush=True)
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leases" / "weights"


@pytest.fixture
def holder(path: Path) -> Iterator[Start]:
    """Start a process on a node, which asks for the lock, says when it has it, and lets it go at a line of its input."""
    started: list[subprocess.Popen[str]] = []

    def start(node: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", NODE, node, str(path), str(LEASE), str(HEARTBEAT)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(timeout=10)


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def free(path: Path) -> bool:
    with locks.lock(path, wait=False, lease=LEASE, heartbeat=HEARTBEAT) as held:
        return bool(held)


def test_a_lock_keeps_others_out_until_it_is_let_go(holder: Start, path: Path) -> None:
    first = holder("a")
    assert says(first) == "True"
    assert not free(path)
    assert free(path.with_name("other"))
    second = holder("b")
    let_go(first)
    assert (says(first), says(second)) == ("True", "True")
    assert first.wait(timeout=10) == 0


def test_a_heartbeat_keeps_a_lock_for_longer_than_its_lease(holder: Start, path: Path) -> None:
    first = holder("a")
    assert says(first) == "True"
    second = holder("b")
    time.sleep(LEASE + 1.5)
    assert not free(path)
    let_go(first)
    assert (says(first), says(second)) == ("True", "True")


def test_a_holder_killed_on_the_same_node_is_noticed_at_once(holder: Start, path: Path) -> None:
    first = holder("a")
    assert says(first) == "True"
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=10)
    began = time.monotonic()
    assert says(holder("a")) == "True"
    assert time.monotonic() - began < LEASE


def test_a_holder_killed_on_another_node_is_followed_after_the_lease(holder: Start, path: Path) -> None:
    first = holder("a")
    assert says(first) == "True"
    second = holder("b")
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=10)
    began = time.monotonic()
    assert says(second) == "True"
    assert LEASE - 2 * HEARTBEAT < time.monotonic() - began < LEASE + 10


def test_a_holder_that_was_stopped_knows_that_it_lost_the_lock_and_leaves_the_next_ones_alone(holder: Start, path: Path) -> None:
    first = holder("a")
    assert says(first) == "True"
    first.send_signal(signal.SIGSTOP)
    second = holder("b")
    assert says(second) == "True"
    first.send_signal(signal.SIGCONT)
    let_go(first)
    assert says(first) == "False"
    assert first.wait(timeout=10) == 0
    assert not free(path)
    let_go(second)
    assert says(second) == "True"


def test_the_machines_clocks_do_not_matter(holder: Start, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = holder("a")
    assert says(first) == "True"
    wrong = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: wrong)
    assert not free(path)


def test_a_lock_file_of_another_lease_is_a_clear_error(path: Path) -> None:
    with (
        locks.lock(path, lease=60, heartbeat=1),
        pytest.raises(UserError, match="not one of this version"),
        locks.lock(path, wait=False, lease=LEASE, heartbeat=HEARTBEAT),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"), locks.lock(tmp_path / "file" / "lock"):
        pass


RUN = """
import socket, sys, time
socket.gethostname = lambda: sys.argv[1]
from pathlib import Path
from trajectories import locks
locks.only_run(Path(sys.argv[2]), lease=float(sys.argv[3]), heartbeat=float(sys.argv[4]))
print("True", flush=True)
time.sleep(600)
"""


def test_a_run_that_was_killed_on_another_machine_is_followed_once_it_has_been_silent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, "another", str(tmp_path), str(LEASE), str(HEARTBEAT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert says(first) == "True"
        with pytest.raises(UserError, match=rf"Another run works on .* \(process {first.pid} on another\); wait until it has ended"):
            locks.only_run(tmp_path, LEASE, HEARTBEAT)
        first.kill()
    with subprocess.Popen([*command[:3], "third", *command[4:]], stdout=subprocess.PIPE, text=True) as second:
        assert says(second) == "True"
        second.kill()


@pytest.mark.parametrize("wait", [True, False])
def test_a_lock_whose_holder_was_killed_before_it_wrote_its_name_is_taken_over_after_the_lease(path: Path, wait: bool) -> None:
    path.parent.mkdir()
    path.touch()
    began = time.monotonic()
    while True:
        with locks.lock(path, wait=wait, lease=1.0, heartbeat=0.2) as held:
            if held:
                break
        time.sleep(0.1)
    assert 1.0 <= time.monotonic() - began < 10


def test_a_run_that_was_killed_before_it_wrote_its_name_is_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".run.lock").touch()
    command = [sys.executable, "-c", RUN, "here", str(tmp_path), str(LEASE), str(HEARTBEAT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert says(run) == "True"
        run.kill()
