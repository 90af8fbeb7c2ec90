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


def test_a_text_that_stands_twice_repeats_whatever_its_length() -> None:
    once = np.random.default_rng(1).integers(0, 1000, 32)
    assert repeats(np.tile(once, 2)[None]).all()
    assert not repeats(np.concatenate([once, once[::-1]])[None]).any()


def test_a_cycle_after_a_beginning_of_its_own_repeats() -> None:
    beginning = np.random.default_rng(1).integers(0, 1000, 24)
    assert repeats(np.concatenate([beginning, np.tile([1, 2, 3, 4], 10)])[None]).all()
    assert not repeats(np.concatenate([np.tile([1, 2, 3, 4], 6), np.random.default_rng(2).integers(0, 1000, 40)])[None]).any()


def test_texts_that_count_up_or_down_are_recognised() -> None:
    assert counts("1. one 2. two 3. three 4. four 5.")
    assert counts("x = 100, 90, 80, 70")
    assert counts("3, 17, 20, 46, 81, 99")
    assert not counts("1 1 1 1 1 1")
    assert not counts("in 1998 there were 12 of 87 and then 3 left")
    assert not counts("1, 2, 3")


def test_columns_of_numbers_that_count_are_recognised() -> None:
    assert counts("0 1\n1 1\n2 1\n3 1\n4 1\n")
    assert counts("<td 7 10><td 7 20><td 7 30><td 7 40>")
    assert not counts("5 1\n5 1\n5 1\n5 1\n5 1\n")
    assert not counts("0 1\n1 7\n2 4\n3 9\n4 2\n")


def test_numbers_here_and_there_in_a_long_text_are_no_counting() -> None:
    words = "the quick brown fox jumps over a lazy dog and then some more "
    assert not counts("".join(f"{i}. {words}" for i in range(1, 9)))
    assert counts("".join(f"{i}. fox " for i in range(1, 9)))
