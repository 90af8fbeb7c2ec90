"""One effect estimated in several replicates (training runs) that share their units: inference about replicates and units at once.

The units of an experiment (items, clusters) stand in every replicate, so an estimate has two sources of chance: which units were drawn, and
which replicates. With the variance of each, the variance of the mean effect is at most their sum: two-way clustering subtracts what is
due to a unit within a replicate, which both count (Cameron, Gelbach and Miller 2011, *J. Bus. Econ. Stat.* 29); with few replicates that
term is badly known, and leaving it in errs on the safe side. The degrees of freedom are those of Satterthwaite (1946, *Biometrics* 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trajectories.statistics.claims import Result

LEAST_REPLICATES = 3
"""With fewer replicates their variance is not estimated, and the inference is conditional on them."""


def over_replicates(
    result: Result, groups: Sequence[tuple[float, Sequence[float] | np.ndarray]], what: str = "runs", least: int = LEAST_REPLICATES
) -> Result:
    """A result whose standard error takes the replicates as given, with the variance between them added.

    Args:
        result: an effect averaged over replicates, or a weighted sum of such averages; with ``stderr`` and ``df``.
        groups: for each average its weight and the effect in each of its independent replicates, on the result's scale.
        what: the replicates' name in the method.
        least: a group of fewer finite replicates leaves the result as it is, and its method says that it is conditional on them.

    Returns:
        The same estimate, with the variance Σ w² s²/R over the groups added to ``stderr²``, and Satterthwaite's degrees of freedom.
    """
    finite = [(weight, np.asarray(e, dtype=float)[np.isfinite(e)]) for weight, e in groups]
    fewest = min((len(values) for _, values in finite), default=0)
    if fewest < least or not result.finite or not np.isfinite(result.stderr):
        return replace(
            result, method=f"{result.method}; conditional on {'this run' if fewest == 1 and len(finite) == 1 else f'these {what}'}"
        )
    parts = [(weight**2 * float(values.var(ddof=1)) / len(values), len(values) - 1) for weight, values in finite]
    total = result.stderr**2 + sum(variance for variance, _ in parts)
    df = total**2 / (result.stderr**4 / result.df + sum(variance**2 / left for variance, left in parts))
    method = f"{result.method}; variance between {what} added, Satterthwaite"
    return replace(result, stderr=float(np.sqrt(total)), df=float(df), ci_low=np.nan, ci_high=np.nan, tails=None, method=method)
