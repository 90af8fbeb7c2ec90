"""Further looks at a process of events: the quantiles and the autocorrelation of its counts, and its gaps, beside a Bernoulli process.

The envelopes are **simultaneous**: 95 % of homogeneous processes stay inside everywhere at once, so a single point outside is already
remarkable. They come from the parametric bootstrap: binomial counts or geometric gaps of the estimated rate, with the rate estimated anew
in each replicate where the statistic uses it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from trajectories.statistics.intervals import resample_counts
from trajectories.statistics.point_process import REPLICATES, Process, histograms
from trajectories.statistics.point_process_laws import law

CONF_LEVEL = 0.95
_POINTS = 60
_CUTS = 500
_MOST_BLOCKS = 400
_RANKS = 30
_CELLS_AT_ONCE = 4_000_000


def envelope(simulated: np.ndarray, level: float = CONF_LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """A band in which a share ``level`` of simulated curves lies along its whole length.

    Curves are ordered by how extreme their most extreme points are, ties by the next most extreme ones (extreme rank length, Myllymäki and
    others 2017, *J. R. Stat. Soc. B* 79); the most extreme curves are set aside and the others' lowest and highest values bound the band.

    Args:
        simulated: curves [replicates, points].
        level: share of curves that stay inside.

    Returns:
        Lower and upper bound [points].
    """
    below = rankdata(simulated, method="max", axis=0)
    above = rankdata(-simulated, method="max", axis=0)
    extreme = np.sort(np.minimum(below, above), axis=1)[:, :_RANKS]
    order = np.lexsort(extreme.T[::-1])
    kept = simulated[order[int((1 - level) * len(simulated)) :]]
    return kept.min(axis=0), kept.max(axis=0)


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of the bins' counts beside binomial ones.

    Attributes:
        width, bins: trials per bin, and bins.
        probability: of each quantile, ascending [q].
        expected, observed: mean quantile of homogeneous processes, and that of the data [q].
        low, high: simultaneous 95 % envelope of homogeneous processes [q].
    """

    width: int
    bins: int
    probability: np.ndarray
    expected: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def outside(self) -> int:
        """Quantiles outside the envelope."""
        return int(np.count_nonzero((self.observed < self.low) | (self.observed > self.high)))


def quantiles(process: Process, width: int, generator: np.random.Generator, replicates: int = REPLICATES) -> Quantiles | None:
    """Quantiles of the counts in bins of ``width`` trials, evenly spread and denser at both ends; None where all trials are alike."""
    counts = process.counts(width)
    bins, rate = len(counts), counts.sum() / max(len(counts) * width, 1)
    if bins < 2 or rate in (0, 1):
        return None
    tails = np.geomspace(0.5 / bins, 0.05, 10) if bins > 10 else np.array([])
    probability = np.unique(np.concatenate([tails, (np.arange(_POINTS) + 0.5) / _POINTS, 1 - tails]))
    places = np.minimum((probability * bins).astype(int), bins - 1)
    first, probabilities = law(width, rate, 1.0)
    reached = np.cumsum(histograms(probabilities, bins, generator, replicates), axis=1)
    simulated = np.stack([first + (reached <= place).sum(axis=1) for place in places], axis=1)
    low, high = envelope(simulated)
    observed = np.sort(counts)[places]
    return Quantiles(width, bins, probability, simulated.mean(axis=0), observed, low, high)


@dataclass(frozen=True)
class Gaps:
    """Gaps between successive events beside geometric ones.

    Attributes:
        n: gaps.
        mean: their mean, in trials.
        at: the gap at which the two distributions differ most.
        deviation: share of gaps up to there less the geometric share; positive where short gaps abound.
        ci_low, ci_high: 95 % interval of the deviation at that gap, by block bootstrap of successive gaps, as wide as it must be to hold at
            all gaps at once, since this one was chosen for its deviation.
        p: that gaps are geometric and independent: Kolmogorov and Smirnov's statistic by parametric bootstrap.
        cuts: gaps at which both distributions are given [c].
        observed, expected: share of the gaps up to each [c], and the geometric share.
        low, high: simultaneous 95 % envelope of the observed share for a homogeneous process [c].
    """

    n: int
    mean: float
    at: int
    deviation: float
    ci_low: float
    ci_high: float
    p: float
    cuts: np.ndarray
    observed: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray


def gaps(process: Process, generator: np.random.Generator, replicates: int = REPLICATES) -> Gaps | None:
    """Compare the gaps between successive events with the geometric distribution of the same mean; None with fewer than 3 events.

    The distributions are compared at no more than 500 gaps, quantiles of the geometric one, so that millions of gaps cost no more than
    hundreds. The gap before the first event and that behind the last one are no gaps between events and are left out.
    """
    found = np.diff(process.events)
    if len(found) < 2 or found.mean() <= 1:
        return None
    n, mean = len(found), float(found.mean())
    cuts = _cuts(mean)
    cells = np.searchsorted(cuts, found, side="left")
    observed = np.cumsum(np.bincount(cells, minlength=len(cuts) + 1))[:-1] / n
    expected = _geometric(cuts, mean)
    # replicates: how many gaps fall between the cuts, and the mean gap that goes with it
    probabilities = np.diff(np.concatenate([[0.0], expected, [1.0]]))
    drawn = histograms(probabilities, n, generator, replicates)
    means = drawn @ _cell_means(cuts, mean) / n
    shares = np.cumsum(drawn, axis=1)[:, :-1] / n
    deviations = shares - _geometric(cuts[None, :], np.maximum(means, 1 + 1e-9)[:, None])
    worst = int(np.argmax(np.abs(observed - expected)))
    largest = float(abs(observed[worst] - expected[worst]))
    p = (1 + int((np.abs(deviations).max(axis=1) >= largest - 1e-12).sum())) / (1 + replicates)
    low, high = envelope(deviations)
    reach = _band(found, cells, cuts, observed - expected, generator, replicates)
    deviation = float(observed[worst] - expected[worst])
    return Gaps(
        n,
        mean,
        int(cuts[worst]),
        deviation,
        deviation - reach,
        deviation + reach,
        p,
        cuts,
        observed,
        expected,
        np.clip(expected + low, 0, 1),
        np.clip(expected + high, 0, 1),
    )


def _band(
    found: np.ndarray, cells: np.ndarray, cuts: np.ndarray, deviation: np.ndarray, generator: np.random.Generator, replicates: int
) -> float:
    """Half-width of a 95 % band around the deviations at all cuts, by block bootstrap of successive gaps."""
    n = len(found)
    length = max(math.ceil(n ** (1 / 3)), math.ceil(n / _MOST_BLOCKS))
    count = n // length
    group = np.minimum(np.arange(n) // length, count - 1)
    # every block's histogram over the pieces between the cuts
    pieces = len(cuts) + 1
    table = np.bincount(group * pieces + cells, minlength=count * pieces).reshape(count, pieces).cumsum(axis=1)
    sums = np.bincount(group, weights=found, minlength=count)
    times = resample_counts(count, replicates, generator).astype(float)
    reached = times @ table
    shares = reached[:, :-1] / reached[:, -1:]
    means = np.maximum(times @ sums / reached[:, -1], 1 + 1e-9)
    moved = shares - _geometric(cuts[None, :], means[:, None]) - deviation
    return float(np.quantile(np.abs(moved).max(axis=1), CONF_LEVEL))


def _geometric(gap: np.ndarray | int, mean: np.ndarray | float) -> np.ndarray:
    """Share of geometric gaps of a given mean, counted from 1, that are at most ``gap``."""
    return -np.expm1(gap * np.log1p(-1 / np.asarray(mean, dtype=float)))


def _cuts(mean: float) -> np.ndarray:
    """Gaps that part the geometric distribution into at most 501 pieces."""
    shares = (np.arange(_CUTS) + 0.5) / _CUTS
    return np.unique(np.maximum(np.ceil(np.log1p(-shares) / math.log1p(-1 / mean)), 1).astype(np.int64))


def _cell_means(cuts: np.ndarray, mean: float) -> np.ndarray:
    """Mean of a geometric gap within each piece."""
    # the sum over gaps above g of gap · probability is (g + mean) · (1 − F(g))
    edges = np.concatenate([[0], cuts])
    beyond = np.append((edges + mean) * (1 - _geometric(edges, mean)), 0.0)
    share = np.append(1 - _geometric(edges, mean), 0.0)
    return (beyond[:-1] - beyond[1:]) / np.maximum(share[:-1] - share[1:], 1e-300)


@dataclass(frozen=True)
class Autocorrelation:
    """Correlation of the bins' counts with those some bins later.

    Attributes:
        width, bins: trials per bin, and bins.
        lag: in bins, from 1 [lags].
        value: correlation [lags].
        low, high: simultaneous 95 % envelope of homogeneous processes [lags].
        p: of a correlation as large as the largest one at any lag, by parametric bootstrap.
    """

    width: int
    bins: int
    lag: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: float


def autocorrelation(
    process: Process, width: int, lags: int, generator: np.random.Generator, replicates: int = 199
) -> Autocorrelation | None:
    """Autocorrelation of the counts in bins of ``width`` trials; None with too few bins for the lags, or where no count differs."""
    counts = process.counts(width)
    bins = len(counts)
    if bins < 4 * lags or counts.min() == counts.max():
        return None
    rate = counts.sum() / (bins * width)
    value = _correlations(counts[None, :].astype(np.float32), lags)[0]
    simulated = np.empty((replicates, lags))
    at_once = max(_CELLS_AT_ONCE // bins, 1)
    first, probabilities = law(width, rate, 1.0)
    cumulative = np.cumsum(probabilities)[:-1].astype(np.float32)
    for start in range(0, replicates, at_once):
        size = (min(at_once, replicates - start), bins)
        drawn = first + np.searchsorted(cumulative, generator.random(size, dtype=np.float32), side="right")
        simulated[start : start + len(drawn)] = _correlations(drawn.astype(np.float32), lags)
    simulated = np.nan_to_num(simulated)  # a series without events has no correlation
    low, high = envelope(simulated)
    largest = np.abs(simulated).max(axis=1)
    p = (1 + int((largest >= np.abs(value).max() - 1e-9).sum())) / (1 + replicates)
    return Autocorrelation(width, bins, np.arange(1, lags + 1), value, low, high, p)


def _correlations(counts: np.ndarray, lags: int) -> np.ndarray:
    """Correlations [series, lags] of series [series, bins] with themselves, later; NaN for a constant series."""
    centred = counts - counts.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.einsum("sb,sb->s", centred, centred)
        products = [np.einsum("sb,sb->s", centred[:, :-lag], centred[:, lag:]) for lag in range(1, lags + 1)]
        return np.stack(products, axis=1) / total[:, None]
