"""What makes a text easy to continue without having learnt it by heart; none of it needs a model.

The templates are those of Prashanth et al. 2024 (*Recite, Reconstruct, Recollect*, section 3): texts that repeat, or whose numbers count
on, can be reconstructed from their beginning, whenever they were seen. Their heuristics (a chunk that stands at least twice in a row after
a beginning of up to half the text; numbers that rise or fall, also in columns) are kept in spirit, and stated so that they can be checked.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

_NUMBER = re.compile(r"\d+")
_LEAST_DIGITS = 0.05
"""Share of digits among the characters below which a text is about something else than its numbers."""
_MOST_COLUMNS = 4


def zlib_bits(text: str, n_tokens: int) -> float:
    """Size of the compressed UTF-8 text in bits per token (after Carlini et al. 2021, *Extracting Training Data*, section 5)."""
    return 8 * len(zlib.compress(text.encode("utf-8"), 9)) / n_tokens


def distinct_share(tokens: np.ndarray) -> np.ndarray:
    """Share of distinct tokens in each sequence: tokens [n, length] → [n]."""
    ordered = np.sort(tokens, axis=1)
    return (1 + (np.diff(ordered.astype(np.int64), axis=1) != 0).sum(axis=1)) / tokens.shape[1]


def repeats(tokens: np.ndarray, share: float = 0.9) -> np.ndarray:
    """Whether the second half of each sequence can be copied from what stands one period before it: [n, length] → bool [n].

    The period is at most half the sequence, so a text that stands twice counts, and so does a short cycle after a beginning of its own.

    Args:
        tokens: the sequences.
        share: a sequence repeats if at least this share of its second half's tokens equal the token one period before.
    """
    half = tokens.shape[1] // 2
    second = tokens[:, half:]
    found = np.zeros(len(tokens), bool)
    for period in range(1, half + 1):
        found |= (second == tokens[:, half - period : tokens.shape[1] - period]).mean(axis=1) >= share
    return found


def counts(text: str, least: int = 4) -> bool:
    """Whether the numbers in a text count on.

    Digits make up a twentieth of the characters at least, and either six or more numbers rise or fall throughout, or, read in some one to
    four columns (a line of text may hold several), every column of at least ``least`` numbers stays or moves by the same amount in four
    fifths of its steps, and one does move.
    """
    numbers = [int(n) for n in _NUMBER.findall(text) if len(n) < 16]
    if len(numbers) < least or sum(map(str.isdigit, text)) < _LEAST_DIGITS * len(text):
        return False
    steps = np.diff(numbers)
    if len(numbers) >= 6 and (bool((steps > 0).all()) or bool((steps < 0).all())):
        return True
    return any(_columns_count(numbers, width) for width in range(1, _MOST_COLUMNS + 1) if len(numbers) >= least * width)


def _columns_count(numbers: list[int], width: int) -> bool:
    moves = False
    for column in range(width):
        steps = np.diff(numbers[column::width])
        values, times = np.unique(steps, return_counts=True)
        commonest = int(np.argmax(times))
        if times[commonest] < 0.8 * len(steps):
            return False
        moves |= bool(values[commonest] != 0)
    return moves
