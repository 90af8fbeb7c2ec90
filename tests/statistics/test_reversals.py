"""Falls of trajectories."""

from __future__ import annotations

import numpy as np
import pytest
from trajectories.statistics import acquisition, intervals, reversals

N = 240


def critical_value(pairs: list[np.ndarray], generator: np.random.Generator) -> tuple[list[np.ndarray], float]:
    counts = intervals.resample_counts(N, 400, generator)
    found = [reversals.largest(c.mean(1), acquisition.resample_pairs(c, counts), N) for c in pairs]
    return [stderr for stderr, _ in found], float(np.quantile(np.max([most for _, most in found], axis=0), 0.95))


def drawn(generator: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """Right or wrong ``[steps, pairs]``; half of a pair's luck is its own at every step."""
    own = generator.random(N) < 0.5
    luck = np.where(own, generator.random(N), generator.random((len(p), N)))
    return (luck < p[:, None]).astype(np.uint8)


def shapes(p: np.ndarray, others: int, seed: int) -> str:
    generator = np.random.default_rng(seed)
    pairs = [drawn(generator, p)] + [drawn(generator, np.full(len(p), 0.7)) for _ in range(others)]
    stderr, critical = critical_value(pairs, generator)
    return reversals.reversal(pairs[0].mean(1), stderr[0], critical, 0.05).shape


def test_in_few_sets_without_a_change_is_any_trajectory_named() -> None:
    named = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        pairs = [drawn(generator, np.full(12, level)) for level in (0.5, 0.6, 0.75, 0.95, 1.0)]
        stderr, critical = critical_value(pairs, generator)
        named.append(any(reversals.reversal(c.mean(1), s, critical, 0.01).shape != "none" for c, s in zip(pairs, stderr, strict=True)))
    assert np.mean(named) <= 0.10


@pytest.mark.parametrize(
    ("levels", "shape"),
    [
        ([0.5, 0.6, 0.7, 0.8, 0.9, 0.95], "none"),
        ([0.8, 0.8, 0.4, 0.4, 0.8, 0.9], "U-shape"),
        ([0.4, 0.9, 0.9, 0.6, 0.5, 0.4], "rise and fall"),
        ([0.9, 0.9, 0.8, 0.6, 0.5, 0.5], "fall"),
    ],
)
def test_shapes_are_named(levels: list[float], shape: str) -> None:
    assert [shapes(np.array(levels), 5, seed) for seed in range(5)].count(shape) >= 4


def test_a_fall_without_any_discordant_noise_keeps_an_error() -> None:
    ones = np.ones((3, N))
    stderr, most = reversals.largest(ones.mean(1), np.ones((50, 3)), N)
    assert (stderr > 0).all()
    assert (most == 0).all()
