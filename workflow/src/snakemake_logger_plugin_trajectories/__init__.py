"""Snakemake's log as a person wants to see it: stages, running jobs with their progress, and the time left, instead of a wall of text.

Chosen by ``--logger trajectories`` (see ``workflow/profiles/local``). Snakemake still writes its whole log to ``.snakemake/log``.
"""

# No postponed annotations: Snakemake reads the types of the settings

import logging
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import yaml
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_trajectories import view
from snakemake_logger_plugin_trajectories.state import Run, tail

_SHOWN_LINES = 12
# a failed command: the job's own log, which is shown, says why
_OF_A_JOB = ("CalledProcessError", "RuleException")


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings of the display."""

    budget: Optional[Path] = field(  # noqa: UP045 (the only form that Snakemake reads)
        default=None, metadata={"help": "YAML file with the seconds that one job of each stage may take, to estimate the time left"}
    )
    every: int = field(default=15, metadata={"help": "Seconds between two lines where there is no terminal"})


class LogHandler(LogHandlerBase):  # type: ignore[misc]
    """Follows a run's events and shows its state."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        settings = self.settings if isinstance(self.settings, LogHandlerSettings) else LogHandlerSettings()
        budget: dict[str, float] = {}
        if settings.budget is not None and Path(settings.budget).is_file():
            stages = yaml.safe_load(Path(settings.budget).read_text(encoding="utf-8"))["stages"]
            budget = {name: stage["seconds_per_job"] for name, stage in stages.items()}
        self.run = Run(budget)
        self.console = Console(file=sys.stdout if self.common_settings.stdout else sys.stderr, highlight=False)
        self._every = settings.every
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._over = threading.Event()
        self._lines: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record into account."""
        try:
            self._take(record)
        except Exception:
            self.handleError(record)

    def _take(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        fields = record.__dict__
        if self.common_settings.dryrun:
            self._plain(record, event)
        elif event == LogEvent.RUN_INFO and not self.run.total:
            self.run.plan(fields["stats"])
            self._show()
        elif event == LogEvent.RESOURCES_INFO:
            self.run.cores = fields.get("cores") or self.run.cores
        elif event == LogEvent.JOB_INFO:
            self.run.start(fields["jobid"], fields["rule_name"], dict(fields["wildcards"] or {}), next(iter(fields["log"] or []), None))
        elif event == LogEvent.JOB_FINISHED:
            self.run.finish(fields["job_id"])
        elif event == LogEvent.JOB_ERROR:
            self.run.fail(fields["jobid"])
            self._failed(fields["rule_name"], list(fields["log"] or []))
        elif event is None and record.levelno <= logging.INFO and "othing to be done" in record.getMessage():
            self.console.print("Nothing to be done: all results are there and up to date.")
        elif record.levelno >= logging.WARNING and not self.run.failed and fields.get("exception") not in _OF_A_JOB:
            self.console.print(record.getMessage(), markup=False, style="red" if record.levelno >= logging.ERROR else None)

    def _plain(self, record: logging.LogRecord, event: str | None) -> None:
        if event == LogEvent.JOB_INFO:
            wildcards = " ".join(str(value) for value in dict(record.__dict__["wildcards"] or {}).values())
            self.console.print(f"{record.__dict__['rule_name']} {wildcards}".rstrip(), markup=False)
        elif event in (None, LogEvent.RUN_INFO, LogEvent.ERROR) and record.levelno >= logging.INFO:
            self.console.print(record.getMessage(), markup=False)

    def _show(self) -> None:
        if self.console.is_terminal:
            self._live = Live(get_renderable=lambda: view.table(self.run, self._spinner), console=self.console, refresh_per_second=4)
            self._live.start()
        else:
            self.console.print(view.line(self.run), markup=False, soft_wrap=True)
            self._lines = threading.Thread(target=self._write_lines, daemon=True)
            self._lines.start()

    def _write_lines(self) -> None:
        while not self._over.wait(self._every):
            self.console.print(view.line(self.run), markup=False, soft_wrap=True)

    def _failed(self, rule: str, logs: list[str]) -> None:
        self.console.print(f"{rule} failed.", markup=False, style="bold red")
        for log in logs:
            # the last line of a log is the sentence that says what was wrong
            lines = [text for text in tail(Path(log)) if not text.startswith("PROGRESS ")][-_SHOWN_LINES:]
            self.console.print("\n".join(f"  {text}" for text in lines), markup=False, soft_wrap=True)
            self.console.print(f"  ({log})", markup=False, style="dim", soft_wrap=True)

    def close(self) -> None:
        """Leave the last state on the screen, and say how the run ended."""
        self._over.set()
        if self._live is not None:
            self._live.stop()
            self._live = None
        run = self.run
        if run.total:
            spent = view.clock(run.clock() - run.began)
            more = f"; {run.failed} failed. Run again to go on from here." if run.failed or run.done < run.total else "."
            self.console.print(f"{run.done} of {run.total} jobs done in {spent}{more}")
            run.stages = {}
        super().close()
