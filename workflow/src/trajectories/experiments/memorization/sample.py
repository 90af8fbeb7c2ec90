"""Which rows of a training order are looked at, and where else in an order their text stands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import pandas as pd

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_CHUNK_TOKENS = 2_000_000


class Rows(Protocol):
    """What is needed of :class:`trajectories.orders.RowReader`."""

    row_tokens: int

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Tokens of rows [n, row_tokens]."""


def sample_rows(
    n_rows: int, rows_per_step: int, size: int, strata: int, generator: np.random.Generator, exclude: Collection[int] = ()
) -> np.ndarray:
    """Numbers of rows, drawn without replacement, stratified over the training order and by batch.

    The whole batches of the order are cut into equal strata; each stratum gives as many rows (up to one), and within a stratum the batches
    give as many rows as each other (up to one).

    Args:
        n_rows: rows of the order; a last batch that is not whole is left out.
        rows_per_step: rows per batch.
        size: rows wanted; fewer are returned where a batch does not have enough.
        strata: number of parts; at most one per batch.
        generator: source of randomness.
        exclude: rows that are never drawn.

    Returns:
        int64 array, ascending.
    """
    batches = n_rows // rows_per_step
    parts = _parts(batches, strata)
    if not parts:
        return np.empty(0, np.int64)
    excluded = np.fromiter(exclude, np.int64)
    chosen = []
    for part, quota in zip(parts, _shares(size, len(parts), generator), strict=True):
        for batch, take in zip(part, _shares(int(quota), len(part), generator), strict=True):
            if take:
                rows = np.setdiff1d(np.arange(batch * rows_per_step, (batch + 1) * rows_per_step), excluded)
                chosen.append(generator.choice(rows, min(int(take), len(rows)), replace=False))
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def inclusion(rows: np.ndarray, n_rows: int, rows_per_step: int, size: int, strata: int, exclude: Collection[int] = ()) -> np.ndarray:
    """Probability with which :func:`sample_rows` draws each of some rows, whatever the seed.

    Who of a stratum's batches gives one row more is drawn, and so is which strata do; the probability is the mean over these draws.

    Args:
        rows: row numbers [n]; rows outside the whole batches and excluded ones have probability 0.
        n_rows, rows_per_step, size, strata, exclude: as for :func:`sample_rows`.

    Returns:
        float64 [n].
    """
    rows = np.asarray(rows, np.int64)
    batches = n_rows // rows_per_step
    parts = _parts(batches, strata)
    if not parts:
        return np.zeros(len(rows))
    excluded = np.unique(np.fromiter(exclude, np.int64))
    excluded = excluded[(excluded >= 0) & (excluded < batches * rows_per_step)]
    there = rows_per_step - np.bincount(excluded // rows_per_step, minlength=batches)
    expected = np.zeros(batches)
    for part in parts:
        for quota, often in _rounded(size, len(parts)):
            for take, likely in _rounded(quota, len(part)):
                expected[part] += often * likely * np.minimum(take, there[part])
    possible = (rows >= 0) & (rows < batches * rows_per_step) & ~np.isin(rows, excluded)
    batch = np.where(possible, rows, 0) // rows_per_step
    return np.where(possible, expected[batch] / np.maximum(there[batch], 1), 0.0)


def either(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Probability of being drawn by at least one of two independent samples, whose inverse weights both as one (Bankier 1986,
    *J. Am. Stat. Assoc.* 81, section 2)."""
    return first + second - first * second


def _parts(batches: int, strata: int) -> list[np.ndarray]:
    """The batches of each stratum."""
    return np.array_split(np.arange(batches), min(strata, batches)) if batches else []


def _rounded(total: int, parts: int) -> tuple[tuple[int, float], tuple[int, float]]:
    """What one of the parts gets of :func:`_shares`: both amounts, with their probabilities."""
    more = total % parts / parts
    return (total // parts, 1 - more), (total // parts + 1, more)


def _shares(total: int, parts: int, generator: np.random.Generator) -> np.ndarray:
    """``total`` dealt to parts that differ by at most one; who gets one more is drawn."""
    shares = np.full(parts, total // parts)
    shares[generator.choice(parts, total % parts, replace=False)] += 1
    return shares


def occurrences(reader: Rows, spans: np.ndarray) -> pd.DataFrame:
    """Every place in an order where one of the spans stands, at any offset within a row.

    A rolling hash modulo 2⁶⁴ finds candidates, which are then compared token by token. Copies that run over the end of a row are not seen
    in one piece in training, and are not counted.

    Args:
        reader: the order; it is read whole, some million tokens at a time.
        spans: tokens [n, length].

    Returns:
        Columns ``span`` (number of the span), ``row`` and ``offset``, ascending by row; a span given twice is found twice.
    """
    spans = np.asarray(spans, np.uint16)
    length = spans.shape[1] if spans.ndim == 2 else 0
    if not len(spans) or length > reader.row_tokens:
        return pd.DataFrame({"span": [], "row": [], "offset": []}, dtype="int64")
    distinct, group = np.unique(spans, axis=0, return_inverse=True)
    hashes = _hash(distinct, length)[:, 0]
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    found = []
    rows_at_once = max(1, _CHUNK_TOKENS // reader.row_tokens)
    for first in range(0, len(reader), rows_at_once):
        tokens = reader[np.arange(first, min(first + rows_at_once, len(reader)))]
        hashed = _hash(tokens, length)
        row, offset = np.nonzero(np.isin(hashed, ordered))
        value = hashed[row, offset]
        low, high = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
        # two spans with one hash are next to impossible, but then both are candidates
        which = np.repeat(np.arange(len(row)), high - low)
        candidate = order[np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)]).astype(np.int64)] if len(row) else which
        row, offset = row[which], offset[which]
        same = (tokens[row[:, None], offset[:, None] + np.arange(length)] == distinct[candidate]).all(axis=1)
        found.append(pd.DataFrame({"distinct": candidate[same], "row": row[same] + first, "offset": offset[same]}))
    places = pd.concat(found, ignore_index=True)
    members = pd.DataFrame({"span": np.arange(len(spans)), "distinct": group.reshape(-1)})
    joined = members.merge(places, on="distinct")[["span", "row", "offset"]].astype("int64")
    return joined.sort_values(["row", "offset", "span"], ignore_index=True)


def _hash(tokens: np.ndarray, length: int) -> np.ndarray:
    """Hash of every window [rows, row_tokens − length + 1]; arithmetic modulo 2⁶⁴."""
    # tokens are spread over 64 bits first (the finaliser of splitmix64), so that small ids do not collide
    value = tokens.astype(np.uint64) + np.uint64(0x632BE59BD9B4E019)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    width = tokens.shape[1] - length + 1
    result = np.zeros((len(tokens), width), np.uint64)
    for i in range(length):
        result = result * _FACTOR + value[:, i : i + width]
    return result
