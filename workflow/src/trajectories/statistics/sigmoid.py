"""A sigmoid through a trajectory, how well it fits, and what fits as well.

``y = low + (high − low) / (1 + exp(−(x − middle) / width))``, from its first to its last tenth over 4.39 widths. For a middle and a width
the two levels are a linear regression, so every middle and width of a grid is tried at once and the best start is polished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

RISE = 2 * np.log(9)
"""Widths between a tenth and nine tenths of the rise."""
GRID = (48, 16)
"""Middles and widths that are tried."""


@dataclass(frozen=True)
class Fit:
    """A curve fitted to proportions by maximum likelihood.

    Attributes:
        name: of the curve. parameters: as the curve takes them.
        deviance: twice the log-likelihood that the curve lacks; ``df`` steps less parameters; ``p`` of the deviance under the curve (χ²).
        aic: Akaike's criterion up to a constant of the data.
        r2: share of the squared deviations from the mean that the curve accounts for.
    """

    name: str
    parameters: np.ndarray
    deviance: float
    df: int
    p: float
    aic: float
    r2: float


def curve(x: np.ndarray, low: float, high: float, middle: float, width: float) -> np.ndarray:
    """The sigmoid at places ``x``."""
    return low + (high - low) * special.expit((x - middle) / width)


def grid(x: np.ndarray, y: np.ndarray, weight: np.ndarray, narrowest: float = 0.0) -> np.ndarray:
    """Weighted least-squares sigmoid among those of a grid: ``low, high, middle, width``.

    Args:
        x: ``[steps]``, ascending. y: ``[steps]``. weight: ``[steps]``, inverse variances.
        narrowest: shortest rise from a tenth to nine tenths that is allowed, in units of ``x``; by default half the shortest gap.
    """
    span = x[-1] - x[0]
    least = narrowest / RISE if narrowest > 0 else np.diff(x).min() / 2 / RISE
    middle, width = np.meshgrid(np.linspace(x[0], x[-1], GRID[0]), np.geomspace(least, max(2 * span / RISE, 2 * least), GRID[1]))
    middle, width = middle.ravel()[:, None], width.ravel()[:, None]
    basis = special.expit((x - middle) / width)
    w = weight / weight.sum()
    centre, mean = basis - (basis @ w)[:, None], float(y @ w)
    slope = (centre * w) @ (y - mean) / np.maximum(np.square(centre) @ w, 1e-12)
    rest = np.square(y - mean - slope[:, None] * centre) @ w
    best = int(rest.argmin())
    low = mean - slope[best] * float(basis[best] @ w)
    return np.array([low, low + slope[best], middle[best, 0], width[best, 0]])


def fits(tokens: np.ndarray, levels: np.ndarray, n: int) -> dict[str, Fit]:
    """A sigmoid in log tokens and its rivals, fitted to proportions of ``n`` by maximum likelihood.

    The rivals: a constant, a straight line in log tokens, a sigmoid in tokens. Proportions of different steps are taken as independent;
    the same pairs are shown at each, so their errors are alike, a deviance is smaller than it would be otherwise, and a poor fit is found
    too rarely rather than too often.

    Args:
        tokens: ``[steps]``, ascending, above 0. levels: ``[steps]``. n: pairs.

    Returns:
        By name: ``sigmoid``, ``constant``, ``line``, ``sigmoid in tokens``; none with fewer than six steps.
    """
    if len(tokens) < 6:
        return {}
    log, share = np.log10(tokens), tokens / tokens[-1]
    smoothed = (levels * n + 1) / (n + 2)
    weight = n / (smoothed * (1 - smoothed))
    slope, start = np.polyfit(log, levels, 1, w=np.sqrt(weight))

    def sigmoid(x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda p: curve(x, p[0], p[1], p[2], np.exp(np.clip(p[3], -12, 5)))

    def started(x: np.ndarray) -> np.ndarray:
        low, high, middle, width = grid(x, levels, weight)
        return np.array([low, high, middle, np.log(width)])

    curves: dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]] = {
        "sigmoid": (sigmoid(log), started(log)),
        "constant": (lambda p: np.full(len(log), p[0]), np.array([float(np.average(levels, weights=weight))])),
        "line": (lambda p: p[0] + p[1] * log, np.array([start, slope])),
        "sigmoid in tokens": (sigmoid(share), started(share)),
    }
    return {name: _fit(name, *what, levels, n) for name, what in curves.items()}


def _fit(name: str, function: Callable[[np.ndarray], np.ndarray], start: np.ndarray, levels: np.ndarray, n: int) -> Fit:
    def residuals(p: np.ndarray) -> np.ndarray:
        """Signed roots of the deviance's parts, so that least squares is maximum likelihood."""
        m = np.clip(function(p), 0.5 / n, 1 - 0.5 / n)
        parts = special.xlogy(levels, levels / m) + special.xlogy(1 - levels, (1 - levels) / (1 - m))
        return np.sign(levels - m) * np.sqrt(2 * n * np.maximum(parts, 0))

    found = optimize.least_squares(residuals, start, method="lm", max_nfev=150)
    deviance, df = float(2 * found.cost), len(levels) - len(start)
    total = float(np.square(levels - levels.mean()).sum())
    rest = float(np.square(levels - np.clip(function(found.x), 0, 1)).sum())
    r2 = 1 - rest / total if total > 0 else float("nan")
    return Fit(name, found.x, deviance, df, float(stats.chi2.sf(deviance, df)), deviance + 2 * len(start), r2)
