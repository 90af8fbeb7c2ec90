"""Calibration: how often a claim's whole decision says `supported` or `refuted` when the truth is known.

Outcomes are simulated on the design of the real sample (its rows, batches, groups and covariates), so the table tells for this very sample
whether wrong verdicts stay at 5 %, and how often right ones are reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from trajectories.analysis import CALIBRATION, empty
from trajectories.statistics.claims import ALPHA, INCONCLUSIVE, REFUTED, SUPPORTED, Claim, Result, decide, row

TRUTHS = (0.0, 0.5, 1.0, 2.0)
"""True effects as multiples of the margin, in the claim's direction."""
POWER = 0.8
TOO_MANY = 0.01
"""Wrong verdicts are more than 5 % beyond Monte Carlo error if as many would be less likely than this at 5 %."""
TOLERATED = 0.075
"""Half as many again as the nominal 5 % (Bradley 1978, *Br. J. Math. Stat. Psychol.* 31): up to here a test is said to keep its level."""
KEPT, EXCEEDED, OPEN = "kept", "exceeded", "open"


def calibrate(
    claim: Claim,
    simulate: Callable[[np.random.Generator, float], Result],
    *,
    n_sim: int,
    seed: int,
    family: int | Sequence[int] = 1,
    truths: Sequence[float] = TRUTHS,
    test: str | None = None,
) -> pd.DataFrame:
    """Rates of verdicts on simulated data, one row per truth and size of family: :func:`rates` of :func:`simulated`.

    Raises:
        ValueError: fewer simulations than a family has members.
    """
    families = [family] if isinstance(family, int) else list(family)
    if not families or min(families) < 1 or n_sim < max(families):
        raise ValueError(f"{n_sim} simulations cannot fill families of {families}")
    return rates(claim, simulated(claim, simulate, n_sim=n_sim, seed=seed, truths=truths, test=test), seed=seed, family=families, test=test)


def simulated(
    claim: Claim,
    simulate: Callable[[np.random.Generator, float], Result],
    *,
    n_sim: int,
    seed: int,
    truths: Sequence[float] = TRUTHS,
    test: str | None = None,
    at_margin: int = 1,
) -> dict[float, list[Result]]:
    """What the analysis finds on simulated samples, by the true effect as a multiple of the margin.

    Args:
        claim: the claim, with its margin and direction.
        simulate: (generator, true effect on the margin's scale) → the result that the analysis finds on one simulated sample.
        n_sim: simulated samples per truth.
        seed: of the simulations; every claim, test and truth has its own stream, so more simulations extend the same ones.
        truths: true effects as multiples of the margin.
        test: name of the test, where a claim is tested in several ways.
        at_margin: how many times as many samples are simulated where the truth equals the margin, since either verdict is wrong there.
    """
    found = {}
    for multiple in truths:
        repeats = n_sim * (at_margin if math.isclose(multiple, 1) else 1)
        generator = np.random.default_rng([seed, *claim.id.encode(), *(test or "").encode(), round(multiple * 1000)])
        found[multiple] = [simulate(generator, _truth(claim, multiple)) for _ in range(repeats)]
    return found


def rates(
    claim: Claim, results: Mapping[float, Sequence[Result]], *, seed: int, family: int | Sequence[int] = 1, test: str | None = None
) -> pd.DataFrame:
    """Rates of verdicts, one row per truth and size of family.

    A wrong verdict is `supported` where the truth is at most the margin, or `refuted` where it is at least the margin; at the margin itself
    either is wrong, each at most 5 % of the time.

    Args:
        claim: the claim, with its margin and direction.
        results: from :func:`simulated`.
        seed: that was used.
        family: how many samples are decided together with Holm's correction, as many as the claim's family has models; several sizes give
            a row each. The samples of a family have the same truth.
        test: name of the test; by default the results' method; the family's size is added.

    Returns:
        Columns of :data:`trajectories.analysis.CALIBRATION`; the rates are per sample and add up to 1; ``n`` and ``n_clusters`` are
        medians.
    """
    rows = []
    for multiple, found in results.items():
        clusters = [r.n_clusters for r in found if r.n_clusters is not None]
        for size in [family] if isinstance(family, int) else family:
            whole = range(0, len(found) - len(found) % size, size)
            verdicts = np.concatenate([_decide(claim, found[i : i + size]) for i in whole])
            rows.append(
                {
                    "claim": claim.id,
                    "test": (test or found[0].method) + (f"; Holm over {size}" if size > 1 else ""),
                    "scale": claim.scale,
                    "truth": _truth(claim, multiple),
                    "margin": claim.margin,
                    "n": int(np.median([r.n for r in found])),
                    "n_clusters": int(np.median(clusters)) if clusters else None,
                    "n_sim": len(verdicts),
                    "seed": seed,
                    "rate_supported": float(np.mean(verdicts == SUPPORTED)),
                    "rate_refuted": float(np.mean(verdicts == REFUTED)),
                    "rate_inconclusive": float(np.mean(verdicts == INCONCLUSIVE)),
                }
            )
    return pd.DataFrame(rows, columns=CALIBRATION.names).astype({"n_clusters": "Int64"})


def power(claim: Claim, results: Mapping[float, Sequence[Result]], test: str | None = None) -> dict[str, Any]:
    """Whether wrong verdicts stay at 5 %, the power at the sample at hand, and the sample for power 0.8, each claim decided alone.

    The sample for power 0.8 scales the sample at hand as clusters like its own would be added, so that the standard error falls with the
    root of their number: n · (z · stderr / distance)². The distance is one margin, from no effect or from twice the margin to the margin;
    z is 1.645 + 0.842, and 1.645 + 1.282 where a two-sided claim is to be refuted, which takes two tests. The standard error is the larger
    of the one that the analyses report (root mean square) and the one that their estimates show.

    Args:
        claim: the claim, with its margin and direction.
        results: from :func:`simulated`; truths 0 and 2 are needed for the power, 1 for the wrong verdicts.
        test: as for :func:`rates`.

    Returns:
        ``claim, test, n, n_clusters, n_sim``; ``rate_wrong`` (the largest rate of a wrong verdict over all truths), ``stderr_wrong`` (its
        Monte Carlo standard error), ``most_wrong`` (a 95 % upper bound of the true one, the largest of the exact binomial bounds at each
        truth), ``level``: `exceeded` if some rate is above 5 % beyond Monte Carlo error, `kept` if the upper bound is at most
        :data:`TOLERATED`, else `open`; ``power_refuted`` with ``stderr_power_refuted``
        and ``needed_refuted`` (units for power 0.8) if there is no effect; the same with ``supported`` if it is twice the margin.
    """
    table = rates(claim, results, seed=0, test=test)
    multiple = table["truth"].abs() / claim.margin
    within, beyond = table[multiple <= 1 + 1e-9], table[multiple >= 1 - 1e-9]
    wrong = [*zip(within["rate_supported"], within["n_sim"], strict=True), *zip(beyond["rate_refuted"], beyond["n_sim"], strict=True)]
    worst, tried = max(wrong)
    most = max(_at_most(rate, n) for rate, n in wrong)
    exceeded = any(stats.binom.sf(round(rate * n) - 1, n, ALPHA) < TOO_MANY for rate, n in wrong)
    first = table.iloc[0]
    found = {name: first[name] for name in ("claim", "test", "scale", "margin", "n", "n_clusters", "n_sim")}
    found |= {"rate_wrong": worst, "stderr_wrong": _stderr(worst, tried), "most_wrong": most}
    found["level"] = EXCEEDED if exceeded else KEPT if most <= TOLERATED else OPEN
    for verdict, truth in ((REFUTED, 0.0), (SUPPORTED, 2.0)):
        if truth in results:
            line = table[np.isclose(multiple, truth)].iloc[0]
            rate = float(line[f"rate_{verdict}"])
            found |= {f"power_{verdict}": rate, f"stderr_power_{verdict}": _stderr(rate, int(line["n_sim"]))}
            found[f"needed_{verdict}"] = _needed(claim, results[truth], verdict)
    return found


def _truth(claim: Claim, multiple: float) -> float:
    return (-1.0 if claim.sided == "less" else 1.0) * multiple * claim.margin


def _stderr(rate: float, n_sim: int) -> float:
    """Monte Carlo standard error, with half a simulation added to each outcome so that a rate of 0 or 1 has one too."""
    p = (rate * n_sim + 0.5) / (n_sim + 1)
    return math.sqrt(p * (1 - p) / n_sim)


def _at_most(rate: float, n_sim: int) -> float:
    """One-sided 95 % upper bound of a true rate (Clopper and Pearson 1934, *Biometrika* 26)."""
    hits = round(rate * n_sim)
    return float(stats.beta.ppf(1 - ALPHA, hits + 1, n_sim - hits)) if hits < n_sim else 1.0


def _needed(claim: Claim, results: Sequence[Result], verdict: str) -> float:
    usable = [r for r in results if r.finite]
    if len(usable) < 3:
        return math.nan
    reported = float(np.sqrt(np.mean(np.square([r.stderr for r in usable]))))
    shown = float(np.std([r.estimate for r in usable], ddof=1))
    stderr = max(shown, reported) if math.isfinite(reported) else shown
    beta = (1 - POWER) / 2 if claim.sided == "two-sided" and verdict == REFUTED else 1 - POWER
    z = stats.norm.ppf(1 - ALPHA) + stats.norm.ppf(1 - beta)
    return float(np.median([r.n for r in usable]) * (z * stderr / claim.margin) ** 2)


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several calibrations as one table."""
    return pd.concat(tables, ignore_index=True) if tables else empty(CALIBRATION)


def _decide(claim: Claim, results: Sequence[Result]) -> np.ndarray:
    rows = [row(claim, result, f"simulated {i}", 0) for i, result in enumerate(results)]
    return np.array([verdict for verdict, _ in decide(rows)])
