"""Power of a one-sided test of a slope against a margin, and the sample that a power takes.

A unit tells so much about the slope: the information per unit. With ``n`` units the slope's standard error is ``1/√(n·information)``, and a
test at level α that must tell a true slope from a margin at some distance has power Φ(distance·√(n·information) − z₁₋α). Clustered or
unequally weighted units tell less, by the design effect.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats
from scipy.special import expit

from trajectories.statistics.claims import ALPHA

POWER = 0.8


def uniform_variance(low: float, high: float) -> float:
    """Variance of a position that is uniform between two places."""
    return (high - low) ** 2 / 12


def logistic_information(rate: float, slope: float, low: float = 0.0, high: float = 1.0) -> float:
    """Information of one unit about the slope of a logistic regression on a uniform position.

    With slope 0 it is rate·(1 − rate)·(high − low)²/12 (Hsieh, Bloch and Larsen 1998, *Stat. Med.* 17, equation 1, for a position of any
    distribution); else that of Fisher, the intercept being chosen so that the mean rate is ``rate`` and being estimated too.

    Args:
        rate: share of events, between 0 and 1.
        slope: true log odds ratio between positions 0 and 1.
        low, high: ends of the positions.
    """
    nodes, weights = np.polynomial.legendre.leggauss(64)
    x = low + (high - low) * (nodes + 1) / 2
    w = weights / 2
    intercept = optimize.brentq(lambda a: w @ expit(a + slope * x) - rate, -60 - abs(slope), 60 + abs(slope))
    p = expit(intercept + slope * x)
    v = w * p * (1 - p)
    return float(v @ x**2 - (v @ x) ** 2 / v.sum())


def case_control_information(rate: float, controls: float, cases: float, low: float = 0.0, high: float = 1.0) -> float:
    """The same for one of ``controls + cases`` units when further events are drawn from a list of all of them.

    For a slope of 0 and a rare event the slope's variance is (1/events + 1/non-events) / variance of the position, the familiar variance of
    a log odds ratio (Woolf 1955, *Ann. Hum. Genet.* 19): what is sampled, and not what there is, decides. Weighting loses nothing where
    covariates do not matter.

    Args:
        rate: share of events in the population.
        controls: units drawn from the whole population.
        cases: units drawn from the listed events.
        low, high: ends of the positions.
    """
    events, others = controls * rate + cases, controls * (1 - rate)
    return uniform_variance(low, high) / (1 / events + 1 / others) / (controls + cases)


def linear_information(low: float = 0.0, high: float = 1.0, explained: float = 0.0) -> float:
    """Information of one unit about a slope in standard deviations of the outcome.

    Args:
        low, high: ends of the positions, which are uniform.
        explained: share of the outcome's variance that covariates explain.
    """
    return uniform_variance(low, high) / (1 - explained)


def units_needed(information: float, distance: float, effect: float = 1.0, power: float = POWER, alpha: float = ALPHA) -> float:
    """Units with which a one-sided test at level ``alpha`` tells the truth from the margin with the wanted power.

    Args:
        information: of one unit about the slope, at the truth.
        distance: between truth and margin, > 0.
        effect: design effect: how many clustered units tell as much as one independent one.
        power: wanted power.
        alpha: level of the test; divided by the number of tests where Holm's first step must be passed.
    """
    if information <= 0:
        return math.inf
    return float(effect / information * ((stats.norm.ppf(1 - alpha) + stats.norm.ppf(power)) / distance) ** 2)


def power_at(information: float, distance: float, n: float, effect: float = 1.0, alpha: float = ALPHA) -> float:
    """Power that ``n`` units have; arguments as for :func:`units_needed`."""
    return float(stats.norm.cdf(distance * math.sqrt(n * information / effect) - stats.norm.ppf(1 - alpha)))


def smallest_effect(information: float, n: float, effect: float = 1.0, power: float = POWER, alpha: float = ALPHA) -> float:
    """The smallest distance that ``n`` units tell from a margin (or from 0) with the wanted power: what :func:`units_needed` inverts.

    Args:
        information: of one unit; for the difference of two shares, independent of each other, ``1 / (p₁(1 − p₁) + p₂(1 − p₂))``.
        n: units.
        effect, power, alpha: as for :func:`units_needed`.
    """
    if information <= 0 or n <= 0:
        return math.inf
    return float((stats.norm.ppf(1 - alpha) + stats.norm.ppf(power)) * math.sqrt(effect / (information * n)))
