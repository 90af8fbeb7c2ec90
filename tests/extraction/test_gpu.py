"""The same measurements on a CUDA device."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from extraction.tiny import asked, items_of
from trajectories.errors import UserError
from trajectories.extraction import run
from trajectories.extraction.model import LanguageModel, choose_device
from trajectories.extraction.run import measure

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_cuda_is_refused_where_there_is_none_and_auto_falls_back_to_the_cpu() -> None:
    with pytest.raises(UserError, match="set it to auto or cpu"):
        choose_device("cuda")
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"


@pytest.mark.gpu
@needs_cuda
def test_auto_chooses_the_device_and_cpu_stays_on_the_cpu() -> None:
    assert (choose_device("auto").type, choose_device("cpu").type) == ("cuda", "cpu")


@pytest.mark.gpu
@needs_cuda
def test_float32_on_the_device_agrees_with_the_cpu(model: LanguageModel, module: Any, sequences: list[list[int]]) -> None:
    plan = asked("logprob", "greedy", "generate", "hidden")
    items = items_of(sequences, plan, start=[max(1, len(s) // 2) for s in sequences])
    expected, states = measure(model, items, plan, 4096, "test")
    found, there = measure(LanguageModel(copy.deepcopy(module), torch.device("cuda")), items, plan, 4096, "test")
    np.testing.assert_allclose(found["logprob"].to_numpy(), expected["logprob"].to_numpy(), atol=1e-4)
    assert found["matched"].equals(expected["matched"])
    assert found["hits"].equals(expected["hits"])
    np.testing.assert_allclose(there["hidden"], states["hidden"], atol=1e-3)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_on_the_device(module: Any, sequences: list[list[int]], dtype: torch.dtype) -> None:
    plan = asked("logprob", "greedy", "generate")
    half = LanguageModel(copy.deepcopy(module).to(dtype), torch.device("cuda"))
    table, _ = measure(half, items_of(sequences, plan), plan, 4096, "test")
    assert np.isfinite(table["logprob"].to_numpy()).all()


@pytest.mark.gpu
@needs_cuda
def test_a_device_whose_memory_runs_out_is_given_smaller_batches(
    module: Any, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = LanguageModel(copy.deepcopy(module), torch.device("cuda"))
    plan = asked("logprob")
    items = items_of(sequences, plan)
    expected, _ = measure(there, items, plan, 256, "test")
    failures, pad = [], run.padded

    def large(batch: list[np.ndarray], width: int) -> np.ndarray:
        if len(batch) > 4:
            failures.append(len(batch))
            torch.empty(2**50, dtype=torch.uint8, device="cuda")  # a petabyte
        return pad(batch, width)

    monkeypatch.setattr(run, "padded", large)
    found, _ = measure(there, items, plan, 4096, "test")
    assert failures
    np.testing.assert_allclose(found["logprob"].to_numpy(), expected["logprob"].to_numpy(), atol=1e-4)
