"""When is something acquired? The step after which a trajectory stays above a criterion, as far as the checkpoints can tell.

A checkpoint says only that the crossing lies after the last one below and not after the first one from which on all are at or above the
criterion, so the step of acquisition is an interval ``(lower, upper]``. It is left-censored if all checkpoints are at or above the
criterion (``lower`` is 0: training's start), and right-censored if it is not acquired by the end (``upper`` is infinite).

Assumptions: the crossing happens once for good between two neighbouring checkpoints; what returns below the criterion is not yet acquired,
so noise around the criterion delays acquisition and never advances it. Resampling adds noise of its own; the interval from it therefore
leans to the late side where a trajectory runs along its criterion. The kind ``isotonic`` is the check on that: it asks when the best
non-decreasing curve crosses, so that one late checkpoint below weighs no more than any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NONE, LEFT, RIGHT = "none", "left", "right"


def lasting(above: np.ndarray) -> np.ndarray:
    """First index from which on every entry along the first axis is true; the length of that axis if the last is false.

    Args:
        above: bool ``[steps, ...]``.
    """
    stays = np.flip(np.logical_and.accumulate(np.flip(above, 0), 0), 0)
    return np.where(stays.any(0), stays.argmax(0), above.shape[0])


def isotonic_crossing(levels: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """First index at which the isotonic regression of a trajectory is at or above a level; the number of steps where it never is.

    The least-squares non-decreasing curve is at or above a level exactly from where the sum of (value − level) from the start is smallest
    (the switch relation: Groeneboom and Jongbloed 2014, *Nonparametric Estimation under Shape Constraints*, chapter 3), so that curve need
    not be computed. Checkpoints weigh alike.

    Args:
        levels: ``[steps, ...]``. threshold: ``[...]``.
    """
    sums = np.cumsum(levels - threshold, 0)
    return np.concatenate([np.zeros_like(sums[:1]), sums]).argmin(0)


@dataclass(frozen=True)
class Criterion:
    """What counts as acquired.

    Args:
        kind: ``midway`` (halfway between chance and the trajectory's own final level), ``fixed`` (at ``level``), or ``isotonic`` (the
            isotonic regression is halfway, as a check on what noise does to ``midway``).
        chance: level of one who has learned nothing.
        least_gain: a final level less than this above chance is not acquired.
        level: the fixed criterion.
        final: how many last checkpoints make up the final level (their mean).
    """

    kind: str
    chance: float = 0.5
    least_gain: float = 0.1
    level: float = 0.75
    final: int = 3

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist."""
        if self.kind not in ("midway", "fixed", "isotonic"):
            raise ValueError(f"a criterion is 'midway', 'fixed' or 'isotonic', found '{self.kind}'")

    def final_level(self, levels: np.ndarray) -> np.ndarray:
        """Mean of the last checkpoints along the first axis; of at most a quarter of them, so that a short trajectory keeps a beginning."""
        last = min(self.final, max(1, levels.shape[0] // 4))
        return levels[-last:].mean(0)

    def threshold(self, levels: np.ndarray) -> np.ndarray:
        """The level to be reached: ``[...]`` for ``levels`` of shape ``[steps, ...]``."""
        final = self.final_level(levels)
        return np.full_like(final, self.level) if self.kind == "fixed" else (final + self.chance) / 2

    def index(self, levels: np.ndarray) -> np.ndarray:
        """Index of the first checkpoint of acquisition; the number of steps where it is not acquired."""
        learned = self.final_level(levels) >= self.chance + self.least_gain
        threshold = self.threshold(levels)
        first = isotonic_crossing(levels, threshold) if self.kind == "isotonic" else lasting(levels >= threshold)
        return np.where(learned, first, levels.shape[0])


@dataclass(frozen=True)
class Acquired:
    """The step of acquisition of one trajectory.

    Attributes:
        lower, upper: acquired after ``lower`` and not after ``upper``; ``inf`` if not acquired by the end.
        censored: ``none``, ``left`` or ``right``.
        ci_low, ci_high: where the lower and upper ends of resampled trajectories lie at the confidence level; ``ci_high`` may be ``inf``.
        share: share of the resamples in which it is acquired.
        final: final level. threshold: level that was to be reached.
    """

    lower: float
    upper: float
    censored: str
    ci_low: float
    ci_high: float
    share: float
    final: float
    threshold: float


def acquired(
    steps: Sequence[int] | np.ndarray, levels: np.ndarray, replicates: np.ndarray, criterion: Criterion, conf_level: float = 0.95
) -> Acquired:
    """The step of acquisition of a trajectory with a percentile interval from its resamples.

    Args:
        steps: ``[steps]``, ascending.
        levels: ``[steps]``: the trajectory.
        replicates: ``[draws, steps]``: the trajectory computed on resampled pairs (:func:`resample_pairs`, :func:`resample_binomial`).
        criterion: what counts as acquired.
        conf_level: two-sided level.

    Raises:
        ValueError: steps do not ascend, or shapes do not fit.
    """
    grid = np.asarray(steps, dtype=float)
    if len(grid) != len(levels) or replicates.shape[1:] != (len(grid),) or np.any(np.diff(grid) <= 0):
        raise ValueError("steps should ascend, one for each level, and one for each level of a replicate")
    after, before = np.append(grid, np.inf), np.append(0.0, grid)
    first = int(criterion.index(levels))
    drawn = criterion.index(np.ascontiguousarray(replicates.T))
    tail = (1 - conf_level) / 2
    censored = LEFT if first == 0 else RIGHT if first == len(grid) else NONE
    return Acquired(
        lower=float(before[first]),
        upper=float(after[first]),
        censored=censored,
        ci_low=float(np.quantile(before[drawn], tail, method="inverted_cdf")),
        ci_high=float(np.quantile(after[drawn], 1 - tail, method="inverted_cdf")),
        share=float((drawn < len(grid)).mean()),
        final=float(criterion.final_level(levels)),
        threshold=float(criterion.threshold(levels)),
    )


def resample_pairs(correct: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Accuracies of resampled pairs, the same pairs at every step, so that what a pair does over training stays together.

    Args:
        correct: ``[steps, pairs]``, 0 or 1.
        counts: ``[draws, pairs]`` from :func:`trajectories.statistics.intervals.resample_counts`.

    Returns:
        ``[draws, steps]``.
    """
    return (counts @ np.asarray(correct, dtype=np.float32).T) / counts.sum(1, keepdims=True)


def resample_binomial(accuracy: np.ndarray, n: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Accuracies redrawn from the binomial distribution, for results that are known only as a proportion of ``n``.

    Steps are drawn independently. Truly the same pairs are shown at every step, which makes neighbouring errors alike; taking them as
    independent makes the interval of a step of acquisition wider, not narrower.

    Returns:
        ``[draws, steps]``.
    """
    return generator.binomial(n, np.clip(accuracy, 0, 1), size=(draws, len(accuracy))) / n


def earlier(lower_a: np.ndarray, upper_a: np.ndarray, lower_b: np.ndarray, upper_b: np.ndarray) -> np.ndarray:
    """1 where a is certainly acquired before b, -1 where after, 0 where their intervals overlap; ``(lower, upper]`` in steps or tokens.

    Something that is acquired precedes what is not (upper ``inf``) once it is acquired by the last checkpoint of the other.
    """
    before = np.asarray(upper_a) <= np.asarray(lower_b)
    after = np.asarray(upper_b) <= np.asarray(lower_a)
    return before.astype(int) - after.astype(int)
