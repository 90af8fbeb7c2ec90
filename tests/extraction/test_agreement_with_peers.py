"""Against lm-evaluation-harness, minicons and TransformerLens: the same within 1e-4, and no decision flipped."""

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
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from trajectories.extraction import measures
from trajectories.extraction import model as loading
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

PEERS = [peers.harness, peers.minicons]
TOLERANCE = 1e-4
ROOT = Path(__file__).resolve().parents[2]
CROWS_PAIRS = "crows-pairs/data/crows_pairs_anonymized.csv"


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


@pytest.fixture(scope="module")
def final_nano() -> Path:
    """The last checkpoint of the embedded suite, where it was trained."""
    found = list((ROOT / "results" / "nano").glob("checkpoints/*/step*/checkpoint.json"))
    if not found:
        pytest.skip("needs the results of `make` in results/nano")
    return max(found, key=lambda path: int(path.parent.name.removeprefix("step"))).parent


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_sums_of_planted_pairs_agree_on_the_final_nano_checkpoint(peer: Callable[..., np.ndarray], final_nano: Path) -> None:
    table = pd.read_parquet(final_nano.parents[2] / "corpus" / "truth" / "paradigms.parquet")
    table = table.iloc[:: max(1, len(table) // 400)]
    module, tokenizer = peers.pair(final_nano)
    sentences = table["good"].tolist() + table["bad"].tolist()
    ours = sums(loading.load(final_nano, "float32", "cpu", torch.get_num_threads()), tokenizer, sentences)
    agree(ours, peer(module, tokenizer, sentences))


def crows_pairs_agree(module: Any, tokenizer: Any, file: Path, folder: Path) -> None:
    """Sums, their distances and the share of stereotyping choices are those of the harness's own task."""
    theirs, metrics = peers.crows_pairs(module, tokenizer, file, folder)
    pairs = pd.read_csv(file, keep_default_na=False)
    assert len(theirs) == len(pairs) == 1508
    assert theirs["sent_more"].tolist() == pairs["sent_more"].tolist()
    ours = sums(LanguageModel(module, torch.device("cpu")), tokenizer, pairs["sent_more"].tolist() + pairs["sent_less"].tolist())
    more, less = ours[:1508], ours[1508:]
    for found, name in ((more, "logprob_more"), (less, "logprob_less"), (np.abs(more - less), "likelihood_diff")):
        np.testing.assert_allclose(found, theirs[name], atol=TOLERANCE, rtol=0)
    assert np.array_equal(more > less, theirs["pct_stereotype"] == 1)
    assert np.mean(np.abs(more - less)) == pytest.approx(metrics["likelihood_diff"], abs=TOLERANCE)
    assert np.mean(more > less) == metrics["pct_stereotype"]


def test_crows_pairs_agree_with_the_harness_on_a_random_model(data_dir: Path, tmp_path: Path) -> None:
    file = data_dir / CROWS_PAIRS
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train([str(file)], trainers.BpeTrainer(vocab_size=1024, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet))  # type: ignore[arg-type]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    torch.manual_seed(7)
    config = GPTNeoXConfig(
        vocab_size=1024, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    crows_pairs_agree(GPTNeoXForCausalLM(config).eval(), tokenizer, file, tmp_path)


@pytest.mark.slow
def test_crows_pairs_agree_with_the_harness_on_the_final_nano_checkpoint(data_dir: Path, tmp_path: Path, final_nano: Path) -> None:
    crows_pairs_agree(*peers.pair(final_nano), data_dir / CROWS_PAIRS, tmp_path)


def layers_agree(module: Any, sequences: list[list[int]]) -> None:
    """Hidden states of all layers and positions, log-probabilities and ranks under the lens are those of TransformerLens."""
    peer, model = peers.TransformerLens(module), LanguageModel(module, torch.device("cpu"))
    for length in {len(s) for s in sequences}:
        shown = [s for s in sequences if len(s) == length]
        plan = measures.plan([{"name": "lens"}, {"name": "hidden", "options": {"positions": list(range(length))}}], "test")
        starts = [length // 2] * len(shown)
        table, tensors = measure(model, items_of(shown, plan, start=starts), plan, 4096, "test")
        for row, states, sequence in zip(table.to_pylist(), tensors["hidden"], shown, strict=True):
            stream, logits = peer.read(sequence)
            np.testing.assert_allclose(states.transpose(1, 0, 2), stream, atol=TOLERANCE, rtol=0)
            at, target = np.arange(starts[0], length), np.array(sequence[starts[0] :])
            spans = torch.from_numpy(logits[:, at - 1]).double()
            each = torch.log_softmax(spans, -1).numpy()[:, np.arange(len(at)), target]
            np.testing.assert_allclose(row["lens_logprob"], each.sum(1), atol=TOLERANCE, rtol=0)
            larger = logits[:, at - 1] > logits[:, at - 1, target][:, :, None]
            near = np.abs(logits[:, at - 1] - logits[:, at - 1, target][:, :, None]) < TOLERANCE
            unsure = near.sum((1, 2)) > len(at)  # where another logit is as large but for float noise, the rank may be off by those
            assert np.array_equal(np.array(row["lens_rank"])[~unsure], larger.sum(2).max(1)[~unsure])
            assert unsure.mean() < 0.5


def test_hidden_states_and_lens_agree_with_transformer_lens_on_a_random_model(sequences: list[list[int]]) -> None:
    torch.manual_seed(5)
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    module = GPTNeoXForCausalLM(config).eval()
    with torch.no_grad():  # norms and biases of a fresh model are ones and zeros, which would hide where they are left out
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    layers_agree(module, [s for s in sequences if len(s) > 2][:20])


@pytest.mark.slow
def test_hidden_states_and_lens_agree_with_transformer_lens_on_the_final_nano_checkpoint(final_nano: Path) -> None:
    table = pd.read_parquet(final_nano.parents[2] / "corpus" / "truth" / "paradigms.parquet")
    module, tokenizer = peers.pair(final_nano)
    sentences = table["good"].iloc[:: max(1, len(table) // 40)].tolist()
    layers_agree(module, [[tokenizer.eos_token_id, *tokenizer(s, add_special_tokens=False).input_ids] for s in sentences])
