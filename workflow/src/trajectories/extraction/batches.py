"""Batches: items of like length together, within a budget of memory, halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trajectories.errors import UserError


def by_length(length: np.ndarray, *then: np.ndarray) -> np.ndarray:
    """Items sorted by length, longest first, then by ``then`` and by place in the table: a fixed order, so batches are reproducible."""
    return np.lexsort((*reversed(then), -length))


def padded(sequences: Sequence[np.ndarray], width: int) -> np.ndarray:
    """The sequences as int64 [items, width], filled up on the right with id 0.

    Under causal attention no token sees what follows it, so neither mask nor shifted positions are needed, and what stands in the filling
    cannot matter as long as nothing is read there.
    """
    found = np.zeros((len(sequences), width), np.int64)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = sequence
    return found


def take(order: np.ndarray, begin: int, cost: Callable[[np.ndarray], int], limit: int) -> np.ndarray:
    """The longest run of ``order`` from ``begin`` on whose cost stays within ``limit``, and at least one item.

    ``cost`` must not fall when a batch grows; the run's length is found by doubling and bisection.
    """
    most = len(order) - begin
    good, step = 1, 1
    while good < most and cost(order[begin : begin + min(good + step, most)]) <= limit:
        good = min(good + step, most)
        step *= 2
    while step > 1:
        step //= 2
        if good + step <= most and cost(order[begin : begin + good + step]) <= limit:
            good += step
    return order[begin : begin + good]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, the device's or the machine's, ran out (torch is not imported for it)."""
    if isinstance(error, MemoryError) or type(error).__name__ in {"OutOfMemoryError", "AcceleratorOutOfMemoryError"}:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(s in text for s in ("out of memory", "not enough memory", "can't allocate memory"))


def in_batches(
    order: np.ndarray,
    cost: Callable[[np.ndarray], int],
    limit: int,
    work: Callable[[np.ndarray], None],
    release: Callable[[], None] = lambda: None,
) -> int:
    """Call ``work`` on batches that cover ``order``; when memory runs out, halve the limit for the rest and try again.

    Args:
        order: items, those of like length beside each other.
        cost: what a batch costs, in the unit of ``limit``; it must not fall when a batch grows.
        limit: the most that a batch may cost; a single item is tried whatever it costs.
        work: takes the items of one batch; may be called again on some of them after it failed.
        release: called after memory ran out, to give back what can be given back.

    Returns:
        The limit that held in the end.

    Raises:
        UserError: not even a single item fits.
    """
    begin = 0
    while begin < len(order):
        batch = take(order, begin, cost, limit)
        try:
            work(batch)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            failed, reason = True, str(error).splitlines()[0] if str(error) else "no reason given"
        else:
            failed, reason = False, ""
        if failed:  # outside the handler, whose traceback would keep the batch's tensors alive
            release()
            if len(batch) == 1:
                raise UserError(f"Memory ran out on a single item ({reason}); choose a device with more memory, or shorter sequences.")
            limit = max(1, min(limit, cost(batch)) // 2)
            continue
        begin += len(batch)
    return limit
