"""How the state of a run looks: a live table on a terminal, one line in a log."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from snakemake_logger_plugin_trajectories.state import Job, Run, last_progress


def clock(seconds: float) -> str:
    """``m:ss``, or ``h:mm:ss`` from an hour on."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def time_left(run: Run) -> str:
    """The time left in words."""
    left, complete = run.seconds_left()
    return f"{'about' if complete else 'at least'} {clock(left)} left"


def line(run: Run) -> str:
    """The state in one line."""
    doing = []
    for job in list(run.running.values()):
        progress = last_progress(job.log)
        doing.append(f"{progress.label} {progress.done}/{progress.total} {progress.unit}" if progress else job.label)
    what = f"; now {', '.join(doing)}" if doing else ""
    return f"[{clock(run.clock() - run.began)}] {run.done}/{run.total} jobs{what}; {time_left(run)}"


def _job_row(run: Run, job: Job, spinner: Spinner) -> tuple[RenderableType, ...]:
    progress = last_progress(job.log)
    left = run.seconds_left_of(job, progress)
    if progress is None:
        return spinner, Text(job.label), Text(""), Text(clock(run.clock() - job.started), style="dim"), Text(clock(left) if left else "")
    bar = ProgressBar(total=progress.total or 1, completed=progress.done, width=24)
    counts = Text(f"{progress.done}/{progress.total} {progress.unit}", style="dim")
    return spinner, Text(progress.label), bar, counts, Text(clock(left) if left is not None else "")


def table(run: Run, spinner: Spinner) -> RenderableType:
    """The state as a table of stages and a table of running jobs."""
    stages = Table.grid(padding=(0, 2))
    active = {job.stage for job in run.running.values()}
    for name, stage in run.stages.items():
        over = stage.done == stage.total
        mark = Text("✓", style="green") if over else (spinner if name in active else Text("·", style="dim"))
        style = "green" if over else ("bold" if name in active else "dim")
        bar = ProgressBar(total=stage.total, completed=stage.done, width=24)
        spent = Text(clock(stage.seconds) if stage.done else "", style="dim")
        stages.add_row(mark, Text(name, style=style), bar, Text(f"{stage.done}/{stage.total}", style=style), spent)
    jobs = Table.grid(padding=(0, 2))
    for job in list(run.running.values()):
        jobs.add_row(*_job_row(run, job, spinner))
    footer = Text(f"{clock(run.clock() - run.began)} so far, {time_left(run)}", style="bold")
    return Group(stages, Text(""), jobs, footer)
