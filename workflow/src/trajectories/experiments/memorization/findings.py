"""What the parts of the analysis find, gathered for the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trajectories.statistics.claims import Claim, Result

Simulation = Callable[[np.random.Generator, float], Result]
"""(generator, true effect on the claim's scale) → what the analysis finds on one simulated sample."""


@dataclass(frozen=True)
class Calibrand:
    """A claim about one model, ready to be tried on simulated data of known truth.

    Attributes:
        claim: as declared.
        model: whose sample it is simulated on.
        simulate: see :data:`Simulation`.
        objection: why the real sample allows no verdict, or None; the largest model without objection is simulated.
        test: name of the test, or None for the results' method; a claim that is tested in several ways has a calibration for each.
        note: what the simulation keeps of the real sample, as a sentence for the report.
    """

    claim: Claim
    model: str
    simulate: Simulation
    objection: str | None = None
    test: str | None = None
    note: str = ""


@dataclass
class Findings:
    """Rows of the tables, as the parts add them.

    Attributes:
        trajectories: ``model, step, metric, level, group, setting, value, stderr, ci_low, ci_high, n, method``.
        claims: from :func:`trajectories.statistics.claims.row`.
        recovery: columns of :data:`trajectories.analysis.RECOVERY`.
        extra: rows of further tables, by the table's name.
        calibrands: claims whose decision is tried on simulated data.
        notes: sentences for the report.
    """

    trajectories: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    recovery: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calibrands: list[Calibrand] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, table: str, *rows: dict[str, Any]) -> None:
        """Add rows to a further table."""
        self.extra.setdefault(table, []).extend(rows)

    def note(self, sentence: str) -> None:
        """Add a sentence for the report, unless it has been said."""
        if sentence not in self.notes:
            self.notes.append(sentence)
