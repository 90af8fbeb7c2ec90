"""The embedded suite's models: GPT-NeoX as Pythia configures it, small."""

from __future__ import annotations

import math

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from trajectories.errors import UserError
from trajectories.suites import Model


def build(model: Model, context: int) -> GPTNeoXForCausalLM:
    """A freshly initialised model, in float32; the model's seed sets its weights and nothing else.

    Args:
        model: the suite's facts.
        context: longest sequence in tokens.

    Raises:
        UserError: the suite's parameter counts are not those of the model that its other facts describe.
    """
    config = GPTNeoXConfig(
        vocab_size=model.vocabulary,
        hidden_size=model.width,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        intermediate_size=4 * model.width,
        max_position_embeddings=context,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        use_parallel_residual=True,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=math.sqrt(2 / (5 * model.width)),  # Pythia's "small init" (Nguyen and Salazar 2019)
        use_cache=True,
        dtype="float32",
    )
    torch.manual_seed(model.seed if model.seed is not None else 0)
    built = GPTNeoXForCausalLM(config)
    total, other = count_parameters(built)
    if (total, other) != (model.parameters_total, model.parameters_non_embedding):
        raise UserError(
            f"Model '{model.name}' has {total} parameters, {other} of them outside the embeddings, but its suite says "
            f"{model.parameters_total} and {model.parameters_non_embedding}; correct the suite."
        )
    return built


def count_parameters(model: GPTNeoXForCausalLM) -> tuple[int, int]:
    """All parameters, and those outside the two embedding matrices (Pythia's way of counting)."""
    total = sum(p.numel() for p in model.parameters())
    return total, total - model.get_input_embeddings().weight.numel() - model.get_output_embeddings().weight.numel()
