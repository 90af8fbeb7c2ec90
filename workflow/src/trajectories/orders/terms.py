"""Terms in rows of tokens: how often each occurs, and in how many documents two occur together.

The tokens of all terms form a trie. One look-up finds the tokens at which a term can begin, which are few, and only these are followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_MATRIX = 2**26
"""Most bytes of a table of documents by terms."""


class Terms:
    """Counts terms and pairs of terms; a *column* is one of them, the terms first.

    A term occurs wherever one of its token sequences stands within the first ``row_tokens`` − 1 tokens of a row: the last is a target
    only. Occurrences may overlap, and each counts; a sequence that is given twice counts once.

    A *document* is a stretch of a row up to an end-of-text token (which belongs to it) or to the row's end. What goes on in another row is
    another document, since rows are shuffled after packing, so the next row of an order does not continue this one.

    Args:
        sequences: term to its token sequences (each of one token or more).
        pairs: two terms each, of which it is counted in how many documents both occur.
        end_of_text: id of the token that ends a document.

    Attributes:
        names: the terms.
        pairs: as given.

    Raises:
        ValueError: a sequence is empty or holds what is no uint16, or a pair names another term.
    """

    def __init__(self, sequences: Mapping[str, Sequence[Sequence[int]]], pairs: Sequence[tuple[str, str]] = (), end_of_text: int = 0):
        self.names, self.pairs, self._end = list(sequences), list(pairs), end_of_text
        number = {name: i for i, name in enumerate(self.names)}
        listed = [(i, tuple(int(t) for t in ids)) for i, of_term in enumerate(sequences.values()) for ids in of_term]
        if any(not ids or min(ids) < 0 or max(ids) > np.iinfo(np.uint16).max for _, ids in listed):
            raise ValueError("a term's tokens should be one or more numbers from 0 to 65535")
        unknown = {name for pair in self.pairs for name in pair if name not in number}
        if unknown:
            raise ValueError(f"pairs of unknown terms, for instance {sorted(unknown)[:3]}")
        self._trie(sorted(set(listed)))
        both = np.array([[number[a], number[b]] for a, b in self.pairs], np.int64).reshape(-1, 2)
        paired, where = np.unique(both, return_inverse=True)
        self._left, self._right = where.reshape(-1, 2).T
        self._paired = np.full(len(self.names), -1)
        self._paired[paired] = np.arange(len(paired))

    def _trie(self, listed: list[tuple[int, tuple[int, ...]]]) -> None:
        # a token's class is its number among the tokens of terms, those that begin a term first; 0 is any other token
        begin = sorted({ids[0] for _, ids in listed})
        later = sorted({t for _, ids in listed for t in ids[1:]} - set(begin))
        if len(begin) + len(later) > np.iinfo(np.uint16).max:
            raise ValueError("the terms have more than 65,535 different tokens")
        self._first = len(begin)
        self._classes = np.zeros(2**16, np.uint16)
        self._classes[begin + later] = np.arange(1, len(begin) + len(later) + 1)
        self._width = len(begin) + len(later) + 1
        # node 0 is the root, node i the class i for the tokens that begin a term
        edges: dict[tuple[int, int], int] = {(0, int(c)): int(c) for c in self._classes[begin]}
        ends: dict[int, list[int]] = {}
        nodes = len(begin) + 1
        for term, ids in listed:
            node = 0
            for c in self._classes[list(ids)].tolist():
                if (node, c) not in edges:
                    edges[node, c], nodes = nodes, nodes + 1
                node = edges[node, c]
            ends.setdefault(node, []).append(term)
        deep = sorted((node * self._width + c, to) for (node, c), to in edges.items() if node > 0)
        self._keys = np.array([key for key, _ in deep] + [np.iinfo(np.int64).max], np.int64)
        self._to = np.array([to for _, to in deep] + [0], np.int32)
        self._inner = np.zeros(nodes, bool)
        self._inner[[key // self._width for key, _ in deep]] = True
        self._held = np.array([len(ends.get(node, ())) for node in range(nodes)], np.int32)
        self._at = np.cumsum(self._held) - self._held
        self._terms = np.array([term for node in range(nodes) for term in ends.get(node, ())], np.int32)

    def __len__(self) -> int:
        """Number of columns."""
        return len(self.names) + len(self.pairs)

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every occurrence.

        Args:
            rows: uint16 [n, row_tokens].

        Returns:
            Where it begins (number in the flattened rows) and the term's number, sorted neither by one nor by the other.
        """
        classes = self._classes[rows]
        classes[:, -1:] = 0  # nothing goes on into the next row
        classes = classes.ravel()
        place = np.flatnonzero(classes - 1 < self._first)  # unsigned: 0 becomes the largest
        node = classes[place].astype(np.int32)
        places, nodes, depth = [], [], 0
        while len(place):
            here = self._held[node] > 0
            places.append(place[here])
            nodes.append(node[here])
            onward = self._inner[node]
            place, node, depth = place[onward], node[onward], depth + 1
            following = classes[place + depth]
            known = following > 0
            place, key = place[known], node[known].astype(np.int64) * self._width + following[known]
            at = np.searchsorted(self._keys, key)
            right = self._keys[at] == key
            place, node = place[right], self._to[at[right]]
        if not places:
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        where, node = np.concatenate(places), np.concatenate(nodes)
        held = self._held[node]
        if held.size and held.max() > 1:  # sequences that several terms share
            where, first = np.repeat(where, held), np.repeat(self._at[node] - np.cumsum(held) + held, held)
            return where, self._terms[first + np.arange(len(first))]
        return where, self._terms[self._at[node]]

    def count(self, rows: np.ndarray, squares: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Occurrences of each term, and documents that hold both terms of each pair.

        Args:
            rows: uint16 [n, row_tokens].
            squares: whether the second result is wanted.

        Returns:
            The sum over the rows, and the sum of the rows' squared counts (0 unless ``squares``); int64 [columns].
        """
        place, term = self.find(rows)
        totals, squared = np.zeros((2, len(self)), np.int64)
        names = len(self.names)
        totals[:names] = np.bincount(term, minlength=names)
        if squares:
            squared[:names] = _squares(term, place // max(rows.shape[1], 1), names)
        if self.pairs and len(place):
            totals[names:], squared[names:] = self._together(rows, place, term, squares)
        return totals, squared

    def _together(self, rows: np.ndarray, place: np.ndarray, term: np.ndarray, squares: bool) -> tuple[np.ndarray, np.ndarray]:
        begins = np.ones(rows.shape, bool)
        begins[:, 1:] = rows[:, :-1] == self._end
        term = self._paired[term]
        place, term = place[term >= 0], term[term >= 0]
        document = np.cumsum(begins.ravel(), dtype=np.int32)[place] - 1
        row_of = np.flatnonzero(begins) // rows.shape[1]
        held = int(self._paired.max()) + 1
        block = max(64, _MATRIX // max(held, len(self.pairs)))
        totals = np.zeros(len(self.pairs), np.int64)
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for start in range(0, len(row_of), block):
            inside = (document >= start) & (document < start + block)
            occurs = np.zeros((held, min(block, len(row_of) - start)), bool)
            occurs[term[inside], document[inside] - start] = True
            packed = np.packbits(occurs, axis=1)
            both = packed[self._left] & packed[self._right]
            totals += np.bitwise_count(both).sum(axis=1, dtype=np.int64)
            if squares:
                pair, which = np.nonzero(np.unpackbits(both, axis=1))
                found.append((pair, row_of[which + start]))
        if not squares:
            return totals, np.zeros_like(totals)
        pairs, in_row = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return totals, _squares(pairs, in_row, len(self.pairs))


def _squares(column: np.ndarray, row: np.ndarray, columns: int) -> np.ndarray:
    """Sum over rows of the squared number of events, by column."""
    keys, n = np.unique(row.astype(np.int64) * columns + column, return_counts=True)
    return np.bincount(keys % columns if columns else keys, weights=n.astype(float) ** 2, minlength=columns).astype(np.int64)
