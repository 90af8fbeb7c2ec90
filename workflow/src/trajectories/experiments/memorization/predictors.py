"""What makes a text easy to continue without having learnt it by heart; none of it needs a model.

After the taxonomy of Prashanth et al. 2024 (*Recite, Reconstruct, Recollect*): texts that repeat or count can be reconstructed from their
beginning, whenever they were seen.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

_NUMBER = re.compile(r"\d+")


def zlib_bits(text: str, n_tokens: int) -> float:
    """Size of the compressed UTF-8 text in bits per token (after Carlini et al. 2021, *Extracting Training Data*, section 5)."""
    return 8 * len(zlib.compress(text.encode("utf-8"), 9)) / n_tokens


def distinct_share(tokens: np.ndarray) -> np.ndarray:
    """Share of distinct tokens in each sequence: tokens [n, length] → [n]."""
    ordered = np.sort(tokens, axis=1)
    return (1 + (np.diff(ordered.astype(np.int64), axis=1) != 0).sum(axis=1)) / tokens.shape[1]


def repeats(tokens: np.ndarray, share: float = 0.9) -> np.ndarray:
    """Whether each sequence repeats with some period of at most a quarter of its length: [n, length] → bool [n].

    Args:
        tokens: the sequences.
        share: a sequence repeats if at least this share of its tokens equal the token one period before.
    """
    found = np.zeros(len(tokens), bool)
    for period in range(1, tokens.shape[1] // 4 + 1):
        found |= (tokens[:, period:] == tokens[:, :-period]).mean(axis=1) >= share
    return found


def counts(text: str, least: int = 4) -> bool:
    """Whether a text counts: at least ``least`` numbers, four fifths of whose steps are the same and not zero."""
    numbers = [int(n) for n in _NUMBER.findall(text) if len(n) < 16]
    if len(numbers) < least:
        return False
    steps = np.diff(numbers)
    values, times = np.unique(steps[steps != 0], return_counts=True)
    return len(values) > 0 and bool(times.max() >= 0.8 * len(steps))
