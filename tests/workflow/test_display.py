"""What a person sees while a run goes on."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.spinner import Spinner
from snakemake_logger_plugin_trajectories.state import Run, last_progress, tail
from snakemake_logger_plugin_trajectories.view import clock, line, table
from workflow.flow import Flow


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.fixture
def run(time: Clock) -> Run:
    run = Run({"corpus": 10.0, "extract": 4.0}, clock=time, cores=2)
    run.plan({"corpus": 1, "train_mini-s": 1, "train_mini-m": 1, "extract": 10, "all": 1, "total": 14})
    return run


def shown(run: Run) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table(run, Spinner("dots")))
    return console.export_text()


def test_stages_join_the_rules_that_train_and_leave_out_the_target(run: Run):
    assert {name: stage.total for name, stage in run.stages.items()} == {"corpus": 1, "train": 2, "extract": 10}
    assert run.total == 13


def test_time_left_is_a_lower_bound_while_a_stage_is_unknown(run: Run):
    assert run.seconds_left() == (pytest.approx((10 + 10 * 4) / 2), False)
    assert "at least 0:25 left" in line(run)


def test_time_left_uses_what_jobs_took_and_what_they_tell(run: Run, time: Clock, tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("hello\nPROGRESS training mini-m 3/10 step 90\n")
    run.start(1, "train_mini-s", {}, None)
    time.now = 20
    run.finish(1)
    run.start(2, "train_mini-m", {}, str(log))
    run.start(3, "corpus", {}, None)
    time.now = 26
    left, complete = run.seconds_left()
    assert complete
    assert left == pytest.approx(max((90 + 4 + 40) / 2, 90))
    assert "training mini-m 3/10 step" in line(run)
    assert "training mini-m" in shown(run)
    assert "1:30" in shown(run)


def test_the_first_jobs_of_a_stage_move_its_budget_only_by_their_share(run: Run, time: Clock):
    for job in range(5):
        run.start(job, "extract", {}, None)
        time.now += 44.0 if job == 0 else 0.0  # what it measured, the others find done
        run.finish(job)
        expected = {0: 4 + (44 - 4) * 0.1, 4: 4 + (44 / 5 - 4) * 0.5}
        assert job not in expected or run.seconds_per_job("extract") == pytest.approx(expected[job])


def test_a_waiting_job_is_named_by_its_rule_and_targets(run: Run):
    run.start(1, "extract", {"model": "mini-s", "step": "20", "experiment": "grammar"}, None)
    assert "now extract mini-s step 20 grammar" in line(run)


def test_a_failed_job_is_not_done(run: Run):
    run.start(1, "corpus", {}, None)
    run.fail(1)
    assert (run.done, run.failed, run.running) == (0, 1, {})


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("PROGRESS early 1/9 step 5\n" + "x" * 100 + "\n" * 5000)
    assert last_progress(log) is None
    assert len(tail(log)) < 5000
    assert tail(tmp_path / "none") == []


def test_times_are_minutes_and_hours():
    assert (clock(5), clock(65), clock(3605)) == ("0:05", "1:05", "1:00:05")


@pytest.mark.xdist_group("workflow")
def test_without_a_terminal_a_run_says_little_and_an_error_says_why(twin: Flow):
    damaged = twin.folder / "results/miniature/trajectories/grammar.parquet"
    damaged.write_bytes(b"damaged")
    done = twin.snakemake("--workflow-profile", "workflow/profiles/local", "--forcerun", "figures")
    assert done.returncode != 0
    assert "figures failed." in done.stdout
    assert "'results/miniature/trajectories/grammar.parquet' was damaged (not a whole Parquet table" in done.stdout.replace(
        f"{twin.folder}/", ""
    )
    assert "Traceback" not in done.stdout
    assert len(done.stdout.splitlines()) < 15


@pytest.mark.xdist_group("workflow")
def test_on_a_terminal_a_run_shows_its_stages(twin: Flow):
    master, slave = pty.openpty()
    command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--workflow-profile", "workflow/profiles/local"]
    environment = {**twin.environment(), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*command, "--forcerun", "report"], cwd=twin.folder, env=environment, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        seen = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            seen += part
    os.close(master)
    text = seen.decode(errors="replace")
    assert process.returncode == 0, text
    assert "report" in text
    assert "left" in text
    assert "1 of 1 jobs done" in text
