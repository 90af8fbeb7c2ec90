"""N-gram models by counting."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from trajectories.experiments.grammar.ngrams import NGrams, counted

ROWS = np.random.default_rng(0).integers(0, 6, (50, 20))
SENTENCES = [list(map(int, s)) for s in np.random.default_rng(1).integers(0, 7, (10, 7))]
VOCABULARY = 8


def witten_bell(sentence: list[int], start: int, longest: int) -> np.ndarray:
    """The same from all n-grams of all rows, as the formula says."""
    counts = [Counter(tuple(r[i : i + n]) for r in ROWS.tolist() for i in range(len(r) - n + 1)) for n in range(1, longest + 1)]
    total = np.zeros(longest)
    for position in range(start, len(sentence)):
        estimate = 1 / VOCABULARY
        for n in range(1, longest + 1):
            if position - n + 1 >= 0:
                context = tuple(sentence[position - n + 1 : position])
                after = {gram: c for gram, c in counts[n - 1].items() if gram[:-1] == context}
                if after:
                    estimate = (after.get((*context, sentence[position]), 0) + len(after) * estimate) / (sum(after.values()) + len(after))
            total[n - 1] += math.log(estimate)
    return total


def test_it_is_interpolated_witten_bell_of_all_counts_however_the_rows_are_cut() -> None:
    model = NGrams(SENTENCES, 4, VOCABULARY)
    for first in range(0, 50, 13):
        model.count(ROWS[first : first + 13])
    for sentence in SENTENCES:
        assert model.logprob(sentence, 1) == pytest.approx(witten_bell(sentence, 1, 4), abs=1e-12)


def test_probabilities_of_all_tokens_add_up_to_one() -> None:
    context = SENTENCES[0][:3]
    sentences = [[*context, token] for token in range(VOCABULARY)]
    model = NGrams(sentences, 3, VOCABULARY)
    model.count(ROWS)
    assert np.exp([model.logprob(s, 3) for s in sentences]).sum(0) == pytest.approx(np.ones(3))


def test_so_many_tokens_of_an_order_are_read_as_allowed() -> None:
    class Order(SimpleNamespace):
        def __len__(self) -> int:
            return len(ROWS)

        def __getitem__(self, rows: slice) -> np.ndarray:
            return ROWS[rows]

    part, tokens = counted(Order(row_tokens=20), SENTENCES, 2, VOCABULARY, 400)  # type: ignore[arg-type]
    assert tokens == 400
    whole = NGrams(SENTENCES, 2, VOCABULARY)
    whole.count(ROWS[:20])
    assert part.logprob(SENTENCES[0], 1) == pytest.approx(whole.logprob(SENTENCES[0], 1))
