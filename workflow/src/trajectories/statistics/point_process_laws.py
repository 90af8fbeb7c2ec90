"""Distributions of the number of events in one bin, with a known dispersion index.

Bins of the same index can differ widely: an excess can lie in many bins that hold a little more than they should (:func:`law`), or in a
few that hold several events at once (:func:`clumped`). Where events are few the second is the harder to see, since most samples then
hold no such bin at all.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, gammaln, xlog1py, xlogy

CLUMPS = (3, 5)
"""Sizes of the clumps against which the index is guarded; narrower bins hold clumps as wide as they are."""
_REACH = 14.0
_GRID = 65


def law(width: int, rate: float, index: float) -> tuple[int, np.ndarray]:
    """The distribution of one bin's count with a given dispersion index.

    Above 1 it is beta-binomial with correlation (index − 1) / (width − 1) between trials (Skellam 1948, *J. R. Stat. Soc. B* 10). At 1 it
    is binomial. Below 1 it mixes binomial counts with the two whole numbers next to the mean, as far as whole numbers allow.

    Returns:
        The lowest count of the support (what lies beyond 14 standard deviations is left out), and the probabilities from there on.
    """
    mean = width * rate
    x = _support(width, rate, index)
    correlation = (index - 1) / (width - 1)
    if correlation >= 1 - 1e-9:
        found = np.where(x == 0, 1 - rate, 0.0) + np.where(x == width, rate, 0.0)
    elif correlation > 1e-9:
        total = 1 / correlation - 1
        a, b = rate * total, (1 - rate) * total
        choose = gammaln(width + 1) - gammaln(x + 1) - gammaln(width - x + 1)
        found = np.exp(choose + betaln(x + a, width - x + b) - betaln(a, b))
    else:
        found = _binomial(x, width, rate)
    if index < 1:
        least = least_index(width, rate)
        even = min((1 - index) / (1 - least), 1.0) if least < 1 else 0.0
        up = mean - math.floor(mean)
        found = (1 - even) * found + even * (np.where(x == math.floor(mean), 1 - up, 0.0) + np.where(x == math.floor(mean) + 1, up, 0.0))
    return int(x[0]), found / found.sum()


def clumped(width: int, rate: float, index: float, size: int) -> tuple[int, np.ndarray] | None:
    """The distribution of one bin's count where ``size`` trials of some bins are events together and all others are independent.

    The share of such bins gives the index, the rate of the independent trials the mean.

    Args:
        width: trials per bin.
        rate: share of the trials that are events.
        index: wanted dispersion index, above 1.
        size: of a clump; at most the width.

    Returns:
        As :func:`law`, or None where no share of such bins gives the index.
    """
    size = min(size, width)
    mean = width * rate
    most = min(mean / size, 1.0)

    def alone(share: float) -> float:
        return max((mean - share * size) / (width - share * size), 0.0)

    def excess(share: float) -> float:
        q = alone(share)
        variance = (width - share * size) * q * (1 - q) + share * (1 - share) * (size * (1 - q)) ** 2
        return variance / (mean * (1 - rate)) - index

    shares = np.linspace(0, most * (1 - 1e-9), _GRID)
    reached = next((i for i, share in enumerate(shares) if excess(share) >= 0), None)
    if not reached:
        return None
    share = brentq(excess, shares[reached - 1], shares[reached])
    q, x = alone(share), _support(width, rate, index)
    found = (1 - share) * _binomial(x, width, q) + share * _binomial(x - size, width - size, q)
    return int(x[0]), found / found.sum()


def least_index(width: int, rate: float) -> float:
    """The least index that whole counts of this mean can have."""
    up = width * rate % 1
    return up * (1 - up) / (width * rate * (1 - rate))


def _support(width: int, rate: float, index: float) -> np.ndarray:
    mean = width * rate
    reach = _REACH * math.sqrt(max(index, 1.0) * mean * (1 - rate)) + _REACH
    return np.arange(max(0, math.floor(mean - reach)), min(width, math.ceil(mean + reach)) + 1)


def _binomial(x: np.ndarray, n: int, p: float) -> np.ndarray:
    inside = (x >= 0) & (x <= n)
    k = np.where(inside, x, 0)
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where(inside, np.exp(choose + xlogy(k, p) + xlog1py(n - k, -p)), 0.0)
