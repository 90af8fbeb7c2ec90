"""Two runs that are started at once in one folder."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from faults.content import differences, results
from faults.processes import begun, wait_for
from workflow.flow import Flow, jobs


def test_the_second_run_is_told_of_the_first_and_changes_nothing(at: Callable[[str], Flow], undisturbed: Flow, tmp_path: Path):
    flow, log = at("training"), tmp_path / "first.log"
    first = flow.start(log)
    assert wait_for(lambda: begun(log), first), log.read_text()
    second = flow.snakemake()
    assert second.returncode == 1
    assert f"Another run works on 'results/miniature' (process {first.pid} on {socket.gethostname()});" in second.stdout
    assert "Traceback" not in second.stdout
    assert not jobs(second.stdout)
    assert first.wait(600) == 0, log.read_text()
    assert differences(results(flow), results(undisturbed)) == []
    assert "Nothing to be done" in flow.snakemake().stdout


def test_of_two_runs_at_the_very_same_moment_one_makes_everything(at: Callable[[str], Flow], undisturbed: Flow, tmp_path: Path):
    flow, logs = at("measuring"), [tmp_path / "one.log", tmp_path / "two.log"]
    runs = [flow.start(log) for log in logs]
    codes = [run.wait(600) for run in runs]
    said = "\n".join(log.read_text() for log in logs)
    assert sorted(codes) == [0, 1], said
    assert "Another run works on" in said
    assert differences(results(flow), results(undisturbed)) == []
