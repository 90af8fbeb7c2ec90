"""Labels of sampled rows at every checkpoint of the embedded suite, against transformers' own ``generate``, token by token.

All rows at each model's last checkpoint; an eighth at the others, another one at each, or all with ``TRAJECTORIES_LABELS=all``.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trajectories import tables
from trajectories.layout import Layout
from trajectories.suites import load_suite

NANO = Layout(Path(__file__).resolve().parents[2] / "results" / "nano")
CHECKPOINTS = [(m.name, step) for m in load_suite("nano").models for step in m.all_steps]
SURE = 1e-5
"""Logits this close may change places between two float32 computations of the same sum; labels with a wider margin must agree."""
BATCH = 256
SHARE = 1 if os.environ.get("TRAJECTORIES_LABELS") == "all" else 8
LAST = {m.name: m.all_steps[-1] for m in load_suite("nano").models}


@cache
def shown(first: int, every: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """The names of every so many-th item, the distinct prompts, which of them each item has, and the tokens that should follow."""
    table = tables.read_table(NANO.stimuli("memorization"), ["item_id", "input_ids", "start", "end"])
    start, end = int(table["start"].iloc[0]), int(table["end"].iloc[0])
    assert (table["start"] == start).all()
    assert (table["end"] == end).all()
    table = table.iloc[first::every]
    ids = np.stack(table["input_ids"].tolist()).astype(np.int64)
    prompts, which = np.unique(ids[:, :start], axis=0, return_inverse=True)
    return table["item_id"].tolist(), prompts, which.reshape(-1), ids[:, start:end]


def generated(module: Any, prompts: np.ndarray, n: int) -> np.ndarray:
    """Greedy continuations as transformers makes them, int64 [prompts, n]; end-of-text stops nothing."""
    import torch

    parts = []
    with torch.inference_mode():
        for begin in range(0, len(prompts), BATCH):
            part = torch.from_numpy(prompts[begin : begin + BATCH])
            out = module.generate(
                part, attention_mask=torch.ones_like(part), do_sample=False, max_new_tokens=n, eos_token_id=None, pad_token_id=0
            )
            parts.append(out[:, part.shape[1] :].numpy())
    return np.concatenate(parts)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "step"), CHECKPOINTS, ids=[f"{model}-{step}" for model, step in CHECKPOINTS])
def test_labels_of_a_checkpoint_equal_plain_generation(model: str, step: int) -> None:
    path = NANO.measurement(model, step, "memorization")
    if not path.is_file():
        pytest.skip("needs the results of `make` in results/nano")
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    module = AutoModelForCausalLM.from_pretrained(NANO.checkpoint(model, step), dtype="float32").eval()
    names, prompts, which, expected = shown(0, 1) if step == LAST[model] else shown(CHECKPOINTS.index((model, step)) % SHARE, SHARE)
    right = generated(module, prompts, expected.shape[1])[which] == expected
    matched = np.where(right.all(axis=1), right.shape[1], right.argmin(axis=1))
    labels = tables.read_table(path).set_index("item_id").loc[names]
    sure = labels["min_margin"].to_numpy() > SURE
    agree = (labels["matched"].to_numpy() == matched) & (labels["memorized"].to_numpy() == right.all(axis=1))
    assert agree[sure].all()
    assert (labels["memorized"].to_numpy() == (labels["matched"].to_numpy() == right.shape[1])).all()
    # of the few that float noise could decide either way, most agree; beyond the first error decoding has margins of its own
    same = (np.stack(labels["hits"].tolist()) == right).all(axis=1)
    assert (~sure).sum() <= 10
    assert (~agree).sum() <= 2
    assert (~same).sum() <= 5
    assert np.allclose(labels["score"].to_numpy()[same], right.mean(axis=1)[same], rtol=0, atol=1e-12)
