"""Labels in half precision: those of float32 where the best logit leads by more than the stated gap, and the rest can be counted."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from extraction.tiny import VOCABULARY, asked, items_of
from trajectories.experiments.memorization.settings import LabelSettings
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

START, SPAN = 6, 3


@pytest.fixture(scope="module")
def ordinary() -> Any:
    """A random model whose logits lie as close to each other as a trained one's: some decisions do hang on precision."""
    torch.manual_seed(4)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=32, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    found = GPTNeoXForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
        found.lm_head.weight.mul_(3)
    return found


@pytest.fixture(scope="module")
def shown(ordinary: Any) -> list[list[int]]:
    """Prompts with the float32 model's own continuation, so that every token of the spans is a close decision or a clear one, but right."""
    prompts = torch.from_numpy(np.random.default_rng(6).integers(1, VOCABULARY, (1500, START)))
    with torch.inference_mode():
        out = ordinary.generate(
            prompts, attention_mask=torch.ones_like(prompts), do_sample=False, max_new_tokens=SPAN, eos_token_id=None, pad_token_id=0
        )
    return out.tolist()


def labels(module: Any, shown: list[list[int]]) -> pd.DataFrame:
    plan = asked("greedy")
    model = LanguageModel(module, torch.device("cpu"))
    return measure(model, items_of(shown, plan, start=START), plan, 4096, "test")[0].to_pandas()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_labels_above_the_gap_equal_those_of_float32(ordinary: Any, shown: list[list[int]], dtype: torch.dtype) -> None:
    exact = labels(ordinary, shown)
    half = labels(copy.deepcopy(ordinary).to(dtype), shown)
    gap = getattr(LabelSettings(), str(dtype).removeprefix("torch."))
    assert exact["memorized"].all()
    sure = half["min_margin"] > gap
    assert sure.mean() > 0.02, "a gap that no label passes would promise nothing"
    assert (half["matched"] == exact["matched"])[sure].all()
    differ = (half["matched"] != exact["matched"]).sum()
    assert 0 < differ <= (~sure).sum(), "what differs is among what is counted"
