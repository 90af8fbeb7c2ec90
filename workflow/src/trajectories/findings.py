"""What the parts of an analysis find, gathered for the tables; and the trial of the claims' decisions on simulated data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import RECOVERY, Analysis, AnalysisContext, empty
from trajectories.statistics.calibration import EXCEEDED, KEPT, OPEN, TOLERATED, TRUTHS, joined, power, rates, simulated
from trajectories.statistics.claims import Claim, Result, table

OWN = ["model", "step", "metric", "level", "group", "setting", "value", "stderr", "ci_low", "ci_high", "n", "method"]
"""The columns of a trajectory that an experiment gives."""
AT_MARGIN = 4
"""Times as many simulations of a primary claim where the truth equals its margin, since either verdict is wrong there."""

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
        truths: true effects to simulate, as multiples of the margin; 1 must be among them.
    """

    claim: Claim
    model: str
    simulate: Simulation
    objection: str | None = None
    test: str | None = None
    note: str = ""
    truths: tuple[float, ...] = TRUTHS


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

    def analysis(self, context: AnalysisContext) -> Analysis:
        """The tables, with the claims decided and their decisions tried; the settings of the analysis must say ``simulations``."""
        tried = calibration(self, context)
        return Analysis(
            pd.DataFrame(self.trajectories, columns=OWN),
            table(self.claims),
            tried,
            pd.DataFrame(self.recovery, columns=RECOVERY.names) if self.recovery else empty(RECOVERY),
            {name: pd.DataFrame(rows) for name, rows in self.extra.items() if rows},
            self.notes,
        )


def calibration(found: Findings, context: AnalysisContext) -> pd.DataFrame:
    """Each claim, and each way in which it is tested, on the sample of the largest model that allows a verdict.

    Primary claims are decided alone and in the family of all models. The table ``power`` gets a row each.
    """
    tables = []
    for claim, test in dict.fromkeys((c.claim.id, c.test) for c in found.calibrands):
        candidates = [c for c in found.calibrands if (c.claim.id, c.test) == (claim, test)]
        candidates.sort(key=lambda c: context.model(c.model).parameters_non_embedding, reverse=True)
        chosen = next((c for c in candidates if c.objection is None), None)
        name = f"{claim} ({test})" if test else claim
        if chosen is None:
            whole = name if test else f"The whole decision of {claim}"
            found.note(f"{whole} is not calibrated, since no model allows a verdict. {candidates[0].objection}")
            continue
        tables.append(_calibrated(chosen, len(candidates), context, found))
        if chosen.note:
            found.note(f"The calibration of {name} simulates on the sample of {chosen.model}. {chosen.note}")
    _summary(found, context)
    return joined(tables)


def _calibrated(chosen: Calibrand, models: int, context: AnalysisContext, found: Findings) -> pd.DataFrame:
    n_sim, claim = context.settings.simulations, chosen.claim
    more = AT_MARGIN if claim.role == "primary" else 1
    results = simulated(claim, chosen.simulate, n_sim=n_sim, seed=context.seed, truths=chosen.truths, test=chosen.test, at_margin=more)
    found.add("power", {"model": chosen.model, "role": claim.role, **power(claim, results, chosen.test)})
    families = sorted({1, models} if models <= n_sim and claim.role == "primary" else {1})
    return rates(claim, results, seed=context.seed, family=families, test=chosen.test)


def _summary(found: Findings, context: AnalysisContext) -> None:
    """Notes: which claims are shown to keep wrong verdicts rare, which exceed 5 %, which leave it open, which were not tried."""
    tried = found.extra.get("power", [])
    if not tried:
        return
    n_sim = context.settings.simulations
    found.note(
        f"Calibration: {len(tried)} claims and variants were decided on {n_sim} simulated samples for each of several true effects, "
        f"primary claims on {AT_MARGIN * n_sim} where the effect equals the margin, each on the sample of the largest model that allows a "
        "verdict."
    )
    by_level = {level: [r for r in tried if r["level"] == level] for level in (KEPT, EXCEEDED, OPEN)}
    if by_level[EXCEEDED]:
        flagged = "; ".join(f"{_named(r)} {r['rate_wrong']:.1%} ± {r['stderr_wrong']:.1%}" for r in by_level[EXCEEDED])
        found.note(f"Calibration: wrong verdicts exceed 5 % beyond Monte Carlo error in {flagged}.")
    if by_level[KEPT]:
        bound = max(r["most_wrong"] for r in by_level[KEPT])
        found.note(
            f"Calibration: for {len(by_level[KEPT])} of {len(tried)} wrong verdicts are shown to be at most {bound:.1%} (95 % bound)."
        )
    if by_level[OPEN]:
        listed = "; ".join(f"{_named(r)} {r['rate_wrong']:.1%}, at most {r['most_wrong']:.1%}" for r in by_level[OPEN])
        found.note(
            f"Calibration: for {len(by_level[OPEN])} of {len(tried)} it is not told whether wrong verdicts stay below {TOLERATED:.1%}; the "
            f"rate found and its 95 % upper bound: {listed}."
        )
    left = {row["claim"].id for row in found.claims if row["role"] == "primary"} - {r["claim"] for r in tried}
    if left:
        found.note(f"Calibration: these primary claims were not tried on simulated samples: {', '.join(sorted(left))}.")


def _named(tried: dict[str, Any]) -> str:
    return f"{tried['claim']} ({tried['test']})"
