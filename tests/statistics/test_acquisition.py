"""Steps of acquisition: intervals between checkpoints, censoring, and recovery of a known step."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from trajectories.statistics import intervals
from trajectories.statistics.acquisition import (
    Criterion,
    acquired,
    earlier,
    isotonic_crossing,
    lasting,
    resample_binomial,
    resample_pairs,
)

STEPS = np.array([0, 1, 2, 4, 8, 16, 32, 64])
MIDWAY = Criterion("midway", final=1)


def found(levels: list[float], criterion: Criterion = MIDWAY):  # type: ignore[no-untyped-def]
    values = np.array(levels)
    return acquired(STEPS, values, np.tile(values, (5, 1)), criterion)


def test_acquisition_lies_between_the_last_step_below_and_the_first_from_which_on_all_are_above() -> None:
    one = found([0.5, 0.5, 0.55, 0.6, 0.8, 0.9, 0.9, 0.9])
    assert (one.lower, one.upper, one.censored, one.threshold) == (4, 8, "none", pytest.approx(0.7))


def test_a_return_below_the_criterion_means_not_yet_acquired() -> None:
    assert found([0.5, 0.8, 0.8, 0.6, 0.8, 0.6, 0.9, 0.9]).upper == 32


def test_what_is_above_from_the_first_checkpoint_on_is_left_censored() -> None:
    one = acquired(STEPS[3:], np.full(5, 0.9), np.full((4, 5), 0.9), MIDWAY)
    assert (one.lower, one.upper, one.censored) == (0, 4, "left")


def test_what_ends_too_little_above_chance_is_never_acquired() -> None:
    one = found([0.5, 0.5, 0.5, 0.55, 0.58, 0.58, 0.58, 0.58])
    assert (one.lower, one.upper, one.censored, one.share) == (64, np.inf, "right", 0)
    assert one.ci_high == np.inf


def test_the_fixed_criterion_asks_the_same_of_all() -> None:
    levels = [0.5, 0.5, 0.6, 0.65, 0.7, 0.72, 0.74, 0.74]
    assert found(levels, Criterion("fixed", level=0.75)).censored == "right"
    assert found(levels, Criterion("fixed", level=0.7, final=1)).upper == 8
    assert found(levels).upper == 4


def test_the_final_level_is_a_mean_of_at_most_a_quarter_of_the_checkpoints() -> None:
    criterion = Criterion("midway", final=3)
    assert criterion.final_level(np.array([0.5, 0.5, 0.5, 0.7, 0.9])) == pytest.approx(0.9)
    assert criterion.final_level(np.r_[np.full(9, 0.5), 0.6, 0.7, 0.8]) == pytest.approx(0.7)


def test_a_criterion_of_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="midway"):
        Criterion("half")


def test_steps_must_ascend() -> None:
    with pytest.raises(ValueError, match="ascend"):
        acquired([0, 2, 1], np.ones(3), np.ones((2, 3)), MIDWAY)


def test_the_first_lasting_index_is_the_length_if_the_end_is_false() -> None:
    above = np.array([[True, False, True], [True, True, False], [True, True, False]])
    assert lasting(above).tolist() == [0, 1, 3]


def test_resampled_pairs_keep_what_a_pair_does_over_training_together() -> None:
    correct = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    drawn = resample_pairs(correct, intervals.resample_counts(4, 200, np.random.default_rng(1)))
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert drawn.std() == pytest.approx((0.25 / 4) ** 0.5, rel=0.2)


def test_the_interval_covers_the_true_step_of_a_noisy_trajectory() -> None:
    random, steps = np.random.default_rng(2), np.arange(0, 1001, 50)
    truth = 0.5 + 0.45 / (1 + np.exp(-(steps - 420) / 60))
    crossing, n, covered, width = 420.0, 120, 0, []
    for _ in range(200):
        correct = random.random((len(steps), n)) < truth[:, None]
        drawn = resample_pairs(correct, intervals.resample_counts(n, 200, random))
        one = acquired(steps, correct.mean(1), drawn, Criterion("midway", final=3))
        covered += one.ci_low < crossing <= one.ci_high
        width.append(one.ci_high - one.ci_low)
    assert covered / 200 >= 0.93
    assert np.median(width) <= 200


def test_binomial_redraws_are_centred_on_the_published_accuracy() -> None:
    drawn = resample_binomial(np.array([0.6, 1.0]), 1000, 4000, np.random.default_rng(3))
    assert drawn.mean(0) == pytest.approx([0.6, 1.0], abs=0.002)
    assert drawn[:, 0].std() == pytest.approx((0.24 / 1000) ** 0.5, rel=0.05)


def test_only_intervals_that_do_not_overlap_have_an_order() -> None:
    lower, upper = np.array([0.0, 4, 8, 8]), np.array([4.0, 8, 16, np.inf])
    assert earlier(lower, upper, *np.array([[4.0, 4, 4, 16], [8.0, 8, 8, np.inf]])).tolist() == [1, 0, -1, 0]
    assert earlier(np.array([32.0]), np.array([64.0]), np.array([64.0]), np.array([np.inf])).tolist() == [1]


def test_the_isotonic_crossing_is_that_of_a_peers_regression() -> None:
    generator = np.random.default_rng(5)
    for _ in range(200):
        levels = np.clip(np.linspace(0.4, 0.9, 12) + generator.normal(0, 0.15, 12), 0, 1)
        smooth = IsotonicRegression().fit_transform(np.arange(12), levels)
        threshold = generator.uniform(0.3, 1.0)
        above = np.flatnonzero(smooth >= threshold)
        assert isotonic_crossing(levels, np.array(threshold)) == (above[0] if len(above) else 12)


def test_a_single_late_checkpoint_below_moves_the_last_crossing_and_not_the_isotonic_one() -> None:
    levels = [0.5, 0.5, 0.9, 0.9, 0.9, 0.9, 0.65, 0.9]
    assert found(levels).lower == 32
    assert found(levels, Criterion("isotonic", final=1)).upper == 2
    assert found([0.5] * 8, Criterion("isotonic", final=1)).censored == "right"
