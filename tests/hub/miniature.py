"""A miniature of a Hub suite: real (untrained) GPT-NeoX checkpoints, a tokenizer, a training order, and the suite's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from trajectories.orders.writer import INDEX, shard_names, write_order

NAME = "loopback"
MODEL = "EleutherAI/pythia-miniature"
ORDER = "EleutherAI/pile-miniature"
STEPS = [0, 1, 2, 4]
SHARDED, DUPLICATE, MISSING, PICKLED = STEPS
ROWS_PER_STEP, ROW_TOKENS, VOCABULARY = 32, 65, 320
TEXT = ["The cats that the dog sees are old.", "No teacher has ever seen herself.", "Who was Mary talking to when she left?"]


def tokenizer(folder: Path) -> Any:
    """A byte-level tokenizer whose end-of-text token has the id 0, saved as a Hub repository holds it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>", bos_token="<|endoftext|>", unk_token="<|endoftext|>")
    wrapped.save_pretrained(folder)
    return wrapped


def checkpoints(folder: Path) -> dict[str, int]:
    """Write ``step<step>`` folders below ``folder``; returns the model's sizes.

    The first has its weights in several files, the second holds the same ones, the third is absent, and the last has pickled weights only.
    """
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    total = 0
    for step in STEPS:
        if step == MISSING:
            continue
        torch.manual_seed(SHARDED if step == DUPLICATE else step)
        model = GPTNeoXForCausalLM(config)
        total = sum(p.numel() for p in model.parameters())
        path = folder / f"step{step}"
        model.save_pretrained(path, max_shard_size="5GB" if step == PICKLED else "100KB")
        if step == PICKLED:
            torch.save(model.state_dict(), path / "pytorch_model.bin")
            (path / "model.safetensors").unlink()
        tokenizer(path)
        (path / "modeling_evil.py").write_text("raise SystemExit('code from the Hub was run')")
    return {"parameters_total": total, "parameters_non_embedding": total - 2 * VOCABULARY * 32}


def order(folder: Path) -> dict[str, Path]:
    """The files of a training order of random rows, in shards of a size that no row divides."""
    rows = np.random.default_rng(5).integers(0, VOCABULARY, (STEPS[-1] * ROWS_PER_STEP, ROW_TOKENS)).astype(np.uint16)
    write_order(folder, "miniature", rows, ROWS_PER_STEP, shard_bytes=4999)
    return {p.name: p for p in sorted(folder.iterdir()) if p.name != "order.json"}


def suite(sizes: dict[str, int], shards: int) -> dict[str, Any]:
    """The suite's file, as a user would write it."""
    return {
        "title": "A miniature on the Hub",
        "description": "Untrained models of two layers.",
        "source": "hub",
        "tokenizer": MODEL,
        "orders": {
            "miniature": {
                "row_tokens": ROW_TOKENS,
                "rows": STEPS[-1] * ROWS_PER_STEP,
                "repository": ORDER,
                "index": INDEX,
                "shards": shard_names(shards),
            }
        },
        "models": [
            {
                "name": "miniature",
                "layers": 2,
                "width": 32,
                "heads": 4,
                "head_width": 8,
                "vocabulary": VOCABULARY,
                "learning_rate": 0.001,
                "rows_per_step": ROWS_PER_STEP,
                "tokens_per_step": ROWS_PER_STEP * (ROW_TOKENS - 1),
                "steps": STEPS,
                "steps_total": STEPS[-1],
                "dtype": "float32",
                "order": "miniature",
                "seed": 1,
                "repository": MODEL,
                "revision": "step{step}",
                **sizes,
            }
        ],
    }


def config(data_dir: Path, **more: Any) -> dict[str, Any]:
    """A configuration that runs both experiments on the suite within seconds."""
    return {
        "suite": NAME,
        "experiments": ["grammar", "memorization"],
        "data_dir": str(data_dir),
        "device": "cpu",
        "grammar": {"stimuli": {"pairs": 3}, "analyse": {"draws": 100, "permutations": 100, "simulations": 20}},
        "memorization": {"stimuli": {"rows": 60, "strata": 4, "k": 16, "l": 8}, "analyse": {"simulations": 40}},
        **more,
    }


def build(folder: Path) -> tuple[Path, dict[str, Path]]:
    """Make it all below ``folder``: the checkpoints' folder and the order's files; the suite's file lies in ``suites``."""
    sizes = checkpoints(folder / "checkpoints")
    files = order(folder / "order")
    (folder / "suites").mkdir()
    text = yaml.safe_dump(suite(sizes, len(files) - 1), sort_keys=False)
    (folder / "suites" / f"{NAME}.yaml").write_text(text)
    return folder / "checkpoints", files
