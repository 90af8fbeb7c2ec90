"""The effects that the claims are about, over facts, whose clusters are subjects (or relations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from trajectories.statistics import intervals
from trajectories.statistics.acquisition import Criterion, lasting
from trajectories.statistics.claims import ALPHA, MIN_EVENTS, Result

LEAST_CLUSTERS = 4
JACKKNIFE = "delete-one-cluster jackknife"
SHARE = "share of chance-corrected accuracy"
DOUBLINGS = "doublings of training"


def beyond_chance(accuracy: Any, chance: Any) -> Any:
    """Accuracy on a scale on which guessing is 0 and being always right is 1 (as Cohen's kappa with uniform guessing)."""
    return (accuracy - chance) / (1 - chance)


def clusters(prompts: pd.DataFrame) -> np.ndarray:
    """What facts have in common: the subject where a subject has several facts, else the relation; [prompts]."""
    shared = prompts["fact_id"].nunique() > 1.5 * prompts["subject"].nunique()
    return prompts["subject" if shared else "relation"].to_numpy()


@dataclass(frozen=True)
class Paired:
    """Two ways to ask for the same facts, at one checkpoint or over training.

    Attributes:
        shallow, deep: 0, 1 or a share in between, ``[..., facts]``: answered rightly in the one way and in the other.
        chance_shallow, chance_deep: of guessing rightly, [facts].
        clusters: [facts].
    """

    shallow: np.ndarray
    deep: np.ndarray
    chance_shallow: np.ndarray
    chance_deep: np.ndarray
    clusters: np.ndarray

    def levels(self, mask: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Chance-corrected accuracies of both, over the facts of a mask."""
        return (
            beyond_chance(self.shallow[..., mask].mean(-1), self.chance_shallow[mask].mean()),
            beyond_chance(self.deep[..., mask].mean(-1), self.chance_deep[mask].mean()),
        )

    def lost(self, mask: np.ndarray | slice = slice(None)) -> float:
        """Which share of the one is missing in the other."""
        shallow, deep = self.levels(mask)
        return float(1 - deep / shallow) if shallow > 0 else np.nan

    def at(self, index: int) -> Paired:
        """At one checkpoint."""
        return Paired(self.shallow[index].copy(), self.deep[index].copy(), self.chance_shallow, self.chance_deep, self.clusters)


def _facts(paired: Paired, method: str) -> dict[str, Any]:
    return {"n": len(paired.clusters), "n_clusters": len(np.unique(paired.clusters)), "method": method}


def _problem(paired: Paired) -> str | None:
    """Why nothing can be lost or gained, as a clause."""
    groups, right = len(np.unique(paired.clusters)), paired.shallow.sum()
    if groups < LEAST_CLUSTERS:
        return f"the facts belong to {groups} clusters, and an interval over clusters needs {LEAST_CLUSTERS}"
    if right - paired.chance_shallow.sum() < MIN_EVENTS:
        n = len(paired.clusters)
        return f"only {right:.0f} of {n} facts are answered in the form to compare with, fewer than {MIN_EVENTS} beyond chance"
    return None


def share_lost(paired: Paired) -> Result:
    """Which share of what is answered in the one form is not answered in the other, both corrected for chance.

    More than a share v is lost if (1 - v) · shallow - deep is above 0, which is tested as it stands (Fieller 1954, *J. R. Stat. Soc. B*
    16): the ratio's own standard error goes wrong where the denominator is uncertain.
    """
    facts = _facts(paired, f"1 less the ratio of chance-corrected accuracies, Fieller's test, {JACKKNIFE}")
    if problem := _problem(paired):
        return Result(paired.lost(), problem=problem, **facts)
    shallow, deep = paired.levels()
    labels = np.unique(paired.clusters)
    without = np.array([paired.levels(paired.clusters != label) for label in labels]) - (shallow, deep)
    df = len(labels) - 1
    covariance = without.T @ without * df / len(labels)

    def tails(value: float) -> tuple[float, float]:
        weights = np.array([1 - value, -1.0])
        t = weights @ (shallow, deep) / np.sqrt(max(weights @ covariance @ weights, 1e-12))
        return float(special.stdtr(df, -t)), float(special.stdtr(df, t))

    reach = special.stdtrit(df, 1 - ALPHA) ** 2
    a = shallow**2 - reach * covariance[0, 0]
    b, c = shallow * deep - reach * covariance[0, 1], deep**2 - reach * covariance[1, 1]
    if a <= 0 or b**2 <= a * c:
        return Result(paired.lost(), problem="the form to compare with is too rarely answered to bound a share of it", **facts)
    ends = 1 - (b + np.array([1, -1]) * np.sqrt(b**2 - a * c)) / a
    slope = np.array([deep / shallow, -1.0]) / shallow
    stderr = float(np.sqrt(slope @ covariance @ slope))
    return Result(paired.lost(), stderr, df, float(ends[0]), float(ends[1]), tails=tails, **facts)


def difference_of_lost(larger: Paired, smaller: Paired) -> Result:
    """The share lost by one model less that lost by another, on the same facts."""
    facts = _facts(larger, f"difference of two models' shares lost on the same facts, {JACKKNIFE}")
    if problem := _problem(larger) or _problem(smaller):
        return Result(larger.lost() - smaller.lost(), problem=problem, **facts)
    estimate, stderr, df = intervals.cluster_jackknife(lambda mask: larger.lost(mask) - smaller.lost(mask), larger.clusters)
    return Result(estimate, stderr, df, **facts)


def difference(paired: Paired, method: str) -> Result:
    """Chance-corrected accuracy in the second way less that in the first."""
    facts = _facts(paired, f"{method}, {JACKKNIFE}")
    estimate, stderr, df = intervals.cluster_jackknife(lambda mask: float(np.subtract(*paired.levels(mask)[::-1])), paired.clusters)
    few = len(np.unique(paired.clusters)) < LEAST_CLUSTERS
    return Result(estimate, stderr, df, problem="there are too few clusters" if few else None, **facts)


def criterion(least: float) -> Criterion:
    """Halfway to the final level, on the chance-corrected scale; a final level below ``least`` has no time."""
    return Criterion("midway", chance=0.0, least_gain=least)


def crossing(levels: np.ndarray, threshold: np.ndarray, doublings: np.ndarray) -> np.ndarray:
    """When trajectories come to stay at or above a threshold, interpolated between checkpoints.

    Args:
        levels: [steps, ...]. threshold: [...]. doublings: [steps].

    Returns:
        [...]: on the scale of ``doublings``; the last checkpoint's where it is not reached by then.
    """
    flat = levels.reshape(len(levels), -1)
    limit = np.broadcast_to(threshold, levels.shape[1:]).ravel()
    first = lasting(flat >= limit)
    here, before = np.minimum(first, len(flat) - 1), np.clip(first - 1, 0, None)
    place = np.arange(flat.shape[1])
    y0, y1 = flat[before, place], flat[here, place]
    rise = np.where(y1 > y0, y1 - y0, 1.0)
    share = np.clip(np.where(y1 > y0, (limit - y0) / rise, 1.0), 0, 1)
    found = doublings[before] + share * (doublings[here] - doublings[before])
    found = np.where(first >= len(flat), doublings[-1], found)
    return found.reshape(levels.shape[1:])


@dataclass(frozen=True)
class Resampled:
    """Sums over resampled clusters of facts.

    Attributes:
        counts: [1 + draws, clusters]: the whole sample, then how often each cluster is drawn.
        member: [facts, clusters].
    """

    counts: np.ndarray
    member: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, draws: int, generator: np.random.Generator) -> Resampled:
        """The sample itself and ``draws`` resamples of its clusters."""
        member = intervals.one_hot(labels)
        drawn = intervals.resample_counts(member.shape[1], draws, generator).astype(float)
        return cls(np.concatenate([np.ones((1, member.shape[1])), drawn]), member)

    def levels(self, answered: np.ndarray, chance: np.ndarray, clusters: slice = slice(None)) -> np.ndarray:
        """Chance-corrected accuracies ``[..., 1 + draws]`` of ``answered`` [..., facts] over some of the clusters."""
        member, counts = self.member[:, clusters], self.counts[:, clusters]
        size = np.maximum(counts @ member.sum(0), 1e-9)
        return beyond_chance((answered @ member) @ counts.T / size, (chance @ member) @ counts.T / size)


def lag(paired: Paired, doublings: np.ndarray, least: float, draws: int, generator: np.random.Generator) -> Result:
    """By how many doublings of training the second way of asking reaches half its final level after the first has reached half its own.

    Args:
        paired: ``[steps, facts]``.
        doublings: [steps].
        least: final levels below it have no time.
    """
    facts = _facts(paired, "difference of two midway crossings, bootstrap over clusters")
    rule = criterion(least)
    drawn = Resampled.of(paired.clusters, draws, generator)
    sides = [drawn.levels(a.astype(float), c) for a, c in ((paired.shallow, paired.chance_shallow), (paired.deep, paired.chance_deep))]
    if min(float(rule.final_level(side)[0]) for side in sides) < least or len(np.unique(paired.clusters)) < LEAST_CLUSTERS:
        return Result(
            np.nan,
            problem=f"a final level is less than {least:g} above chance, so there is no time at which half of it is reached",
            **facts,
        )
    first, second = (crossing(side, rule.threshold(side), doublings) for side in sides)
    return Result.from_replicates(float(second[0] - first[0]), (second - first)[1:], **facts)


def lens_lag(
    lens: np.ndarray,
    chance: np.ndarray,
    labels: np.ndarray,
    doublings: np.ndarray,
    least: float,
    draws: int,
    generator: np.random.Generator,
) -> tuple[Result, np.ndarray]:
    """By how many doublings an intermediate layer gives the facts after (before: negative) the output gives them.

    Both are held to one criterion: half the output's final chance-corrected accuracy on the same candidates. The layer is chosen on one
    half of the clusters (the one that is first there) and timed on the other, and the other way round, anew in each resample: the best of
    several layers would nearly always come first.

    Args:
        lens: bool [steps, layers, facts], the last layer being the output; the first is the embedding and never chosen.
        chance: [facts]. labels: clusters [facts]. doublings: [steps].

    Returns:
        The lag, and how often each layer is chosen over the resamples [layers].
    """
    n_clusters = len(np.unique(labels))
    method = "layer and output at one criterion, bootstrap over clusters"
    facts: dict[str, Any] = {"n": len(labels), "n_clusters": n_clusters, "method": method}
    drawn = Resampled.of(labels, draws, generator)
    values = lens.astype(float)
    layers = lens.shape[1]
    output = drawn.levels(values[:, -1], chance)
    rule = criterion(least)
    if rule.final_level(output)[0] < least or n_clusters < LEAST_CLUSTERS or layers < 3:
        return Result(np.nan, problem=f"the final output is less than {least:g} above chance, so no time can be told", **facts), np.zeros(
            layers
        )
    threshold = rule.threshold(output)
    halves = [
        crossing(drawn.levels(values, chance, slice(part, None, 2)), np.broadcast_to(threshold, (layers, draws + 1)), doublings)
        for part in (0, 1)
    ]
    lags, chosen = [], np.zeros(layers)
    for here, there in (halves, halves[::-1]):
        layer = 1 + here[1:-1].argmin(0)
        lags.append(there[layer, np.arange(draws + 1)] - there[-1])
        chosen += np.bincount(layer, minlength=layers)
    both = np.mean(lags, axis=0)
    return Result.from_replicates(float(both[0]), both[1:], **facts), chosen / chosen.sum()
