"""Data of known truth in the shape of the data at hand, for the calibration of the claims.

Paradigms of one phenomenon share a part (:data:`effects.ICC`) of their variance, and as many are tied at either end as in the data.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats

from trajectories.experiments.grammar import effects
from trajectories.statistics import calibration, rank_agreement
from trajectories.statistics.claims import Result

TRUTHS = {"learnt-early": (0.75, 1.0, 1.25), "larger-sooner": (*calibration.TRUTHS, 3.0, 4.0)}
"""True effects as multiples of the margin where the general ones do not do: accuracy early is hardly twice the final one's, and a net share
of few paradigms tells only of large effects."""


def truths(claim: str, margin: float) -> tuple[float, ...]:
    """True effects as multiples of the margin; shares and correlations none above 1."""
    multiples = TRUTHS.get(claim, calibration.TRUTHS)
    return multiples if claim == "learnt-early" else tuple(m for m in multiples if m * margin <= 1)


def _clustered(generator: np.random.Generator, clusters: np.ndarray) -> np.ndarray:
    """Standard normal values, one per unit, correlated by ICC within a cluster."""
    _, index = np.unique(clusters, return_inverse=True)
    icc = effects.ICC
    return np.sqrt(icc) * generator.standard_normal(index.max() + 1)[index] + np.sqrt(1 - icc) * generator.standard_normal(len(index))


def _tied(values: np.ndarray, first: float, last: float) -> np.ndarray:
    """Normal values of which the lowest share ``first`` and the highest share ``last`` are tied among themselves."""
    return np.clip(values, stats.norm.ppf(first) if first > 0 else -np.inf, stats.norm.ppf(1 - last) if last > 0 else np.inf)


@lru_cache
def _latent(first: float, last: float) -> tuple[np.ndarray, np.ndarray]:
    """Rank correlation of an order with ties at its ends and one without, by their latent normal correlation."""
    generator = np.random.default_rng(20200720)
    x, noise = generator.standard_normal((2, 20000))
    latent = np.linspace(0, 0.999, 25)
    seen = [rank_agreement.spearman(_tied(r * x + np.sqrt(1 - r**2) * noise, first, last), x) for r in latent]
    return latent, np.maximum.accumulate(np.concatenate([[0.0], seen[1:]]))


def orders(generator: np.random.Generator, truth: float, *, ours: np.ndarray, clusters: np.ndarray) -> Result:
    """An order of acquisition, tied at its ends as ``ours`` is, whose rank correlation with another one is ``truth``."""
    first = float((ours == ours.min()).mean()) if (ours == ours.min()).sum() > 1 else 0.0
    last = float(np.isinf(ours).mean())
    latent, seen = _latent(round(first, 2), round(min(last, 0.99 - first), 2))
    r = np.sign(truth) * np.interp(abs(truth), seen, latent)
    other = _clustered(generator, clusters)
    own = r * other + np.sqrt(1 - r**2) * _clustered(generator, clusters)
    return effects.agreement(_tied(own, first, last), other, clusters)


def gains(
    generator: np.random.Generator, truth: float, *, early: np.ndarray, final: np.ndarray, clusters: np.ndarray, least: float
) -> Result:
    """Gains over chance whose early mean is the share ``truth`` of the final mean, scattered about it as the data are."""
    ratio = early.mean() / final.mean()
    scatter = np.std(early - ratio * final)
    drawn = final.mean() + np.std(final) * _clustered(generator, clusters)
    return effects.share_early(truth * drawn + scatter * _clustered(generator, clusters), drawn, clusters, least)


def signs(generator: np.random.Generator, truth: float, *, clusters: np.ndarray) -> Result:
    """Signs, 1 or -1, of as many paradigms as have one in the data, whose mean is ``truth``."""
    u = stats.norm.cdf(_clustered(generator, clusters))
    return effects.net_share(np.where(u < (1 - truth) / 2, -1.0, 1.0), clusters)
