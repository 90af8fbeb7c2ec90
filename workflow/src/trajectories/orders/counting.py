"""Counting through a training order, up to each of several steps: the whole of it, or a sample of its rows where it is too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trajectories.errors import UserError
from trajectories.orders.reader import RowReader
from trajectories.orders.terms import Terms
from trajectories.progress import Progress

_CHUNK = 2**19
"""Tokens that are read and counted at once."""


@dataclass(frozen=True)
class Counts:
    """Cumulative counts by step.

    Attributes:
        steps: ascending.
        count: float [steps, columns of the terms]: in the rows that are trained on before a step; an integer where all rows were read.
        stderr: float, alike; 0 where all rows up to the step were read.
        rows: rows below the last step.
        read: how many of them were read.
    """

    steps: list[int]
    count: np.ndarray
    stderr: np.ndarray
    rows: int
    read: int


def shares(lengths: Sequence[int], rows: int) -> list[int]:
    """How many rows are read of each interval when about ``rows`` can be read in all.

    All intervals get alike, but none more than it has, so that of the short ones at the beginning of training a larger share is read, or
    all; none gets fewer than two, from which the variance is estimated.
    """
    found, left = [0] * len(lengths), rows
    for done, i in enumerate(sorted(range(len(lengths)), key=lambda i: lengths[i])):
        found[i] = min(lengths[i], max(2, left // (len(lengths) - done)))
        left -= found[i]
    return found


def sampled(first: int, length: int, n: int, random: np.random.Generator) -> np.ndarray:
    """``n`` different ones of the rows [first, first + length), ascending: a simple random sample."""
    if n == length:
        return np.arange(first, first + length)
    return first + np.sort(random.choice(length, n, replace=False))


def count(reader: RowReader, terms: Terms, steps: Sequence[int], tokens: int, random: np.random.Generator) -> Counts:
    """Count terms and pairs in the rows of an order.

    Where the rows hold more than ``tokens`` tokens, a simple random sample of each interval between two steps is read, and its counts are
    scaled by the inverse of the share that was read, which is unbiased however the order is arranged. Standard errors are those of a
    stratified sample (Cochran 1977, Sampling Techniques, 2.6 and 5.4): within an interval of N rows of which n are read, the variance of
    the estimated total is N² (1 − n/N) s² / n with s² the variance of the rows' counts, and intervals add up. A term that no row of the
    sample holds need not be absent: the standard error is never below that of one occurrence in the interval with the smallest share.

    Args:
        reader: the order.
        terms: what is counted.
        steps: ascending, none repeated; step *s* has seen the rows below ``s * rows_per_step``.
        tokens: about how many tokens may be read.
        random: draws the samples.

    Raises:
        UserError: the order has fewer rows than the last step needs.
    """
    bounds = [0, *(step * reader.rows_per_step for step in steps)]
    if bounds[-1] > len(reader):
        raise UserError(f"Order '{reader.name}' has {len(reader)} rows, but step {steps[-1]} has seen {bounds[-1]}; correct the suite.")
    lengths = np.diff(bounds).tolist()
    if not len(terms):
        nothing = np.zeros((len(steps), 0))
        return Counts(list(steps), nothing, nothing, bounds[-1], 0)
    taken = shares(lengths, tokens // reader.row_tokens)
    counts, variances = np.zeros((2, len(steps), len(terms)))
    least = np.zeros(len(steps))
    with Progress(f"count in {reader.name}", sum(taken), "row") as progress:
        for i, (first, length, n) in enumerate(zip(bounds[:-1], lengths, taken, strict=True)):
            totals, squares = np.zeros((2, len(terms)), np.int64)
            for rows in _chunks(reader, sampled(first, length, n, random)):
                found = terms.count(rows, squares=n < length)
                totals += found[0]
                squares += found[1]
                progress.update(len(rows))
            counts[i] = totals
            if n < length:
                weight = length / n
                counts[i] *= weight
                least[i] = weight**2 * (1 - 1 / weight)
                variances[i] = least[i] * n * (squares - totals**2 / n) / (n - 1)
    stderr = np.sqrt(np.maximum(variances.cumsum(axis=0), np.maximum.accumulate(least)[:, None]))
    return Counts(list(steps), counts.cumsum(axis=0), stderr, bounds[-1], sum(taken))


def _chunks(reader: RowReader, rows: np.ndarray) -> Iterator[np.ndarray]:
    at_once = max(1, _CHUNK // reader.row_tokens)
    for start in range(0, len(rows), at_once):
        yield reader[rows[start : start + at_once]]
