"""N-gram models counted on a training order, and the log-probabilities that they give to sentences.

Only what the sentences need is counted: their n-grams, and how many different tokens follow each of their contexts. Tokens are walked in
chunks of rows, and windows stay within a row, as a model's context does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trajectories.orders import RowReader

CHUNK_TOKENS = 1_000_000


class NGrams:
    """Counts for the n-grams of some sentences; interpolated Witten and Bell's estimate (Chen and Goodman 1999, *Comput. Speech Lang.* 13).

    ``P(w | h) = (c(h w) + t(h) P(w | h')) / (c(h) + t(h))`` with t(h) the number of different tokens seen after h, and h' the context
    without its first token; the shortest is the uniform distribution.

    Args:
        sentences: token sequences.
        longest: n of the longest n-gram.
        vocabulary: number of tokens.
    """

    def __init__(self, sentences: Sequence[Sequence[int]], longest: int, vocabulary: int):
        self.longest, self.vocabulary = longest, vocabulary
        self._nodes: list[np.ndarray] = []  # codes of the sentences' n-grams: number of the (n-1)-gram · vocabulary + token, ascending
        matched = [np.zeros(len(s) + 1, dtype=np.int64) for s in sentences]
        for n in range(1, longest + 1):
            codes = [
                m[: max(len(s) - n + 1, 0)] * vocabulary + np.asarray(s[n - 1 :], dtype=np.int64)
                for m, s in zip(matched, sentences, strict=True)
            ]
            self._nodes.append(np.unique(np.concatenate(codes)))
            matched = [np.searchsorted(self._nodes[-1], c) for c in codes]
        self._seen: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0, np.int64), np.empty(0, np.int64)) for _ in range(longest)]

    def count(self, rows: np.ndarray) -> None:
        """Add rows of tokens ``[rows, tokens]``."""
        rows = np.asarray(rows).astype(np.int64)
        row, start = (a.ravel() for a in np.indices(rows.shape))
        node = np.zeros(rows.size, dtype=np.int64)
        for n in range(1, self.longest + 1):
            code = node * self.vocabulary + rows[row, start + n - 1]
            self._add(n, code)
            place = np.searchsorted(self._nodes[n - 1], code)
            known = (self._nodes[n - 1][np.minimum(place, len(self._nodes[n - 1]) - 1)] == code) & (start + n < rows.shape[1])
            row, start, node = row[known], start[known], place[known]

    def _add(self, n: int, codes: np.ndarray) -> None:
        """Merge the continuations of known contexts of length n − 1 into those seen before."""
        new, times = np.unique(codes, return_counts=True)
        before, counts = self._seen[n - 1]
        merged, index = np.unique(np.concatenate([before, new]), return_inverse=True)
        total = np.bincount(index, weights=np.concatenate([counts, times]), minlength=len(merged))
        self._seen[n - 1] = merged, total.astype(np.int64)

    def logprob(self, sentence: Sequence[int], start: int) -> np.ndarray:
        """Log-probability (nats) of a sentence's tokens from ``start`` on, given those before, by n from 1 to the longest ``[longest]``."""
        total = np.zeros(self.longest)
        for position in range(start, len(sentence)):
            total += np.log(self._token(sentence, position))
        return total

    def _token(self, sentence: Sequence[int], position: int) -> np.ndarray:
        estimate, found = 1 / self.vocabulary, np.empty(self.longest)
        for n in range(1, self.longest + 1):
            if position - n + 1 >= 0:
                estimate = self._interpolated(n, sentence[position - n + 1 : position], int(sentence[position]), estimate)
            found[n - 1] = estimate
        return found

    def _interpolated(self, n: int, context: Sequence[int], token: int, shorter: float) -> float:
        node = 0
        for level, word in enumerate(context):
            node = int(np.searchsorted(self._nodes[level], node * self.vocabulary + int(word)))
        codes, counts = self._seen[n - 1]
        first, last = np.searchsorted(codes, [node * self.vocabulary, (node + 1) * self.vocabulary])
        if first == last:
            return shorter
        place = first + int(np.searchsorted(codes[first:last], node * self.vocabulary + token))
        here = int(counts[place]) if place < last and codes[place] == node * self.vocabulary + token else 0
        of_context, types = int(counts[first:last].sum()), int(last - first)
        return (here + types * shorter) / (of_context + types)


def counted(reader: RowReader, sentences: Sequence[Sequence[int]], longest: int, vocabulary: int, most: int) -> tuple[NGrams, int]:
    """N-grams of sentences counted in the first ``most`` tokens of an order, and how many tokens were read."""
    model = NGrams(sentences, longest, vocabulary)
    rows, chunk = min(len(reader), max(most // reader.row_tokens, 1)), max(CHUNK_TOKENS // reader.row_tokens, 1)
    for first in range(0, rows, chunk):
        model.count(reader[first : min(first + chunk, rows)])
    return model, rows * reader.row_tokens
