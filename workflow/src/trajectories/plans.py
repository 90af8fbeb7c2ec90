"""Plans: what a run would take and what it could tell, from the configuration, the suite, and results if there are any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from trajectories.suites import Model, Suite


@dataclass(frozen=True)
class PlanContext:
    """What an experiment may look at when it plans: never a model or a measurement, only what an earlier analysis found.

    Attributes:
        suite: the whole suite.
        models: the chosen ones.
        steps: model to its chosen steps, ascending.
        settings: the experiment's ``Settings``, validated.
        result: name of a table to the table, or None where there is none: ``claims``, ``trajectories``, or a further table of the
            experiment's analysis (``regressions``).
    """

    suite: Suite
    models: list[Model]
    steps: dict[str, list[int]]
    settings: Any
    result: Callable[[str], pd.DataFrame | None]


@dataclass
class Plan:
    """What is printed.

    Args:
        table: one line per claim and model (or whatever is planned), columns named for the reader, cells as they are to be printed.
        notes: sentences that follow the table.
    """

    table: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Table and notes as plain text."""
        lines = [] if self.table.empty else columns(self.table)
        return "\n".join([*lines, *([""] if lines and self.notes else []), *self.notes])


def columns(table: pd.DataFrame) -> list[str]:
    """The table's lines: text on the left of its column, numbers on the right."""
    cells = [[str(c) for c in table.columns], *([str(v) for v in row] for row in table.itertuples(index=False))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    left = [all(not v[:1].isdigit() for v in column) for column in zip(*cells[1:], strict=True)]
    lines = ["  ".join(v.ljust(w) if on else v.rjust(w) for v, w, on in zip(row, widths, left, strict=True)).rstrip() for row in cells]
    return [lines[0], "  ".join("-" * w for w in widths), *lines[1:]]
