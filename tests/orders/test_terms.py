"""Terms in rows: the counter against one that looks at every place in turn."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from trajectories.orders.terms import Terms

END = 0


def naive(rows: np.ndarray, sequences: dict[str, list[list[int]]], pairs: list[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Counts and squared counts by row, by looking at every place for every sequence."""
    counts = np.zeros((len(rows), len(sequences) + len(pairs)), int)
    for r, row in enumerate(rows[:, :-1].tolist()):
        document = np.concatenate([[0], np.cumsum(np.array(row) == END)])
        met: dict[str, set[int]] = {name: set() for name in sequences}
        for c, (name, several) in enumerate(sequences.items()):
            for ids in {tuple(ids) for ids in several}:
                places = [p for p in range(len(row)) if tuple(row[p : p + len(ids)]) == ids]
                counts[r, c] += len(places)
                met[name] |= {int(document[p]) for p in places}
        for c, (a, b) in enumerate(pairs):
            counts[r, len(sequences) + c] = len(met[a] & met[b])
    return counts.sum(axis=0), (counts**2).sum(axis=0)


def random_case(seed: int) -> tuple[np.ndarray, dict[str, list[list[int]]], list[tuple[str, str]]]:
    """Few tokens, so that everything overlaps, and terms that share sequences, prefixes and tokens."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 5, (int(random.integers(1, 30)), int(random.integers(2, 40)))).astype(np.uint16)
    sequences = {f"t{i}": [random.integers(0, 5, random.integers(1, 6)).tolist() for _ in range(random.integers(1, 4))] for i in range(12)}
    pairs = [(a, b) for a, b in product(sequences, repeat=2) if random.random() < 0.2]
    return rows, sequences, pairs


@pytest.mark.parametrize("seed", range(40))
def test_counts_equal_those_of_looking_everywhere(seed: int) -> None:
    rows, sequences, pairs = random_case(seed)
    terms = Terms(sequences, pairs, END)
    totals, squares = terms.count(rows, squares=True)
    expected, expected_squares = naive(rows, sequences, pairs)
    np.testing.assert_array_equal(totals, expected)
    np.testing.assert_array_equal(squares, expected_squares)
    np.testing.assert_array_equal(terms.count(rows)[0], expected)
    assert not terms.count(rows)[1].any()


def test_many_documents_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trajectories.orders.terms._MATRIX", 1)
    random = np.random.default_rng(7)
    rows = random.integers(0, 4, (60, 33)).astype(np.uint16)
    sequences = {"a": [[1]], "b": [[2]], "c": [[1, 2], [3]]}
    pairs = [("a", "b"), ("b", "c"), ("a", "a")]
    totals, squares = Terms(sequences, pairs, END).count(rows, squares=True)
    expected, expected_squares = naive(rows, sequences, pairs)
    np.testing.assert_array_equal(totals, expected)
    np.testing.assert_array_equal(squares, expected_squares)


def test_the_last_token_of_a_row_is_a_target_only_and_no_term_goes_on_in_the_next_row() -> None:
    rows = np.array([[1, 2, 3, 1], [2, 3, 1, 2]], np.uint16)
    terms = Terms({"one": [[1]], "one two": [[1, 2]], "three one": [[3, 1]]})
    assert terms.count(rows)[0].tolist() == [2, 1, 1]


def test_a_document_ends_with_its_end_of_text_token_and_with_the_row() -> None:
    rows = np.array([[1, END, 2, 1, 9, 9], [2, 9, END, END, 1, 9]], np.uint16)
    terms = Terms({"a": [[1]], "b": [[2]]}, [("a", "b")], END)
    assert terms.count(rows)[0].tolist() == [3, 2, 1]


def test_the_largest_token_and_the_longest_terms_are_found() -> None:
    rows = np.array([[65535, 65534, 65533, 1, 2, 3, 9]], np.uint16)
    terms = Terms({"long": [[65535, 65534, 65533, 1, 2, 3]], "longer": [[65535, 65534, 65533, 1, 2, 3, 9]], "last": [[65535]]})
    assert terms.count(rows)[0].tolist() == [1, 0, 1]


def test_rows_without_terms_and_terms_without_rows_are_nothing() -> None:
    assert Terms({}).count(np.ones((3, 4), np.uint16))[0].shape == (0,)
    assert Terms({"a": [[2]]}, [("a", "a")]).count(np.ones((3, 4), np.uint16), squares=True)[0].tolist() == [0, 0]
    assert Terms({"a": [[2]]}).count(np.ones((0, 4), np.uint16))[0].tolist() == [0]


@pytest.mark.parametrize(
    ("sequences", "pairs", "message"),
    [
        ({"a": [[]]}, [], "one or more numbers"),
        ({"a": [[65536]]}, [], "from 0 to 65535"),
        ({"a": [[1]]}, [("a", "b")], "unknown terms, for instance .'b'"),
    ],
)
def test_terms_that_cannot_be_are_refused(sequences: dict[str, list[list[int]]], pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Terms(sequences, pairs)
