"""Is a slope along the order one of the rows' content? Rows that are not yet seen tell.

All models of an order are shown one sample of rows. If later rows happen to be easier, every model gives them a higher probability, and
the order regression takes it for an effect of position. Two checks use what a checkpoint made of rows before it had seen them:

- The *placebo*: the slope over the places that rows *will* have, among rows not yet seen, at every checkpoint. Training cannot have
  caused it.
- *Content held fixed*: the order regression among rows met after one early checkpoint (the same for all rows, so that the period does
  not differ with the place), with the log-probability that it gave them as a covariate. Fewer rows, but less noise by far.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.hypotheses import claims as declared
from trajectories.experiments.memorization.hypotheses import undecidable
from trajectories.experiments.memorization.panel import CONTENT, PRIMARY
from trajectories.experiments.memorization.parts.order import LATE, ask, caveat, keep, slope, state, unit
from trajectories.experiments.memorization.regressions import LOGPROB, SCORE, Regression, regress
from trajectories.experiments.memorization.run import Run
from trajectories.findings import Findings
from trajectories.statistics.claims import Result, objection, row

PLACEBO = {LOGPROB: "placebo_logprob", SCORE: "placebo_score"}
UNSEEN = "not yet seen, by their place to come"
NO_BASELINE = "no checkpoint lies in the first part of training, before the rows are seen"


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """The placebo slope at every checkpoint, its claim at the early one, and the order regression with content held fixed."""
    settings = context.settings
    claims = declared(settings)
    final = run.panel(run.final)
    base = baseline(run, settings.order.content_from)
    placebo = None
    for step in run.steps[:-1].tolist():
        fitted = _placebo(run, final, step, settings.recency_window)
        placebo = fitted if step == base else placebo
        for outcome, metric in PLACEBO.items():
            result = fitted[outcome].result() if fitted and outcome in fitted else None
            if result is not None and not objection(result):
                found.trajectories.append(slope(run, step, metric, UNSEEN, result))
    if not run.primary:
        return
    drift = placebo[LOGPROB].result() if placebo else Result(math.nan, problem=NO_BASELINE)
    said = " ".join(filter(None, (undecidable(claims["content-drifts"], drift), caveat(final))))
    found.claims.append(row(claims["content-drifts"], drift, run.model.name, run.final if base is None else base, caveat=said))
    fitted = None
    if base is not None:
        fitted = regress(final.assign(before=before(run, base)), run.exposures, run.final, CONTENT, settings.recency_window)
    keep(found, run, CONTENT.name, fitted)
    state(found, run, final, {claims[name]: outcome for name, outcome in LATE.items()}, fitted, CONTENT)
    unit(found, run, "with content held fixed", fitted, settings.shift_margin)
    if run.model.parent is None:
        ask(found, run, claims, LATE, fitted, settings, test=CONTENT.name)
        ask(found, run, claims, {"content-drifts": LOGPROB}, placebo, settings)


def compare(runs: list[Run], context: AnalysisContext, found: Findings) -> None:
    """What the two checks say beside the primary slopes."""
    of = {(r["claim"].id, r["model"], r["group"]): r["result"] for r in found.claims}
    for run in runs:
        drift, plain, fixed = (
            of.get((claim, run.model.name, group))
            for claim, group in (("content-drifts", ""), ("late-rows-likelier", ""), ("late-rows-likelier", CONTENT.name))
        )
        if drift and plain and fixed and drift.finite and plain.finite and fixed.finite:
            found.note(
                f"{run.model.name}: among rows not yet seen, the log-probability moves along the order by {_told(drift)} standard "
                f"deviations, which training cannot have caused; among rows seen by {_told(plain)}, and with content held fixed by "
                f"{_told(fixed)}."
            )


def baseline(run: Run, share: float) -> int | None:
    """Step of the last checkpoint in the first ``share`` of training, or None; an untrained one does not count."""
    early = run.steps[(run.steps > 0) & (run.steps <= share * run.final)]
    return int(early[-1]) if len(early) else None


def before(run: Run, step: int) -> pd.Series:
    """The rows' log-probability at a checkpoint that had not seen them; NaN for those that it had. Aligned with ``run.panel``."""
    early = run.panel(step)
    return early[LOGPROB].where(early["n_seen"] == 0)


def _placebo(run: Run, final: pd.DataFrame, step: int, window: float) -> dict[str, Regression] | None:
    """Outcomes of a checkpoint over the places of the primary regression's rows that it has not yet seen.

    With fewer rows ahead than a tenth of training the slope would be extrapolated from a short stretch; then there is none.
    """
    early = run.panel(step)
    ahead = final[(early["n_seen"] == 0).to_numpy() & PRIMARY.keep(final, window).to_numpy()]
    if len(ahead) < 2 or np.ptp(ahead["latest"]) < 0.1:
        return None
    measured: dict[str, Any] = {outcome: early.loc[ahead.index, outcome] for outcome in PLACEBO if outcome in early}
    shown = ahead.drop(columns=[c for c in ("memorized", "score", "logprob") if c in ahead]).assign(**measured)
    return regress(shown, run.exposures, run.final, PRIMARY, window)


def _told(result: Result) -> str:
    return f"{result.estimate:+.2f} ({result.ci_low:+.2f} to {result.ci_high:+.2f})"
