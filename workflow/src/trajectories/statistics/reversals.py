"""Does a trajectory ever fall? Falls and rises between any two checkpoints, with errors that hold for all of them at once.

The statistic of two checkpoints is their difference over its standard error; the critical value is the 95 % quantile of the largest
absolute one among all pairs of checkpoints of all trajectories of a family, in resamples that are centred at what was observed (the
single-step maximum procedure of Westfall and Young 1993, *Resampling-Based Multiple Testing*). So in 95 % of the families without a
change no trajectory is named. What is tested is whether this run's level on things like these changed, not whether another run's would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NONE, FALL, U_SHAPE, INVERTED = "none", "fall", "U-shape", "rise and fall"


def largest(levels: np.ndarray, replicates: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of all differences of two checkpoints, and the largest studentised absolute difference in each resample.

    Args:
        levels: ``[steps]``. replicates: ``[draws, steps]``. n: units behind each level; one unit is added to the variance, so that
            differences without any discordant unit have an error.

    Returns:
        ``[steps, steps]`` and ``[draws]``.
    """
    away = (replicates - levels).astype(np.float32)
    covariance = np.cov(away.T)
    variance = np.diag(covariance)
    stderr = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0) + 1 / n**2)
    most = np.zeros(len(away))
    for i in range(len(levels) - 1):
        np.maximum(most, (np.abs(away[:, i + 1 :] - away[:, i : i + 1]) / stderr[i, i + 1 :]).max(1), out=most)
    return stderr, most


@dataclass(frozen=True)
class Reversal:
    """What a trajectory does besides rising.

    Attributes:
        shape: ``none``; ``U-shape`` (it falls, and at the end has made up for at least half of it); else ``rise and fall`` (it had risen
            before it fell) or ``fall``.
        peak, trough: indices of the checkpoints between which it falls most, in standard errors.
        drop: how far.
        t: in standard errors.
    """

    shape: str
    peak: int
    trough: int
    drop: float
    t: float


def reversal(levels: np.ndarray, stderr: np.ndarray, critical: float, least: float) -> Reversal:
    """Name the shape of a trajectory; falls below ``least`` or within ``critical`` standard errors are none.

    Args:
        levels: ``[steps]``, two at least.
        stderr: ``[steps, steps]`` from :func:`largest`.
        critical: common critical value, in standard errors.
        least: smallest fall of interest.
    """
    rise = (levels[None, :] - levels[:, None]) / stderr
    fall = np.triu(-rise, 1)
    enough = np.triu(levels[:, None] - levels[None, :], 1) >= least
    best = np.where(enough, fall, 0).argmax() if enough.any() else fall.argmax()
    peak, trough = (int(index) for index in np.unravel_index(best, fall.shape))
    drop, t = float(levels[peak] - levels[trough]), float(fall[peak, trough])
    if not (enough[peak, trough] and t > critical):
        return Reversal(NONE, peak, trough, max(drop, 0.0), t)
    returned = rise[trough, -1] > critical and levels[-1] - levels[trough] >= drop / 2
    before = peak > 0 and rise[:peak, peak].max() > critical
    return Reversal(U_SHAPE if returned else INVERTED if before else FALL, peak, trough, drop, t)
