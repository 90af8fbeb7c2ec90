"""Survival between looks: hazards of known size come back, late entry and restarts do not bias them, intervals keep their level."""

from __future__ import annotations

import numpy as np
import pytest
from trajectories.statistics.survival import edges_of, lost, regained, survival

LOOKS = np.array([10, 25, 50, 100, 150, 200, 300, 400])


def world(generator: np.random.Generator, n: int, rate: float, later: float, shared: float = 0.0) -> tuple[np.ndarray, ...]:
    """Units that start at random times and lose a state at ``rate`` up to age 60, then at ``later``; a tenth is restarted."""
    start = generator.integers(0, 300, n)
    clusters = np.arange(n) // 5
    frailty = np.exp(shared * generator.standard_normal(clusters.max() + 1))[clusters]
    draw = generator.exponential(size=n) / frailty
    life = np.where(draw < 60 * rate, draw / rate, 60 + (draw - 60 * rate) / later)
    again = np.where(generator.random(n) < 0.1, start + generator.integers(20, 100, n), 10**6)
    latest = np.where(again[:, None] < LOOKS, again[:, None], np.where(start[:, None] < LOOKS, start[:, None], -1))
    state = (latest >= 0) & (LOOKS - latest < life[:, None])
    return state, latest, clusters


def test_rates_and_curve_are_the_true_ones() -> None:
    generator = np.random.default_rng(1)
    state, latest, clusters = world(generator, 20_000, 0.01, 0.002)
    found = survival(lost(state, latest, LOOKS, clusters), np.array([0.0, 60.0, 400.0]), generator, 50)
    assert found is not None
    assert found.rate == pytest.approx([0.01, 0.002], rel=0.05)
    assert found.value == pytest.approx([1.0, np.exp(-0.6), np.exp(-0.6 - 0.68)], rel=0.03)
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()


def test_a_unit_that_is_restarted_between_two_looks_is_not_at_risk() -> None:
    looks = np.array([10, 20, 30])
    state = np.array([[True, False, False], [True, False, True]])
    latest = np.array([[5, 15, 15], [5, 5, 5]])
    risk = lost(state, latest, looks, np.arange(2))
    assert list(zip(risk.start, risk.end, risk.events, strict=True)) == [(5, 15, 1.0)]
    back = regained(state, latest, looks, np.arange(2))
    assert list(zip(back.start, back.end, back.events, back.cluster, strict=True)) == [(15, 25, 1.0, 1)]


def test_intervals_respect_clusters() -> None:
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng([4, seed])
        looks = np.array([1, 50])
        clusters = np.arange(600) // 20
        rate = 0.02 * np.exp(0.8 * generator.standard_normal(30))[clusters]
        state = np.column_stack([np.ones(600, bool), generator.random(600) < np.exp(-rate * 50)])
        found = survival(
            lost(state, np.where(looks > 0, 0, -1) + np.zeros((600, 1), int), looks, clusters), np.array([0.0, 50.0]), generator
        )
        assert found is not None
        truth = np.mean(np.exp(-49 * 0.02 * np.exp(0.8 * np.random.default_rng(9).standard_normal(100_000)))) ** (50 / 49)
        covered += found.low[1] < truth < found.high[1]
    assert covered / 60 > 0.8


def test_edges_start_at_birth_and_end_at_the_last_age() -> None:
    state, latest, clusters = world(np.random.default_rng(5), 500, 0.01, 0.01)
    risk = lost(state, latest, LOOKS, clusters)
    edges = edges_of(risk, 5)
    assert edges[0] == 0
    assert edges[-1] == risk.end.max()
    assert (np.diff(edges) > 0).all()


def test_nothing_at_risk_gives_nothing() -> None:
    state = np.zeros((5, 3), bool)
    risk = lost(state, np.zeros((5, 3), int), np.array([1, 2, 3]), np.arange(5))
    assert survival(risk, edges_of(risk, 3), np.random.default_rng(1)) is None
