"""Answers of known truth in the shape of the sample at hand, for the calibration of the claims.

A fact is known or not, and who does not know it guesses among the candidates. Facts of one cluster share a part (:data:`ICC`) of the
variance of what decides whether, and when, they are known.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from trajectories.experiments.knowledge import effects
from trajectories.experiments.knowledge.effects import Paired
from trajectories.statistics.claims import Result

ICC = 0.1
SPREAD = 1.0
"""Standard deviation of the time at which a fact is learnt, in doublings of training."""
REDRAWN = 0.3
"""How often who does not know guesses anew from one checkpoint to the next."""
DRAWS = 200
"""Bootstrap resamples within a simulation."""


def normal(generator: np.random.Generator, clusters: np.ndarray) -> np.ndarray:
    """Standard normal values, one per fact, correlated by :data:`ICC` within a cluster."""
    _, index = np.unique(clusters, return_inverse=True)
    return np.sqrt(ICC) * generator.standard_normal(index.max() + 1)[index] + np.sqrt(1 - ICC) * generator.standard_normal(len(index))


def known_shares(answered: np.ndarray, chance: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """How likely it is that each fact is known: the chance-corrected accuracy of its stratum (facts told equally often), [facts]."""
    found = np.empty(len(answered))
    for stratum in np.unique(strata):
        own = strata == stratum
        found[own] = effects.beyond_chance(answered[own].mean(), chance[own].mean())
    return np.clip(found, 0.0, 1.0)


def _answers(generator: np.random.Generator, known: np.ndarray, chance: np.ndarray) -> np.ndarray:
    return known | (generator.random(len(known)) < chance)


def lost(generator: np.random.Generator, truth: float, *, real: Paired, strata: np.ndarray) -> Result:
    """Facts known in the one form as often as in the sample, of which a share ``truth`` is not known in the other."""
    share = known_shares(real.shallow, real.chance_shallow, strata)
    return effects.share_lost(_paired(generator, truth, real, share))


def _paired(generator: np.random.Generator, share_lost: float, real: Paired, share: np.ndarray, latent: np.ndarray | None = None) -> Paired:
    known = ndtr(normal(generator, real.clusters) if latent is None else latent) < share
    deep = known & (ndtr(normal(generator, real.clusters)) >= share_lost)
    first, second = _answers(generator, known, real.chance_shallow), _answers(generator, deep, real.chance_deep)
    return Paired(first.astype(float), second.astype(float), real.chance_shallow, real.chance_deep, real.clusters)


def narrower(generator: np.random.Generator, truth: float, *, larger: Paired, smaller: Paired, strata: np.ndarray) -> Result:
    """Two models that know the same facts first; the larger one loses ``truth`` (negative: less) more than the smaller one."""
    shares = [known_shares(p.shallow, p.chance_shallow, strata) for p in (larger, smaller)]
    base = float(np.clip(smaller.lost(), max(0.05 - truth, 0.05), 0.95))
    latent = normal(generator, larger.clusters)
    first = _paired(generator, base + truth, larger, shares[0], latent)
    return effects.difference_of_lost(first, _paired(generator, base, smaller, shares[1], latent))


def _over_time(generator: np.random.Generator, since: np.ndarray, chance: np.ndarray, doublings: np.ndarray) -> np.ndarray:
    """Answers [steps, facts] of facts known from a time on; guesses stay for a while."""
    shape = (len(doublings), len(since))
    guess = generator.random(shape) < chance
    kept = generator.random(shape) >= REDRAWN
    for i in range(1, len(doublings)):
        guess[i] = np.where(kept[i], guess[i - 1], guess[i])
    return ((doublings[:, None] >= since) | guess).astype(float)


def _since(generator: np.random.Generator, share: np.ndarray, clusters: np.ndarray, middle: float) -> np.ndarray:
    learnt = middle + SPREAD * normal(generator, clusters)
    return np.where(generator.random(len(share)) < share, learnt, np.inf)


def later(
    generator: np.random.Generator, truth: float, *, real: Paired, strata: np.ndarray, doublings: np.ndarray, middle: float, least: float
) -> Result:
    """Facts that are given in the second way ``truth`` doublings after the first, and never more often than in the sample."""
    shares = [known_shares(a[-1], c, strata) for a, c in ((real.shallow, real.chance_shallow), (real.deep, real.chance_deep))]
    since = _since(generator, shares[0], real.clusters, middle)
    kept = generator.random(len(since)) < np.divide(shares[1], shares[0], out=np.zeros_like(since), where=shares[0] > 0)
    deep = np.where(kept, since + truth, np.inf)
    first = _over_time(generator, since, real.chance_shallow, doublings)
    second = _over_time(generator, deep, real.chance_deep, doublings)
    paired = Paired(first, second, real.chance_shallow, real.chance_deep, real.clusters)
    return effects.lag(paired, doublings, least, DRAWS, generator)


def layers(
    generator: np.random.Generator,
    truth: float,
    *,
    output: np.ndarray,
    n_layers: int,
    chance: np.ndarray,
    clusters: np.ndarray,
    strata: np.ndarray,
    doublings: np.ndarray,
    middle: float,
    least: float,
) -> Result:
    """Intermediate layers that all give each fact ``truth`` doublings after the output, guessing by themselves until then."""
    share = known_shares(output[-1], chance, strata)
    since = _since(generator, share, clusters, middle)
    own = [_over_time(generator, since + truth, chance, doublings) for _ in range(n_layers - 1)]
    lens = np.stack([*own, _over_time(generator, since, chance, doublings)], axis=1)
    return effects.lens_lag(lens, chance, clusters, doublings, least, DRAWS, generator)[0]


def selective(generator: np.random.Generator, truth: float, *, real: Paired, method: str) -> Result:
    """A probe that is right ``truth`` (chance-corrected) more often than its control task, which is at chance."""
    known = ndtr(normal(generator, real.clusters)) < truth
    probe, control = _answers(generator, known, real.chance_deep), generator.random(len(known)) < real.chance_shallow
    return effects.difference(
        Paired(control.astype(float), probe.astype(float), real.chance_shallow, real.chance_deep, real.clusters), method
    )
