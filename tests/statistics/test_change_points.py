"""Abrupt changes in trajectories: false alarms on smooth ones, power on abrupt ones."""

from __future__ import annotations

import numpy as np
import pytest
from trajectories.statistics import sigmoid
from trajectories.statistics.change_points import changes

LINEAR = np.arange(3, 144, 10.0)
SPACED = np.r_[2.0 ** np.arange(10), np.arange(600, 1201, 100.0)]


def seen(generator: np.random.Generator, p: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    level = generator.binomial(n, p) / n
    smoothed = (level * n + 1) / (n + 2)
    return level, np.sqrt(smoothed * (1 - smoothed) / n)


@pytest.mark.parametrize(("tokens", "n"), [(LINEAR, 1000), (SPACED, 240)])
@pytest.mark.parametrize("scale", [np.log10, np.asarray])
def test_smooth_trajectories_raise_few_alarms(tokens: np.ndarray, n: int, scale: object) -> None:
    generator, x, alarms = np.random.default_rng(5), scale(tokens), 0  # type: ignore[operator]
    span = x[-1] - x[0]
    for _ in range(200):
        middle, rise = x[0] + span * generator.random(), span * generator.uniform(0.34, 1.5)
        p = sigmoid.curve(x, 0.5, generator.uniform(0.55, 1), middle, rise / sigmoid.RISE)
        alarms += bool(changes(x, *seen(generator, p, n)))
    assert alarms / 200 <= 0.05


@pytest.mark.parametrize("scale", [np.log10, np.asarray])
def test_a_jump_between_two_checkpoints_is_found_at_its_place(scale: object) -> None:
    generator, x, found = np.random.default_rng(6), scale(LINEAR), 0  # type: ignore[operator]
    for _ in range(100):
        at = int(generator.integers(4, 11))
        hits = changes(x, *seen(generator, np.where(np.arange(15) < at, 0.5, 0.8), 1000))
        found += any(abs(c.index - at) <= 1 and c.size > 0.2 for c in hits)
    assert found >= 90


def test_what_is_abrupt_in_tokens_can_be_smooth_in_log_tokens() -> None:
    p = sigmoid.curve(np.log10(SPACED), 0.5, 1.0, 1.2, 0.4)
    assert not changes(np.log10(SPACED), p, np.full(17, 0.004))
    assert changes(SPACED, p, np.full(17, 0.004), least=0.05)


def test_few_checkpoints_have_none() -> None:
    assert changes(np.arange(7.0), np.r_[np.zeros(3), np.ones(4)], np.full(7, 0.01)) == []
