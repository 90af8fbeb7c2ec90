"""Where does a trajectory change more abruptly than a smooth curve can?

The smooth curve is a sigmoid whose rise (from a tenth to nine tenths) takes at least a stated share of the axis; what it leaves, over its
noise, is searched for changes of level by PELT (Killick, Fearnhead and Eckley 2012, *J. Am. Stat. Assoc.* 107; ``ruptures``: Truong, Oudre
and Vayatis 2020, *Signal Process.* 167) at a penalty of β·ln(steps) for each. What is smooth depends on the axis: the same trajectory may
be smooth in log tokens and abrupt in tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import ruptures

from trajectories.statistics import sigmoid

LEAST_STEPS = 8


@dataclass(frozen=True)
class Change:
    """A change between the checkpoints ``index − 1`` and ``index``, from one to the other by ``size``."""

    index: int
    size: float


def noise(levels: np.ndarray, stderr: np.ndarray) -> np.ndarray:
    """Noise of each checkpoint: that of its sample, or what neighbouring checkpoints show, whichever is larger.

    The latter is 1.4826 times the median absolute second difference over √6, which a few abrupt changes do not sway.
    """
    shown = 1.4826 * np.median(np.abs(np.diff(levels, 2))) / np.sqrt(6) if len(levels) > 2 else 0.0
    return np.maximum(stderr, max(float(shown), 1e-9))


def changes(
    x: np.ndarray, levels: np.ndarray, stderr: np.ndarray, penalty: float = 2.0, rise: float = 1 / 3, least: float = 0.25
) -> list[Change]:
    """Abrupt changes of one trajectory.

    Args:
        x: ``[steps]``, ascending: the axis. levels: ``[steps]``. stderr: ``[steps]``.
        penalty: β; at 2 a change must gain what the Bayesian information criterion asks of its place and its size.
        rise: shortest rise of a smooth curve, as a share of the axis.
        least: smallest change from one checkpoint to the next, as a share of the trajectory's range.

    Returns:
        Changes in which the trajectory moves as what the smooth curve leaves does; none with fewer than eight steps.
    """
    if len(x) < LEAST_STEPS:
        return []
    sigma = noise(levels, stderr)
    smooth = sigmoid.curve(x, *sigmoid.grid(x, levels, 1 / sigma**2, rise * (x[-1] - x[0])))
    rest = (levels - smooth) / sigma
    ends = ruptures.Pelt(model="l2", min_size=2, jump=1).fit(rest[:, None]).predict(pen=penalty * np.log(len(x)))
    parts = np.split(np.arange(len(x)), ends[:-1])
    found = []
    for before, after in pairwise(parts):
        beyond = float(rest[after].mean() - rest[before].mean())
        size = float(levels[after[0]] - levels[before[-1]])
        if size * beyond > 0 and abs(size) >= least * float(np.ptp(levels)):
            found.append(Change(int(after[0]), size))
    return found
