"""Predictors of easy text."""

from __future__ import annotations

import numpy as np
from trajectories.experiments.memorization.predictors import counts, distinct_share, repeats, zlib_bits


def test_repetitive_text_takes_fewer_bits() -> None:
    assert zlib_bits("abab" * 20, 40) < zlib_bits("the quick brown fox jumps over a lazy dog " * 2, 40)


def test_the_share_of_distinct_tokens_counts_each_once() -> None:
    assert distinct_share(np.array([[1, 1, 1, 1], [1, 2, 3, 1], [4, 3, 2, 1]])).tolist() == [0.25, 0.75, 1.0]


def test_periodic_sequences_repeat_and_random_ones_do_not() -> None:
    random = np.random.default_rng(1).integers(0, 1000, 64)
    periodic = np.tile(np.arange(7), 10)[:64]
    flawed = periodic.copy()
    flawed[30] = 99
    assert repeats(np.stack([random, periodic, flawed])).tolist() == [False, True, True]


def test_a_period_beyond_a_quarter_of_the_sequence_is_no_repetition() -> None:
    assert not repeats(np.tile(np.arange(20), 2)[None, :40]).any()


def test_texts_that_count_up_or_down_are_recognised() -> None:
    assert counts("1. one 2. two 3. three 4. four 5.")
    assert counts("x = 100, 90, 80, 70")
    assert not counts("1 1 1 1 1 1")
    assert not counts("in 1998 there were 12 of 87 and then 3 left")
    assert not counts("1, 2, 3")
