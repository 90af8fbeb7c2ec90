"""Sums of log-probabilities against lm-evaluation-harness and minicons: the same within 1e-4 nats, and no decision flipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from extraction import peers
from extraction.tiny import VOCABULARY, asked, items_of
from tokenizers import Tokenizer, models, pre_tokenizers
from trajectories.extraction import model as loading
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure
from transformers import PreTrainedTokenizerFast

PEERS = [peers.harness, peers.minicons]
TOLERANCE = 1e-4


def sums(model: LanguageModel, tokenizer: Any, sentences: list[str]) -> np.ndarray:
    """Ours, as the experiments ask for it: the whole sentence after one end-of-text token."""
    plan = asked("logprob")
    shown = [[tokenizer.eos_token_id, *tokenizer(s, add_special_tokens=False).input_ids] for s in sentences]
    table, _ = measure(model, items_of(shown, plan), plan, 16384, "test")
    return table["logprob"].to_numpy()


def agree(ours: np.ndarray, theirs: np.ndarray) -> None:
    """The sums agree, and so does which sentence of each pair (first and second half) is the likelier one."""
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)
    half = len(ours) // 2
    assert np.array_equal(ours[:half] > ours[half:], theirs[:half] > theirs[half:])


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """One token per word ``w0`` … ``w96``; ``w0`` stands for end-of-text."""
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, "w1"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="w0", eos_token="w0", pad_token="w0")


@pytest.mark.parametrize("peer", PEERS)
def test_sums_of_random_sentences_agree(
    peer: Callable[..., np.ndarray], model: LanguageModel, module: Any, tokenizer: Any, sequences: list[list[int]]
) -> None:
    sentences = [" ".join(f"w{i}" for i in s[1:]) for s in sequences]
    agree(sums(model, tokenizer, sentences), peer(module, tokenizer, sentences))


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_sums_of_planted_pairs_agree_on_the_final_nano_checkpoint(peer: Callable[..., np.ndarray]) -> None:
    root = Path(__file__).resolve().parents[2] / "results" / "nano"
    found = sorted(root.glob("checkpoints/*/step*/checkpoint.json"), key=lambda p: int(p.parent.name.removeprefix("step")))
    pairs = root / "corpus" / "truth" / "paradigms.parquet"
    if not found or not pairs.is_file():
        pytest.skip("needs the results of `make` in results/nano")
    table = pd.read_parquet(pairs)
    table = table.iloc[:: max(1, len(table) // 400)]
    module, tokenizer = peers.pair(found[-1].parent)
    sentences = table["good"].tolist() + table["bad"].tolist()
    ours = sums(loading.load(found[-1].parent, "float32", "cpu", torch.get_num_threads()), tokenizer, sentences)
    agree(ours, peer(module, tokenizer, sentences))
