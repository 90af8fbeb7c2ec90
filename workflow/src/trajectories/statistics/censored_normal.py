"""Mean of a normal variable that is known only to lie within intervals, with an error that allows for clusters.

Maximum likelihood in the parametrisation (mean/sd, 1/sd), in which the log-likelihood is concave (Burridge 1981, *J. R. Stat. Soc. B* 43),
by Newton's method; ends may be infinite, so left-, right- and interval-censored values are taken as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

LEAST_INSIDE = 5
"""With fewer values between two finite ends the spread, and with it the mean, is not estimated."""


@dataclass(frozen=True)
class Fitted:
    """Mean and standard deviation; ``influence`` [n] says how much each value moves the mean (they add up to 0)."""

    mean: float
    sd: float
    influence: np.ndarray


def fit(low: np.ndarray, high: np.ndarray, iterations: int = 60) -> Fitted | None:
    """Fit values that lie in ``(low, high]``; None where there are too few finite intervals or Newton's method does not settle.

    Args:
        low, high: ``[n]``; ``-inf`` and ``inf`` where an end is not known.
        iterations: most steps.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    inside = np.isfinite(low) & np.isfinite(high)
    if inside.sum() < LEAST_INSIDE:
        return None
    middle = np.where(inside, (low + high) / 2, np.where(np.isfinite(high), high, low))
    middle = middle[np.isfinite(middle)]
    sd = max(float(middle.std()), float((high - low)[inside].mean()) / 4, 1e-6)
    at = np.array([middle.mean() / sd, 1 / sd])
    value, gradient, hessian = _likelihood(low, high, at)
    for _ in range(iterations):
        step = np.linalg.solve(hessian - 1e-9 * np.eye(2), -gradient.sum(0))
        scale = 1.0
        while scale > 1e-6:
            moved = at + scale * step
            if moved[1] > 0:
                new = _likelihood(low, high, moved)
                if new[0] >= value - 1e-12:
                    break
            scale /= 2
        else:
            return None
        at, change = moved, new[0] - value
        value, gradient, hessian = new
        if abs(change) < 1e-10:
            break
    else:
        return None
    bread = np.linalg.inv(-hessian)
    mean, sd = float(at[0] / at[1]), float(1 / at[1])
    return Fitted(mean, sd, gradient @ bread @ np.array([sd, -mean * sd]))


def _likelihood(low: np.ndarray, high: np.ndarray, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood, its gradient by value [n, 2] and its Hessian [2, 2] in (mean/sd, 1/sd)."""
    a, b = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))
    za, zb = (np.where(np.isfinite(end), at[1] * end - at[0], end) for end in (low, high))
    flipped = za > 0  # the upper tail is as exact as the lower once it is mirrored
    la, lb = special.log_ndtr(np.where(flipped, -zb, za)), special.log_ndtr(np.where(flipped, -za, zb))
    logp = lb + np.log(np.maximum(-np.expm1(np.minimum(la - lb, 0)), 1e-300))
    with np.errstate(over="ignore", invalid="ignore"):
        na, nb = (
            np.where(np.isfinite(z), np.exp(-(np.where(np.isfinite(z), z, 0.0) ** 2) / 2 - logp) / np.sqrt(2 * np.pi), 0.0)
            for z in (za, zb)
        )
    za, zb = np.where(np.isfinite(za), za, 0.0), np.where(np.isfinite(zb), zb, 0.0)
    gradient = np.stack([na - nb, b * nb - a * na], 1)
    first = np.stack([za * na - zb * nb, b * zb * nb - a * za * na, a**2 * za * na - b**2 * zb * nb]).sum(1)
    curvature = np.array([[first[0], first[1]], [first[1], first[2]]]) - gradient.T @ gradient
    return float(logp.sum()), gradient, curvature
