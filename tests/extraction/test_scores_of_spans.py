"""Log-probabilities, matches and margins of a span, against transformers used in the plainest way."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from extraction.tiny import VOCABULARY, asked, items_of
from trajectories.errors import UserError
from trajectories.extraction import run
from trajectories.extraction.measures import Scores, layers_of
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def plain(module: Any, sequence: list[int], start: int, end: int) -> torch.Tensor:
    """Float32 log-probabilities [span, vocabulary] of one sequence alone, no batch and no padding."""
    with torch.no_grad():
        logits = module(torch.tensor([sequence])).logits[0].float()
    return torch.log_softmax(logits, -1)[start - 1 : end - 1]


@pytest.mark.parametrize("tokens", [1, 64, 100_000])
def test_sums_and_tokens_agree_with_one_sequence_at_a_time(
    model: LanguageModel, module: Any, sequences: list[list[int]], tokens: int
) -> None:
    plan = asked("greedy", "logprob", token_logprobs=True)
    table, _ = measure(model, items_of(sequences, plan), plan, tokens, "test")
    for row, sequence in zip(table.to_pylist(), sequences, strict=True):
        expected = plain(module, sequence, 1, len(sequence))
        each = expected.gather(1, torch.tensor(sequence[1:])[:, None])[:, 0]
        np.testing.assert_allclose(row["token_logprobs"], each, atol=1e-5)
        assert row["logprob"] == pytest.approx(float(each.double().sum()), abs=1e-5)
        assert row["n_tokens"] == len(sequence) - 1


def test_rows_stay_in_the_order_of_the_table(model: LanguageModel, sequences: list[list[int]]) -> None:
    plan = asked("logprob")
    table, _ = measure(model, items_of(sequences, plan), plan, 256, "test")
    assert table["item_id"].to_pylist() == [f"item-{i}" for i in range(len(sequences))]
    backwards, _ = measure(model, items_of(sequences[::-1], plan), plan, 256, "test")
    np.testing.assert_allclose(table["logprob"].to_numpy(), backwards["logprob"].to_numpy()[::-1], atol=1e-5)


def test_padding_is_never_scored(model: LanguageModel, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = asked("logprob", "greedy")
    items = items_of(sequences, plan)
    with_zeros, _ = measure(model, items, plan, 4096, "test")
    pad = run.padded

    def other_filling(batch: list[np.ndarray], width: int) -> np.ndarray:
        found = pad(batch, width)
        for row, sequence in zip(found, batch, strict=True):
            row[len(sequence) :] = 55
        return found

    monkeypatch.setattr(run, "padded", other_filling)
    with_others, _ = measure(model, items, plan, 4096, "test")
    assert with_zeros.equals(with_others)


def test_results_do_not_depend_on_the_size_of_batches(model: LanguageModel, sequences: list[list[int]]) -> None:
    plan = asked("logprob", "greedy", "generate")
    starts = [max(1, len(s) // 2) for s in sequences]
    items = items_of(sequences, plan, start=starts)
    one, many = (measure(model, items, plan, tokens, "test")[0].to_pandas() for tokens in (1, 4096))
    for column in ("matched", "memorized", "n_tokens", "score"):
        assert one[column].equals(many[column])
    np.testing.assert_allclose(one["logprob"], many["logprob"], atol=1e-5)
    np.testing.assert_allclose(one["min_margin"], many["min_margin"], atol=1e-5)


def test_a_span_is_scored_given_all_that_stands_before_it(model: LanguageModel, module: Any, sequences: list[list[int]]) -> None:
    long = [s for s in sequences if len(s) > 12]
    plan = asked("logprob")
    table, _ = measure(model, items_of(long, plan, start=5, end=[9] * len(long)), plan, 512, "test")
    for found, sequence in zip(table["logprob"].to_pylist(), long, strict=True):
        each = plain(module, sequence, 5, 9).gather(1, torch.tensor(sequence[5:9])[:, None])
        assert found == pytest.approx(float(each.double().sum()), abs=1e-5)


def greedy_continuation(module: Any, prompt: list[int], n: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            tokens.append(int(module(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens


def test_matched_counts_the_tokens_before_the_first_error(model: LanguageModel, module: Any, sequences: list[list[int]]) -> None:
    prompts = [s[:6] for s in sequences if len(s) >= 6][:9]
    shown, expected = [], []
    for i, prompt in enumerate(prompts):
        tokens = greedy_continuation(module, prompt, 8)
        if i < 8:  # one error, and right again after it given the true context or not
            tokens[6 + i] = (tokens[6 + i] + 1) % VOCABULARY
        shown.append(tokens)
        expected.append(i)
    plan = asked("greedy")
    table, _ = measure(model, items_of(shown, plan, start=6), plan, 128, "test")
    assert table["matched"].to_pylist() == expected
    assert table["memorized"].to_pylist() == [False] * 8 + [True]
    for row, sequence in zip(table.to_pylist(), shown, strict=True):
        best = plain(module, sequence, 6, 14).topk(2, -1).values[: row["matched"] + 1]
        assert row["min_margin"] == pytest.approx(float((best[:, 0] - best[:, 1]).min()), abs=1e-4)


def test_the_lowest_id_wins_a_tie() -> None:
    items = items_of([[0, 3], [0, 5], [0, 2]], asked("greedy"))
    logits = torch.zeros(3, 8)
    logits[:, 3] = logits[:, 5] = 1.0
    scores = Scores.empty(items.span)
    run._score(logits, items, np.arange(3), scores, True)
    assert scores.predicted.tolist() == [3, 3, 3]
    assert scores.matched().tolist() == [1, 0, 0]
    assert scores.margin.tolist() == [0, 0, 0]


def test_log_softmax_and_argmax_are_taken_in_float32_of_half_precision_logits() -> None:
    items = items_of([[0, 1]], asked("greedy"))
    logits = torch.linspace(-3, 3, 50_000, dtype=torch.bfloat16)[None]
    scores = Scores.empty(items.span)
    run._score(logits, items, np.arange(1), scores, True)
    exact = torch.log_softmax(logits.double(), -1)[0, 1]
    assert scores.logprob[0] == pytest.approx(float(exact), abs=1e-5)
    assert abs(float(torch.log_softmax(logits, -1)[0, 1]) - float(exact)) > 1e-3  # in bfloat16 it would be off


def test_hidden_states_are_those_of_a_plain_forward_pass_in_the_tables_order(
    model: LanguageModel, module: Any, sequences: list[list[int]]
) -> None:
    plan = asked("logprob", "hidden", layers=[0, 2, 3], positions=[0, -1])
    _, tensors = measure(model, items_of(sequences, plan), plan, 200, "test")
    found = tensors["hidden"]
    assert found.shape == (len(sequences), 2, 3, 32)
    assert found.dtype == np.float32
    for row, sequence in zip(found, sequences, strict=True):
        with torch.no_grad():
            states = module(torch.tensor([sequence]), output_hidden_states=True).hidden_states
        expected = np.stack([states[layer][0, [0, -1]].numpy() for layer in (0, 2, 3)], axis=1)
        np.testing.assert_allclose(row, expected, atol=2e-5)


@pytest.mark.parametrize(("wanted", "layers"), [(2, [0, 3]), (3, [0, 2, 3]), (9, [0, 1, 2, 3])])
def test_so_many_layers_are_spread_evenly_from_the_first_to_the_last(
    model: LanguageModel, sequences: list[list[int]], wanted: int, layers: list[int]
) -> None:
    spread, named = asked("hidden", layers=wanted), asked("hidden", layers=layers)
    found, expected = (measure(model, items_of(sequences, plan), plan, 4096, "test")[1]["hidden"] for plan in (spread, named))
    np.testing.assert_array_equal(found, expected)
    assert layers_of(36, 9) == [0, 4, 9, 14, 18, 22, 27, 32, 36]


def test_hidden_states_of_a_model_in_float16_lose_nothing_in_float16(module: Any, sequences: list[list[int]]) -> None:
    half = copy.deepcopy(module).half()
    plan = asked("hidden")
    found = measure(LanguageModel(half, torch.device("cpu")), items_of(sequences[:3], plan), plan, 1, "test")[1]["hidden"]
    assert found.dtype == np.float16
    for row, sequence in zip(found, sequences[:3], strict=True):
        with torch.no_grad():
            states = half(torch.tensor([sequence]), output_hidden_states=True).hidden_states
        np.testing.assert_array_equal(row[0], np.stack([layer[0, -1].numpy() for layer in states]))


def test_positions_of_hidden_states_may_stand_in_a_column(model: LanguageModel, sequences: list[list[int]]) -> None:
    fixed = asked("hidden", positions=[1], layers="all")
    named = asked("hidden", positions="noun", layers="all")
    _, expected = measure(model, items_of(sequences, fixed), fixed, 4096, "test")
    _, found = measure(model, items_of(sequences, named, noun=[1] * len(sequences)), named, 4096, "test")
    assert found["hidden"].shape[1:] == (1, 4, 32)
    np.testing.assert_array_equal(found["hidden"], expected["hidden"])


def test_the_last_position_is_the_sequences_own_last_token(model: LanguageModel, sequences: list[list[int]]) -> None:
    last, minus = asked("hidden"), asked("hidden", positions=[-1])
    _, one = measure(model, items_of(sequences, last), last, 4096, "test")
    _, other = measure(model, items_of(sequences, minus), minus, 4096, "test")
    np.testing.assert_array_equal(one["hidden"], other["hidden"])


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_other_causal_language_models_are_measured_alike(kind: str, sequences: list[list[int]]) -> None:
    torch.manual_seed(2)
    if kind == "gpt2":
        other: Any = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=64)).eval()
    else:
        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
        )
        other = LlamaForCausalLM(config).eval()
    plan = asked("logprob")
    table, _ = measure(LanguageModel(other, torch.device("cpu")), items_of(sequences, plan), plan, 256, "test")
    for found, sequence in zip(table["logprob"].to_pylist(), sequences, strict=True):
        each = plain(other, sequence, 1, len(sequence)).gather(1, torch.tensor(sequence[1:])[:, None])
        assert found == pytest.approx(float(each.double().sum()), abs=1e-5)


def test_a_model_that_cannot_select_positions_gives_the_same(module: Any, sequences: list[list[int]]) -> None:
    plan = asked("logprob", "greedy", "generate")
    items = items_of(sequences, plan)
    expected, _ = measure(LanguageModel(module, torch.device("cpu")), items, plan, 256, "test")
    whole = LanguageModel(module, torch.device("cpu"))
    whole._selects = False
    found, _ = measure(whole, items, plan, 256, "test")
    np.testing.assert_allclose(found["logprob"].to_numpy(), expected["logprob"].to_numpy(), atol=1e-5)
    assert found["hits"].equals(expected["hits"])


def test_half_precision_is_near_and_recorded_by_its_name(module: Any, model: LanguageModel, sequences: list[list[int]]) -> None:
    import copy

    half = LanguageModel(copy.deepcopy(module).to(torch.bfloat16), torch.device("cpu"))
    assert (half.dtype, model.dtype) == ("bfloat16", "float32")
    plan = asked("logprob")
    items = items_of(sequences, plan)
    exact, _ = measure(model, items, plan, 256, "test")
    rough, _ = measure(half, items, plan, 256, "test")
    difference = np.abs(exact["logprob"].to_numpy() - rough["logprob"].to_numpy())
    assert 1e-4 < difference.max() < 0.05 * np.abs(exact["logprob"].to_numpy()).max()


def test_ids_beyond_the_vocabulary_are_refused(model: LanguageModel) -> None:
    plan = asked("logprob")
    with pytest.raises(UserError, match=f"token id {VOCABULARY} is outside the model's vocabulary of {VOCABULARY}"):
        measure(model, items_of([[0, VOCABULARY]], plan), plan, 64, "test")


def test_sequences_beyond_the_context_are_refused_but_a_row_with_its_last_target_fits(model: LanguageModel) -> None:
    plan = asked("logprob")
    measure(model, items_of([[1] * 65], plan), plan, 64, "test")
    with pytest.raises(UserError, match="66 tokens exceeds the model's context of 64"):
        measure(model, items_of([[1] * 66], plan), plan, 64, "test")


def test_a_layer_that_the_model_does_not_have_is_refused(model: LanguageModel) -> None:
    plan = asked("hidden", layers=[4])
    with pytest.raises(UserError, match="'hidden' asks for layer 4, but layers go from 0 to 3"):
        measure(model, items_of([[0, 1]], plan), plan, 64, "test")


def test_numbers_that_are_none_are_refused(module: Any) -> None:
    broken = copy.deepcopy(module)
    with torch.no_grad():
        broken.gpt_neox.layers[1].mlp.dense_h_to_4h.weight[0, 0] = float("nan")
    plan = asked("logprob")
    with pytest.raises(UserError, match="no finite numbers"):
        measure(LanguageModel(broken, torch.device("cpu")), items_of([[0, 1, 2]], plan), plan, 64, "test")
