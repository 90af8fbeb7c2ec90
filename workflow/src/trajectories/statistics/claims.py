"""Claims: predictions written down before the data are seen, and the one rule that decides them.

With one-sided 95 % bounds on the margin's scale, a claim is *supported* if the lower bound exceeds the margin, *refuted* if the upper
bound is below it, else *inconclusive*. A claim that an effect is ``less`` is the mirror image; a ``two-sided`` one is supported if the
effect lies outside plus or minus the margin and refuted if it lies inside (two one-sided tests; Schuirmann 1987, *J. Pharmacokinet.
Biopharm.* 15). Holm's correction (Holm 1979, *Scand. J. Statist.* 6) runs over the primary rows of a family, separately for the two
decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from trajectories.analysis import CLAIMS, empty

ALPHA = 0.05
CONF_LEVEL = 1 - 2 * ALPHA
"""Level of the two-sided interval whose ends are the two one-sided 95 % bounds."""
MIN_EVENTS = 20
SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"


@dataclass(frozen=True)
class Claim:
    """A prediction with its smallest effect of interest.

    Args:
        id: unique within the experiment, for instance ``late-rows-memorized``.
        experiment: name of the experiment.
        family: Holm's correction runs over the primary rows (models) that share it.
        statement: the hypothesis in one sentence.
        prediction: what the data show if it holds.
        rival: the other explanation and how it differs.
        metric: name of the trajectory metric that the claim is about.
        scale: unit of estimate and margin, for instance ``log odds ratio``.
        margin: smallest effect of interest, > 0, on that scale.
        sided: ``greater``, ``less`` (supported below minus the margin) or ``two-sided``.
        role: ``primary`` or ``descriptive``; a row can lower it to descriptive.

    Raises:
        ValueError: the margin is not a positive number, or ``sided`` or ``role`` is unknown.
    """

    id: str
    experiment: str
    family: str
    statement: str
    prediction: str
    rival: str
    metric: str
    scale: str
    margin: float
    sided: Literal["greater", "less", "two-sided"] = "greater"
    role: Literal["primary", "descriptive"] = "primary"

    def __post_init__(self) -> None:
        """Refuse a claim that could not fail."""
        if not (math.isfinite(self.margin) and self.margin > 0):
            raise ValueError(f"claim {self.id}: the margin should be a positive number, found {self.margin}")
        if self.sided not in ("greater", "less", "two-sided"):
            raise ValueError(f"claim {self.id}: sided is '{self.sided}'")
        if self.role not in ("primary", "descriptive"):
            raise ValueError(f"claim {self.id}: role is '{self.role}'")


def declare(
    experiment: str, name: str, statement: str, prediction: str, rival: str, metric: str, scale: str, margin: float, **more: Any
) -> Claim:
    """A claim whose family is its own, so that Holm's correction runs over its models (or arms); ``more`` as :class:`Claim` has it."""
    return Claim(name, experiment, name, statement, prediction, rival, metric, scale, margin, **more)


@dataclass(frozen=True)
class Result:
    """An estimated effect, and how it was obtained.

    From a normal or t approximation give ``estimate, stderr`` (and ``df``): bounds and p follow. From a bootstrap use
    :meth:`from_replicates`. From any other method give ``ci_low, ci_high`` (the one-sided 95 % bounds) and ``tails``.

    Args:
        estimate: point estimate on the margin's scale.
        stderr: standard error.
        df: degrees of freedom of the t approximation, infinite for the normal.
        ci_low, ci_high: lower and upper one-sided 95 % bound; computed from ``stderr`` and ``df`` if absent.
        n: units of observation.
        n_clusters: independent clusters, if there are any.
        n_events: binary outcomes only: how many of the ``n`` units are events.
        method: name of the method.
        tails: value → (p of H0: effect ≤ value, p of H0: effect ≥ value); from ``stderr`` and ``df`` if absent.
        problem: why there is no estimate, as a clause; makes every claim on it inconclusive.
    """

    estimate: float
    stderr: float = math.nan
    df: float = math.inf
    ci_low: float = math.nan
    ci_high: float = math.nan
    n: int = 0
    n_clusters: int | None = None
    n_events: int | None = None
    method: str = ""
    tails: Callable[[float], tuple[float, float]] | None = field(default=None, repr=False, compare=False)
    problem: str | None = None

    def __post_init__(self) -> None:
        """Compute the bounds from the standard error unless they are given."""
        if math.isnan(self.ci_low) and math.isnan(self.ci_high) and self.tails is None and self._approximable:
            reach = -float(special.ndtri(ALPHA) if math.isinf(self.df) else special.stdtrit(self.df, ALPHA)) * self.stderr
            object.__setattr__(self, "ci_low", float(self.estimate - reach))
            object.__setattr__(self, "ci_high", float(self.estimate + reach))

    @property
    def _approximable(self) -> bool:
        return bool(np.isfinite(self.estimate) and np.isfinite(self.stderr) and self.stderr > 0 and self.df > 0)

    @property
    def finite(self) -> bool:
        """Whether there is an interval and with it a decision."""
        bounds = np.isfinite([self.estimate, self.ci_low, self.ci_high]).all()
        return bool(bounds and (self.tails is not None or self._approximable) and self.problem is None)

    def p(self, value: float) -> tuple[float, float]:
        """p of H0: effect ≤ value, and p of H0: effect ≥ value."""
        if self.tails is not None:
            above, below = self.tails(value)
            return float(above), float(below)
        t = (self.estimate - value) / self.stderr
        return _cdf(-t, self.df), _cdf(t, self.df)

    @classmethod
    def from_replicates(cls, estimate: float, replicates: Sequence[float] | np.ndarray, **facts: Any) -> Result:
        """A percentile bootstrap: bounds are the 5th and 95th percentiles, p counts the replicates beyond a value.

        Args:
            estimate: on the whole sample.
            replicates: the same statistic on each resample; ones that are not finite are left out.
            facts: ``n, n_clusters, n_events, method`` of :class:`Result`.
        """
        values = np.sort(np.asarray(replicates, dtype=float))
        values = values[np.isfinite(values)]
        if len(values) < 2:
            return cls(estimate, problem="the bootstrap gave no finite replicates", **facts)

        def tails(value: float) -> tuple[float, float]:
            at_most = int(np.searchsorted(values, value, side="right"))
            at_least = len(values) - int(np.searchsorted(values, value, side="left"))
            return (1 + at_most) / (1 + len(values)), (1 + at_least) / (1 + len(values))

        low, high = np.quantile(values, [ALPHA, 1 - ALPHA])
        return cls(estimate, float(values.std(ddof=1)), ci_low=float(low), ci_high=float(high), tails=tails, **facts)


def _cdf(t: float, df: float) -> float:
    """Student's distribution function; scipy.stats does the same at a hundred times the cost, which simulations feel."""
    return float(special.ndtr(t) if math.isinf(df) else special.stdtr(df, t))


def p_values(claim: Claim, result: Result) -> tuple[float, float]:
    """p_supported and p_refuted of a claim, uncorrected; NaN where there is no finite interval.

    ``p_supported`` belongs to H0: the effect does not exceed the margin (in the claim's direction); ``p_refuted`` to H0: it is at least the
    margin. The two-sided ``p_supported`` is exact for a symmetric estimator whatever the margin, so it never exceeds the nominal size.
    """
    if not result.finite:
        return math.nan, math.nan
    above, below = result.p(claim.margin)
    if claim.sided == "greater":
        return above, below
    above_minus, below_minus = result.p(-claim.margin)
    if claim.sided == "less":
        return below_minus, above_minus
    outside = above + above_minus if result.estimate >= 0 else below_minus + below
    return min(1.0, outside), max(below, above_minus)


def objection(result: Result) -> str | None:
    """Why no verdict but `inconclusive` is possible, as a sentence, or None."""
    if result.n_events is not None:
        events, rest = result.n_events, result.n - result.n_events
        if min(events, rest) < MIN_EVENTS:
            few = _counted(events, "event") if events < rest else _counted(rest, "non-event")
            return f"There {few} among {result.n:,}; a verdict needs at least {MIN_EVENTS} of each."
    if result.problem is not None:
        return f"No verdict is possible: {result.problem}."
    if not result.finite:
        return "No verdict is possible: the estimate has no finite interval."
    return None


def _counted(number: int, what: str) -> str:
    return f"is only {number} {what}" if number == 1 else f"are {'only ' if number else ''}{number or 'no'} {what}s"


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values, in the order given; NaN counts as a member of the family with p = 1."""
    values = np.asarray(p, dtype=float)
    values = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


def verdict(p_supported: float, p_refuted: float) -> str:
    """The verdict that two (corrected) p values give."""
    if p_supported < ALPHA:
        return SUPPORTED
    return REFUTED if p_refuted < ALPHA else INCONCLUSIVE


def row(
    claim: Claim, result: Result, model: str, step: int, group: str = "", *, role: str | None = None, caveat: str = ""
) -> dict[str, Any]:
    """One claim about one model at one step, ready for :func:`table`.

    Args:
        claim: as declared beforehand.
        result: what was estimated.
        model: name of the model.
        step: training step of the checkpoint.
        group: paradigm, relation, category … if the row is about a part.
        caveat: a sentence that the reason ends with, whatever the verdict.
        role: ``descriptive`` for rows that are not the model's one primary claim (earlier steps, secondary groups); default the
            claim's own.
    """
    supported, refuted = p_values(claim, result)
    return {"claim": claim, "result": result, "model": model, "step": int(step), "group": group, "role": role or claim.role} | {
        "p_supported": supported,
        "p_refuted": refuted,
        "objection": objection(result),
        "caveat": caveat,
    }


def decide(rows: Sequence[dict[str, Any]]) -> list[tuple[str, tuple[float, float] | None]]:
    """The verdict of each row, and its two corrected p values (None for descriptive rows).

    Holm's correction runs over the primary rows of each family, separately for the two decisions; a primary row that allows no verdict
    still counts as a member. Descriptive rows are decided on their own p.

    Args:
        rows: from :func:`row`, in any order; it is kept.
    """
    adjusted: dict[int, tuple[float, float]] = {}
    families: dict[tuple[str, str], list[int]] = {}
    for i, r in enumerate(rows):
        if r["role"] == "primary":
            families.setdefault((r["claim"].experiment, r["claim"].family), []).append(i)
    for members in families.values():
        usable = [rows[i]["objection"] is None for i in members]
        for_, against = (
            holm([rows[i][key] if ok else math.nan for i, ok in zip(members, usable, strict=True)]) for key in ("p_supported", "p_refuted")
        )
        adjusted.update({i: (float(a), float(b)) for i, a, b in zip(members, for_, against, strict=True)})
    decided = []
    for i, r in enumerate(rows):
        used = adjusted.get(i, (r["p_supported"], r["p_refuted"]))
        decided.append((INCONCLUSIVE if r["objection"] else verdict(*used), adjusted.get(i)))
    return decided


def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Decide the claims (see :func:`decide`) and lay them out with the columns of :data:`trajectories.analysis.CLAIMS`.

    The adjusted p of descriptive rows are absent.

    Args:
        rows: from :func:`row`, in any order; it is kept.
    """
    if not rows:
        return empty(CLAIMS)
    laid = [_laid_out(r, decided, adjusted) for r, (decided, adjusted) in zip(rows, decide(rows), strict=True)]
    return pd.DataFrame(laid, columns=CLAIMS.names).astype(dict.fromkeys(("step", "n", "n_clusters", "n_events"), "Int64"))


def _laid_out(r: dict[str, Any], decided: str, adjusted: tuple[float, float] | None) -> dict[str, Any]:
    claim: Claim = r["claim"]
    result: Result = r["result"]
    names = ("id", "experiment", "family", "statement", "prediction", "rival", "metric", "scale", "margin")
    return {name: getattr(claim, name) for name in names} | {
        "role": r["role"],
        "model": r["model"],
        "step": r["step"],
        "group": r["group"],
        "estimate": result.estimate,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "conf_level": CONF_LEVEL,
        "p_supported": r["p_supported"],
        "p_refuted": r["p_refuted"],
        "p_supported_adjusted": math.nan if adjusted is None else adjusted[0],
        "p_refuted_adjusted": math.nan if adjusted is None else adjusted[1],
        "n": result.n,
        "n_clusters": result.n_clusters,
        "n_events": result.n_events,
        "method": result.method,
        "verdict": decided,
        "reason": " ".join(filter(None, [r["objection"] or _reason(claim, result, decided, r, adjusted is not None), r["caveat"]])),
    }


def _reason(claim: Claim, result: Result, decided: str, r: dict[str, Any], corrected: bool) -> str:
    margin = {"greater": f"{claim.margin:.3g}", "less": f"{-claim.margin:.3g}", "two-sided": f"±{claim.margin:.3g}"}[claim.sided]
    bounds = f"The one-sided 95 % bounds {result.ci_low:.3g} and {result.ci_high:.3g} ({claim.scale})"
    after = ", also after correction over the family" if corrected else ""
    outside, inside = {
        "greater": ("lie above", "lie below"),
        "less": ("lie below", "lie above"),
        "two-sided": ("lie outside", "lie inside"),
    }[claim.sided]
    if decided == SUPPORTED:
        return f"{bounds} {outside} the margin {margin}{after}."
    if decided == REFUTED:
        what = "an effect" if claim.sided == "two-sided" else "an effect in the predicted direction and"
        return f"{bounds} {inside} the margin {margin}{after}: {what} of at least that size is ruled out."
    if corrected and verdict(r["p_supported"], r["p_refuted"]) != INCONCLUSIVE:
        return f"{bounds} clear the margin {margin}, but not after correction over the family's models."
    return f"{bounds} leave room on both sides of the margin {margin}: the sample does not tell."
