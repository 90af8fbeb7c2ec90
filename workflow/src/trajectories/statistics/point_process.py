"""Events among trials in sequence: do they fall as independent trials of one rate would make them fall?

A :class:`Process` is a number of trials and the places of the events among them, so that a sample of some thousands and a complete table of
a hundred million serve alike. The null is a Bernoulli process: counts in bins are binomial and gaps between events are geometric. A Poisson
null would expect 1 / (1 − rate) times the binomial variance, and so take what is homogeneous for too even wherever events are not rare.

The **dispersion index** is the variance of the bins' counts divided by the binomial one: 1 for a homogeneous process, more where events
come together, less where they keep apart (Cox and Lewis 1966, *The Statistical Analysis of Series of Events*, chapter 6).
:func:`dispersion` gives it bounds that hold where it is not 1. Further looks at the same question are in
:mod:`~trajectories.statistics.point_process_shape` (quantiles, gaps, autocorrelation) and
:mod:`~trajectories.statistics.point_process_trend` (a smooth change of the rate).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from trajectories.statistics.claims import ALPHA, Result
from trajectories.statistics.point_process_laws import CLUMPS, clumped, law, least_index

REPLICATES = 999
LEAST_BINS = 20
"""With fewer bins nothing is said of how their counts vary."""
LEAST_CLUMPS = 3.0
"""A sample in which three clumps are expected has none with a probability of 5 %."""
_CELLS_AT_ONCE = 4_000_000
_HALVINGS = 9
_STEPS = 7.0

Tails = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Process:
    """Events among trials in sequence.

    Attributes:
        events: places of the events, ascending and distinct, int64 [m], from 0 to ``n − 1``.
        n: trials.

    Raises:
        ValueError: the places are not ascending and distinct, or lie outside the trials.
    """

    events: np.ndarray
    n: int

    def __post_init__(self) -> None:
        """Refuse what is no such sequence."""
        events = np.asarray(self.events, dtype=np.int64)
        object.__setattr__(self, "events", events)
        if len(events) and (events[0] < 0 or events[-1] >= self.n or (len(events) > 1 and int(np.diff(events).min()) < 1)):
            raise ValueError(f"the events should be ascending and distinct places among {self.n:,} trials")

    @classmethod
    def of(cls, outcomes: np.ndarray) -> Process:
        """The process of a sequence of outcomes, bool [n]."""
        outcomes = np.asarray(outcomes, dtype=bool)
        return cls(np.flatnonzero(outcomes), len(outcomes))

    @property
    def rate(self) -> float:
        """Share of the trials that are events; NaN without trials."""
        return len(self.events) / self.n if self.n else math.nan

    def counts(self, width: int) -> np.ndarray:
        """Events in each bin of ``width`` trials, int64 [n // width]; the trials behind the last whole bin are left out.

        Raises:
            ValueError: the width is below 1.
        """
        if width < 1:
            raise ValueError(f"the width of a bin should be at least 1, found {width}")
        bins = self.n // width
        return np.bincount(self.events // width, minlength=bins)[:bins]


@dataclass(frozen=True)
class Dispersion:
    """The dispersion index of counts in bins.

    Attributes:
        width, bins: trials per bin, and bins.
        n, n_events: trials and events in whole bins.
        index: variance of the counts over the binomial one, or NaN.
        stderr: standard deviation of the index over replicates, the largest of the bootstraps'.
        ci_low, ci_high: one-sided bounds, each with error probability ``alpha``.
        p_homogeneous: two-sided p of H0: index = 1, by parametric bootstrap.
        blocks, block: blocks of consecutive bins that were resampled, and bins in one.
        tails: index → (p of H0: index at most that, p of H0: index at least that), or None.
        problem: why there is no index, as a clause, or None.
    """

    width: int
    bins: int
    n: int
    n_events: int
    index: float = math.nan
    stderr: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_homogeneous: float = math.nan
    blocks: int = 0
    block: int = 0
    tails: Tails | None = field(default=None, repr=False, compare=False)
    problem: str | None = None

    @property
    def method(self) -> str:
        """Name of the method, with the bins' width."""
        return f"dispersion index, bins of {self.width:,}; the most cautious of block, beta-binomial and clumped bootstrap"

    @property
    def pairs(self) -> float:
        """Pairs of events in one bin that a homogeneous process of this rate would have; the index hangs on how many there are."""
        return self.bins * math.comb(self.width, 2) * (self.n_events / self.n) ** 2 if self.n else 0.0

    def result(self) -> Result:
        """The excess of the index over 1, for a claim; events and trials are those of whole bins."""
        if self.tails is None:
            return Result(math.nan, n=self.n, n_events=self.n_events, method=self.method, problem=self.problem)
        tails = self.tails
        return Result(
            self.index - 1,
            self.stderr,
            ci_low=self.ci_low - 1,
            ci_high=self.ci_high - 1,
            n=self.n,
            n_clusters=self.blocks,
            n_events=self.n_events,
            method=self.method,
            tails=lambda value: tails(1 + value),
        )


def dispersion(
    process: Process, width: int, generator: np.random.Generator, replicates: int = REPLICATES, alpha: float = ALPHA
) -> Dispersion:
    """The dispersion index with bounds that hold whatever it is.

    Bootstraps of two kinds are run and the most cautious of their p values counts, since each fails where another does not. The *block
    bootstrap* draws stretches of consecutive bins with replacement (Künsch 1989, *Ann. Statist.* 17; length as the cube root of the number
    of bins: Hall, Horowitz and Jing 1995, *Biometrika* 82), so it asks for no model and stands dependence between neighbouring bins; but
    with few events it hardly ever sees two in a bin and finds its index too certain. The *parametric bootstraps* draw the counts of
    independent bins whose index is the value to be tested; the rate is the estimated one and is estimated anew in each replicate. Below 1
    the counts are a mixture of binomial ones and of ones as even as whole numbers can be. Above 1 they are beta-binomial, and binomial
    with rare clumps of 3 and of 5 events: an excess that a few clumps make is missing from most small samples, so these alone tell how
    many events it takes to rule it out (:func:`clumps_expected`). Rarer and larger clumps than these are not guarded against.

    Args:
        process: trials and events.
        width: trials per bin, at least 2; the index of single trials is 1 by definition.
        generator: source of randomness.
        replicates: of each bootstrap.
        alpha: error probability of each bound.

    Raises:
        ValueError: the width is below 2.
    """
    if width < 2:
        raise ValueError(f"bins should hold at least 2 trials, found {width}")
    return dispersion_of(process.counts(width), width, generator, replicates, alpha)


def clumps_expected(events: int, excess: float, width: int) -> float:
    """How many clumps of the largest size guarded against would raise the index of rare events by ``excess``.

    Below :data:`LEAST_CLUMPS` a sample may well hold none of them, so such an excess cannot be ruled out.
    """
    return excess * events / _excess_of_clump(width)


def events_needed(excess: float, width: int) -> int:
    """Rare events that it takes at the least to rule out an excess of the index over 1: those of :data:`LEAST_CLUMPS` expected clumps."""
    return math.ceil(LEAST_CLUMPS * _excess_of_clump(width) / excess - 1e-9)


def _excess_of_clump(width: int) -> int:
    size = min(max(CLUMPS), width)
    return size * (size - 1)


def dispersion_of(
    counts: np.ndarray, width: int, generator: np.random.Generator, replicates: int = REPLICATES, alpha: float = ALPHA
) -> Dispersion:
    """:func:`dispersion` of counts [bins] in bins of ``width`` trials."""
    bins, events = len(counts), int(counts.sum())
    facts = (width, bins, bins * width, events)
    if bins < LEAST_BINS:
        return Dispersion(*facts, problem=f"there are only {bins} bins of {width:,}, and {LEAST_BINS} are needed")
    if events in (0, bins * width):
        return Dispersion(*facts, problem="no trial differs from the others")
    index = float(_index(bins, float(events), float(np.square(counts, dtype=float).sum()), width))
    block = math.ceil(bins ** (1 / 3))
    resampled = _resampled(counts, width, block, generator, replicates)
    drawn = _drawn_indices(bins, events / (bins * width), width, int(generator.integers(2**62)), replicates)
    least = least_index(width, events / (bins * width))
    spread = max(float(resampled.std()), *(float(sample.std()) for sample in drawn(min(max(index, least), width))))

    def parametric(value: float) -> tuple[float, float]:
        if value > width:
            return 1.0, 1 / (1 + replicates)
        if value < least:
            return 1 / (1 + replicates), 1.0
        samples = drawn(value)
        return max(_share(s >= index * (1 - 1e-12)) for s in samples), max(_share(s <= index * (1 + 1e-12)) for s in samples)

    def tails(value: float) -> tuple[float, float]:
        above, below = parametric(value)
        return max(above, _share(resampled <= value)), max(below, _share(resampled >= value))

    step = _STEPS * max(spread, index * math.sqrt(2 / bins))
    low = _crossing(lambda v: parametric(v)[0], alpha, index, max(index - step, 0.0), 0.0)
    high = _crossing(lambda v: parametric(v)[1], alpha, index, min(index + step, float(width)), float(width))
    low, high = min(low, float(np.quantile(resampled, alpha))), max(high, float(np.quantile(resampled, 1 - alpha)))
    p = min(1.0, 2 * min(parametric(1.0)))
    return Dispersion(*facts, index, spread, low, high, p, bins // block, block, tails)


def _index(bins: np.ndarray | int, events: np.ndarray | float, squares: np.ndarray | float, width: int) -> np.ndarray:
    """The index from the number of bins and the sums of counts and of their squares; its mean is 1 if all orders of trials are alike."""
    n = np.asarray(bins, dtype=float) * width
    rate = events / n
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares - np.square(events) / bins) / (np.asarray(bins) - 1)
        return variance / (width * rate * (1 - rate)) * (n - 1) / n


def _share(beyond: np.ndarray) -> float:
    return (1 + int(np.count_nonzero(beyond))) / (1 + len(beyond))


def blocks(values: np.ndarray, length: int) -> np.ndarray:
    """Sums over stretches of ``length`` consecutive rows of ``values`` [n, k]: [n // length, k]; what is left joins the last."""
    whole = max(len(values) // length, 1)
    return np.add.reduceat(values, np.arange(whole) * length, axis=0)


def resampled_sums(sums: np.ndarray, generator: np.random.Generator, replicates: int) -> np.ndarray:
    """Totals [replicates, k] of as many rows of ``sums`` [g, k], drawn with replacement; memory stays bounded."""
    groups = len(sums)
    found = np.empty((replicates, sums.shape[1]))
    at_once = max(_CELLS_AT_ONCE // groups, 1)
    for first in range(0, replicates, at_once):
        picks = generator.integers(0, groups, size=(min(at_once, replicates - first), groups))
        for column in range(sums.shape[1]):
            found[first : first + len(picks), column] = sums[picks, column].sum(axis=1)
    return found


def _resampled(counts: np.ndarray, width: int, block: int, generator: np.random.Generator, replicates: int) -> np.ndarray:
    values = np.stack([np.ones(len(counts)), counts, np.square(counts, dtype=float)], axis=1)
    drawn = resampled_sums(blocks(values, block), generator, replicates)
    found = _index(drawn[:, 0], drawn[:, 1], drawn[:, 2], width)
    return found[np.isfinite(found)]


def histograms(probabilities: np.ndarray, bins: int, generator: np.random.Generator, replicates: int) -> np.ndarray:
    """How often each count of a distribution comes up among independent bins: int64 [replicates, counts]."""
    return generator.multinomial(bins, probabilities, size=replicates)


def _drawn_indices(bins: int, rate: float, width: int, seed: int, replicates: int) -> Callable[[float], list[np.ndarray]]:
    """Index → its distribution over samples of independent bins, one for each law; the same random numbers serve every value."""

    def of_law(first: int, probabilities: np.ndarray) -> np.ndarray:
        generator = np.random.default_rng(seed)
        x = np.arange(first, first + len(probabilities), dtype=float)
        if len(x) <= bins:
            drawn = histograms(probabilities, bins, generator, replicates)
            events, squares = drawn @ x, drawn @ np.square(x)
        else:
            cumulative = np.cumsum(probabilities)[:-1]
            counts = first + np.searchsorted(cumulative, generator.random((replicates, bins)), side="right").astype(float)
            events, squares = counts.sum(axis=1), np.square(counts).sum(axis=1)
        found = _index(bins, events, squares, width)
        return found[np.isfinite(found)]

    @cache
    def draw(index: float) -> list[np.ndarray]:
        laws = [law(width, rate, index)]
        if index > 1:
            laws += [found for size in sorted({min(size, width) for size in CLUMPS}) if (found := clumped(width, rate, index, size))]
        return [of_law(*each) for each in laws]

    return draw


def _crossing(p: Callable[[float], float], alpha: float, inside: float, outside: float, limit: float) -> float:
    """Where p falls to ``alpha`` on the way from ``inside`` to ``outside``, or on to the limit if it does not fall before."""
    for _ in range(3):
        if p(outside) <= alpha:
            break
        if outside == limit:
            return limit
        step = outside - inside
        inside, outside = outside, max(outside + 2 * step, limit) if step < 0 else min(outside + 2 * step, limit)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if p(middle) > alpha else (inside, middle)
    return (inside + outside) / 2
