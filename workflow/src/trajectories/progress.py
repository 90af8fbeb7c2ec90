"""Progress of a long job: a bar on a terminal, a line now and then in a log, which the workflow's display reads back."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

from trajectories.outside import plain

_LINE = re.compile(r"^PROGRESS (?P<label>.+) (?P<done>\d+)/(?P<total>\d+) (?P<unit>\S+) (?P<left>\d+|-)$")


@dataclass(frozen=True)
class Line:
    """One progress line of a log: ``seconds_left`` is None while it cannot be told."""

    label: str
    done: int
    total: int
    unit: str
    seconds_left: int | None

    def __str__(self) -> str:
        left = "-" if self.seconds_left is None else self.seconds_left
        return f"PROGRESS {self.label} {self.done}/{self.total} {self.unit} {left}"

    @classmethod
    def parse(cls, text: str) -> Line | None:
        """The progress that a line of a log tells, or None if it is another line."""
        found = _LINE.match(text.strip())
        if found is None:
            return None
        left = found["left"]
        return cls(found["label"], int(found["done"]), int(found["total"]), found["unit"], None if left == "-" else int(left))


class Progress:
    """Shows how far a job is; use as a context manager and call :meth:`update`.

    Args:
        label: what is going on, a few words.
        total: how many units there are in all.
        unit: one word for a unit.
        initial: units that were done before (a resumed training).
        every: least seconds between two lines of a log.
        file: where to; standard error unless told.
    """

    def __init__(self, label: str, total: int, unit: str = "step", initial: int = 0, every: float = 2.0, file: TextIO | None = None):
        self.label, self.total, self.unit = plain(label), total, unit
        self.done = self._initial = initial
        self._every = every
        self._file = sys.stderr if file is None else file
        self._bar: tqdm | None = None  # type: ignore[type-arg]
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Progress:
        self._started = time.monotonic()
        if self._file.isatty():
            self._bar = tqdm(desc=self.label, total=self.total, unit=self.unit, initial=self._initial, file=self._file, dynamic_ncols=True)
        else:
            self._write()
        return self

    def update(self, n: int = 1) -> None:
        """Say that ``n`` more units are done."""
        self.done += n
        if self._bar is not None:
            self._bar.update(n)
        elif time.monotonic() - self._shown >= self._every:
            self._write()

    def line(self) -> Line:
        """Where the job is now; the time left assumes that it goes on as fast as so far."""
        here = self.done - self._initial
        left = None if here <= 0 else round((time.monotonic() - self._started) / here * max(self.total - self.done, 0))
        return Line(self.label, self.done, self.total, self.unit, left)

    def _write(self) -> None:
        self._shown = time.monotonic()
        print(self.line(), file=self._file, flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self._write()
