"""Batches within a budget, and what happens when memory runs out all the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from extraction.tiny import asked, items_of
from trajectories.errors import UserError
from trajectories.extraction.batches import by_length, in_batches, out_of_memory, take
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure

LENGTH = np.array([3, 9, 9, 1, 5, 7, 2, 8])
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")


def cost(batch: np.ndarray) -> int:
    return len(batch) * int(LENGTH[batch].max())


def test_batches_hold_as_many_items_as_the_budget_allows_longest_first() -> None:
    order = by_length(LENGTH)
    assert LENGTH[order].tolist() == [9, 9, 8, 7, 5, 3, 2, 1]
    assert order[:2].tolist() == [1, 2]
    for limit in range(1, 80):
        for begin in range(len(order)):
            batch = take(order, begin, cost, limit)
            assert len(batch) == 1 or cost(batch) <= limit
            longer = order[begin : begin + len(batch) + 1]
            assert len(longer) == len(batch) or cost(longer) > limit


@pytest.mark.parametrize("error", [CUDA, CPU, MemoryError()])
def test_batches_are_halved_until_they_fit_and_every_item_is_done_once(error: Exception) -> None:
    done: list[int] = []
    sizes: list[int] = []
    released: list[int] = []

    def work(batch: np.ndarray) -> None:
        sizes.append(cost(batch))
        if cost(batch) > 10:
            raise error
        done.extend(batch.tolist())

    limit = in_batches(by_length(LENGTH), cost, 72, work, lambda: released.append(1))
    assert sorted(done) == list(range(8))
    assert sizes[:4] == [72, 36, 18, 9]
    assert len(released) == 3
    assert limit == 9


def test_a_single_item_that_does_not_fit_is_a_clear_error() -> None:
    def work(batch: np.ndarray) -> None:
        if 1 in batch:
            raise CUDA

    with pytest.raises(UserError, match=r"single item \(CUDA out of memory.*choose a device with more memory"):
        in_batches(by_length(LENGTH), cost, 72, work)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def work(batch: np.ndarray) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        in_batches(by_length(LENGTH), cost, 72, work)
    assert not out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("method", ["read", "next"])
def test_measurements_come_out_the_same_when_memory_runs_out(
    model: LanguageModel, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    plan = asked("logprob", "greedy", "generate")
    items = items_of(sequences[:16], plan, start=[max(1, len(s) // 2) for s in sequences[:16]])
    expected, _ = measure(model, items, plan, 4096, "test")
    whole = getattr(LanguageModel, method)
    failures = []

    def small(self: LanguageModel, ids: torch.Tensor, *more: object, **options: object) -> object:
        if len(ids) > 2:
            failures.append(len(ids))
            raise CUDA
        return whole(self, ids, *more, **options)

    monkeypatch.setattr(LanguageModel, method, small)
    found, _ = measure(model, items, plan, 4096, "test")
    assert failures
    assert found["matched"].equals(expected["matched"])
    assert found["hits"].equals(expected["hits"])
    np.testing.assert_allclose(found["logprob"].to_numpy(), expected["logprob"].to_numpy(), atol=1e-5)
