"""Calibration: how often a claim's whole decision says `supported` or `refuted` when the truth is known.

Outcomes are simulated on the design of the real sample (its rows, batches, groups and covariates), so the table tells for this very sample
whether wrong verdicts stay at 5 %, and how often right ones are reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from trajectories.analysis import CALIBRATION, empty
from trajectories.statistics.claims import INCONCLUSIVE, REFUTED, SUPPORTED, Claim, Result, decide, row

TRUTHS = (0.0, 0.5, 1.0, 2.0)
"""True effects as multiples of the margin, in the claim's direction."""


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
    """Rates of verdicts on simulated data, one row per truth and size of family.

    A wrong verdict is `supported` where the truth is at most the margin, or `refuted` where it is at least the margin; at the margin itself
    either is wrong, each at most 5 % of the time.

    Args:
        claim: the claim, with its margin and direction.
        simulate: (generator, true effect on the margin's scale) → the result that the analysis finds on one simulated sample.
        n_sim: simulated samples per truth.
        seed: of the simulations; every truth has its own stream, so more simulations extend the same ones.
        family: how many samples are decided together with Holm's correction, as many as the claim's family has models; several sizes give
            a row each. The samples of a family have the same truth.
        truths: true effects as multiples of the margin.
        test: name of the test; by default the results' method; the family's size is added.

    Returns:
        Columns of :data:`trajectories.analysis.CALIBRATION`; the rates are per sample and add up to 1; ``n`` and ``n_clusters`` are
        medians.

    Raises:
        ValueError: fewer simulations than a family has members.
    """
    families = [family] if isinstance(family, int) else list(family)
    if not families or min(families) < 1 or n_sim < max(families):
        raise ValueError(f"{n_sim} simulations cannot fill families of {families}")
    sign = -1.0 if claim.sided == "less" else 1.0
    rows = []
    for multiple in truths:
        truth = sign * multiple * claim.margin
        generator = np.random.default_rng([seed, *claim.id.encode(), round(multiple * 1000)])
        results = [simulate(generator, truth) for _ in range(n_sim)]
        clusters = [r.n_clusters for r in results if r.n_clusters is not None]
        for size in families:
            whole = range(0, n_sim - n_sim % size, size)
            verdicts = np.concatenate([_decide(claim, results[i : i + size]) for i in whole])
            rows.append(
                {
                    "claim": claim.id,
                    "test": (test or results[0].method) + (f"; Holm over {size}" if size > 1 else ""),
                    "scale": claim.scale,
                    "truth": truth,
                    "margin": claim.margin,
                    "n": int(np.median([r.n for r in results])),
                    "n_clusters": int(np.median(clusters)) if clusters else None,
                    "n_sim": len(verdicts),
                    "seed": seed,
                    "rate_supported": float(np.mean(verdicts == SUPPORTED)),
                    "rate_refuted": float(np.mean(verdicts == REFUTED)),
                    "rate_inconclusive": float(np.mean(verdicts == INCONCLUSIVE)),
                }
            )
    return pd.DataFrame(rows, columns=CALIBRATION.names).astype({"n_clusters": "Int64"})


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several calibrations as one table."""
    return pd.concat(tables, ignore_index=True) if tables else empty(CALIBRATION)


def _decide(claim: Claim, results: Sequence[Result]) -> np.ndarray:
    rows = [row(claim, result, f"simulated {i}", 0) for i, result in enumerate(results)]
    return np.array([verdict for verdict, _ in decide(rows)])
