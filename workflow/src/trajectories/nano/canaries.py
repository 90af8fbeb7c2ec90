"""Canaries: random token sequences whose numbers of copies and times in training are set by a randomized design.

The centre of a canary's window is independent of its number of copies and of its content: within each number of copies the range of
possible windows is cut into as many strata as there are canaries, each stratum gets one canary by lot, and the window lies uniformly
within it. All windows have the same width and lie wholly within training, so centres are uniform over [w/2, T − w/2], T being the steps
of a run.

Some canaries are never planted. Their content is drawn like that of the others but from a generator of their own, so that the corpus is
the same whatever their number.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.errors import UserError
from trajectories.nano.planted import generator
from trajectories.nano.settings import Training


def design(training: Training) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the canaries and place their copies.

    Returns:
        The canaries: ``canary_id, input_ids`` (list of int), ``repetitions``, ``window_start, window_end`` (half-open, steps) and
        ``window_centre``, the windows absent where ``repetitions`` is 0; and their copies: ``canary_id, row, offset``, at most one copy
        in a row, where ``row`` is the row's number in the standard order.

    Raises:
        UserError: a window has too few rows without another copy.
    """
    settings, rows_per_step = training.canaries, training.rows_per_step
    content = generator(training.seed, "canary content")
    alphabet = content.permutation(np.arange(1, training.vocabulary))[: settings.alphabet]  # never the end-of-text token
    times = generator(training.seed, "canary windows")
    table: list[tuple[str, list[int], int, int | None, int | None]] = []
    for repetitions, count in sorted(settings.counts.items()):
        starts = training.steps - settings.window + 1
        drawn = np.floor((times.permutation(count) + times.random(count)) / max(count, 1) * starts).astype(int)
        for start in drawn:
            tokens = content.choice(alphabet, settings.tokens)
            table.append((f"canary{len(table):04d}", tokens.tolist(), repetitions, int(start), int(start) + settings.window))
    unplanted = generator(training.seed, "never planted canaries")
    for _ in range(settings.never):
        table.append((f"canary{len(table):04d}", unplanted.choice(alphabet, settings.tokens).tolist(), 0, None, None))
    canaries = pd.DataFrame(table, columns=["canary_id", "input_ids", "repetitions", "window_start", "window_end"])
    canaries = canaries.astype({"window_start": "Int64", "window_end": "Int64"})
    centre = (canaries["window_start"].astype("Float64") + canaries["window_end"]) / 2
    canaries["window_centre"] = centre.to_numpy(dtype=float, na_value=np.nan)
    return canaries, _place(canaries[canaries["repetitions"] > 0], training, rows_per_step)


def _place(canaries: pd.DataFrame, training: Training, rows_per_step: int) -> pd.DataFrame:
    """Lay every copy into a random row of its canary's window that holds no other copy; canaries with many copies go first."""
    random, settings = generator(training.seed, "canary rows"), training.canaries
    free = np.ones(training.rows, bool)
    found = []
    for row in canaries.sort_values("repetitions", ascending=False, kind="stable").itertuples():
        first = row.window_start * rows_per_step
        candidates = first + np.flatnonzero(free[first : row.window_end * rows_per_step])
        if len(candidates) < row.repetitions:
            raise UserError(
                f"The window of {row.canary_id} has {len(candidates)} free rows for {row.repetitions} copies; "
                "plant fewer canaries or widen 'window' in the suite."
            )
        chosen = np.sort(random.choice(candidates, row.repetitions, replace=False))
        free[chosen] = False
        longest = training.row_tokens - settings.tokens
        offsets = random.integers(longest + 1, size=len(chosen)) if settings.offset == "random" else np.full(len(chosen), settings.offset)
        found += [(row.canary_id, int(r), int(o)) for r, o in zip(chosen, offsets, strict=True)]
    return pd.DataFrame(found, columns=["canary_id", "row", "offset"]).sort_values("row", ignore_index=True)


def gram_hashes(tokens: np.ndarray, length: int) -> np.ndarray:
    """A hash of each run of ``length`` tokens: uint64 [..., n - length + 1] of integers [..., n]; equal runs have equal hashes."""
    total = np.zeros((*tokens.shape[:-1], tokens.shape[-1] - length + 1), np.uint64)
    wide = tokens.astype(np.uint64) + np.uint64(1)
    for i in range(length):
        total = total * np.uint64(0x9E3779B97F4A7C15) + wide[..., i : i + total.shape[-1]]
    return total


def incidental(canaries: pd.DataFrame, copies: pd.DataFrame, rows: np.ndarray, length: int) -> np.ndarray:
    """How many runs of ``length`` tokens of each canary occur in the corpus outside its planted copies.

    Args:
        canaries, copies: as :func:`design` returns them.
        rows: uint16 [rows, row_tokens] in the standard order.
        length: tokens of a run.

    Returns:
        int [canaries]: 0 for a canary that occurs nowhere but where it was planted.
    """
    own = gram_hashes(np.array(canaries["input_ids"].tolist()), length)  # [canaries, runs]
    hashes = gram_hashes(rows, length)
    values, counts = np.unique(hashes[np.isin(hashes, own)], return_counts=True)
    places = dict(zip(values.tolist(), counts.tolist(), strict=True))
    found = np.array([sum(places.get(value, 0) for value in set(runs.tolist())) for runs in own])
    planted = canaries["canary_id"].map(copies["canary_id"].value_counts()).fillna(0).to_numpy(int)
    return found - planted * own.shape[1]
