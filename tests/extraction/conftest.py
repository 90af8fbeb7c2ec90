"""A tiny GPT-NeoX with random weights, as a module, as a checkpoint with its manifest, and stimuli for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extraction.tiny import VOCABULARY, Place
from trajectories.extraction.model import LanguageModel
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM


@pytest.fixture(scope="session")
def module() -> Any:
    """A random model whose logits differ enough that no decision hangs on float noise."""
    torch.manual_seed(1)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    found = GPTNeoXForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    return found


@pytest.fixture(scope="session")
def model(module: Any) -> LanguageModel:
    return LanguageModel(module, torch.device("cpu"))


@pytest.fixture
def place(tmp_path: Path, module: Any) -> Place:
    """A results folder with the model as a trained checkpoint."""
    found = Place(tmp_path)
    found.save(module, 0)
    return found


@pytest.fixture(scope="session")
def sequences() -> list[list[int]]:
    """Sequences of many lengths, each after the end-of-text token."""
    generator = np.random.default_rng(3)
    return [[0, *generator.integers(1, VOCABULARY, n).tolist()] for n in generator.integers(1, 40, 60)]
