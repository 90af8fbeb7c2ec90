"""The logit lens and the choice of rows, against one sequence and one layer at a time."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from extraction.tiny import VOCABULARY, Place, asked, items_of, table_of
from safetensors.numpy import load_file
from trajectories.errors import UserError
from trajectories.extraction import measures, run
from trajectories.extraction.lens import of_targets
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def by_hand(module: Any, norm: Any, sequence: list[int], start: int, end: int) -> tuple[list[float], list[int]]:
    """Sum of log-probabilities and worst rank over a span, by layer, from one sequence alone."""
    with torch.no_grad():
        states = module(torch.tensor([sequence]), output_hidden_states=True).hidden_states
    sums, worst = [], []
    for layer, state in enumerate(states):
        with torch.no_grad():
            logits = module.get_output_embeddings()(state[0] if layer == len(states) - 1 else norm(state[0]))
        total, ranks = 0.0, []
        for place in range(start, end):
            row = logits[place - 1].float()
            total += float(torch.log_softmax(row, -1)[sequence[place]])
            order = sorted(range(len(row)), key=lambda i: (-float(row[i]), i))
            ranks.append(order.index(sequence[place]))
        sums.append(total)
        worst.append(max(ranks))
    return sums, worst


@pytest.mark.parametrize("tokens", [1, 64, 100_000])
def test_every_layer_agrees_with_norm_and_head_applied_by_hand(
    model: LanguageModel, module: Any, sequences: list[list[int]], tokens: int
) -> None:
    starts = [max(1, len(s) // 2) for s in sequences]
    plan = asked("logprob", "lens")
    table, _ = measure(model, items_of(sequences, plan, start=starts), plan, tokens, "test")
    assert table.schema.field("lens_logprob").type == pa.list_(pa.float32())
    assert table.schema.field("lens_rank").type == pa.list_(pa.int32())
    for row, sequence, start in zip(table.to_pylist(), sequences, starts, strict=True):
        sums, worst = by_hand(module, module.gpt_neox.final_layer_norm, sequence, start, len(sequence))
        np.testing.assert_allclose(row["lens_logprob"], sums, rtol=1e-6, atol=1e-4)
        assert row["lens_rank"] == worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_last_layer_is_the_model_itself(module: Any, sequences: list[list[int]], dtype: torch.dtype) -> None:
    own = LanguageModel(copy.deepcopy(module).to(dtype), torch.device("cpu"))
    plan = asked("logprob", "greedy", "lens", layers=[-1])
    found = measure(own, items_of(sequences, plan), plan, 512, "test")[0].to_pandas()
    np.testing.assert_array_equal(np.concatenate(found["lens_logprob"]), found["logprob"].astype(np.float32))
    np.testing.assert_array_equal(np.concatenate(found["lens_rank"]) == 0, found["memorized"])


def test_the_model_itself_is_not_changed_by_looking_through_the_lens(model: LanguageModel, sequences: list[list[int]]) -> None:
    alone, both = asked("logprob"), asked("logprob", "lens")
    expected, _ = measure(model, items_of(sequences, alone), alone, 512, "test")
    found, _ = measure(model, items_of(sequences, both), both, 512, "test")
    assert found["logprob"].equals(expected["logprob"])


def test_results_do_not_depend_on_batches_nor_on_the_order_of_items(model: LanguageModel, sequences: list[list[int]]) -> None:
    plan = asked("lens", layers=[2, 0], rows="chosen")
    chosen = [i % 3 != 1 for i in range(len(sequences))]
    one, many = (measure(model, items_of(sequences, plan, chosen=chosen), plan, n, "test")[0].to_pylist() for n in (1, 4096))
    back = measure(model, items_of(sequences[::-1], plan, chosen=chosen[::-1]), plan, 300, "test")[0].to_pylist()[::-1]
    for other in (many, back):
        for a, b, asked_for in zip(one, other, chosen, strict=True):
            if asked_for:
                np.testing.assert_allclose(a["lens_logprob"], b["lens_logprob"], rtol=1e-6, atol=1e-4)
                assert a["lens_rank"] == b["lens_rank"]
            else:
                assert a["lens_logprob"] is a["lens_rank"] is b["lens_logprob"] is b["lens_rank"] is None


def test_large_vocabularies_are_looked_at_in_blocks(
    model: LanguageModel, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = asked("lens")
    items = items_of(sequences, plan)
    expected, _ = measure(model, items, plan, 4096, "test")
    rows: list[int] = []
    unembed = LanguageModel.unembed
    monkeypatch.setattr(LanguageModel, "unembed", lambda self, states: rows.append(len(states)) or unembed(self, states))
    monkeypatch.setattr(run, "BLOCK", 5 * VOCABULARY)
    found, _ = measure(model, items, plan, 4096, "test")
    assert max(rows) == 5
    assert sum(rows) == 3 * int(items.span.sum()), "positions of spans and no others, at all layers but the last"
    assert found["lens_rank"].equals(expected["lens_rank"])


def test_only_chosen_rows_are_shown_where_nothing_else_is_asked(
    model: LanguageModel, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, bool]] = []
    read = LanguageModel.read

    def noted(self: LanguageModel, ids: torch.Tensor, wanted: torch.Tensor, hidden: bool = False) -> Any:
        shown.append((len(ids), hidden))
        return read(self, ids, wanted, hidden)

    monkeypatch.setattr(LanguageModel, "read", noted)
    chosen = [i in (4, 7, 20) for i in range(len(sequences))]
    for names in (("lens",), ("hidden",)):
        plan = asked(*names, rows="chosen")
        done: list[int] = []
        measure(model, items_of(sequences, plan, chosen=chosen), plan, 4096, "test", done.append)
        assert sum(n for n, _ in shown) == 3
        assert sum(done) == len(sequences)
        shown.clear()
    plan = asked("logprob", "lens", rows="chosen")
    measure(model, items_of(sequences, plan, chosen=chosen), plan, 4096, "test")
    assert sum(n for n, hidden in shown if hidden) == 3
    assert sum(n for n, _ in shown) == len(sequences)


def test_hidden_states_of_chosen_rows_are_those_of_all_rows_in_order(model: LanguageModel, sequences: list[list[int]]) -> None:
    every, some = asked("logprob", "hidden"), asked("logprob", "lens", "hidden", rows="chosen", positions="at")
    chosen = [len(s) > 9 and i % 2 == 0 for i, s in enumerate(sequences)]
    places = [len(s) - 1 if c else 999 for s, c in zip(sequences, chosen, strict=True)]  # never looked at where not chosen
    _, expected = measure(model, items_of(sequences, every), every, 512, "test")
    _, found = measure(model, items_of(sequences, some, chosen=chosen, at=places), some, 512, "test")
    assert found["hidden"].shape == (sum(chosen), 1, 4, 32)
    np.testing.assert_allclose(found["hidden"], expected["hidden"][chosen], atol=2e-5)


def test_no_row_chosen_gives_nothing_and_no_error(model: LanguageModel, sequences: list[list[int]]) -> None:
    plan = measures.plan([{"name": n, "options": {"rows": "chosen"}} for n in ("lens", "hidden")], "test")
    table, tensors = measure(model, items_of(sequences, plan, chosen=[False] * len(sequences)), plan, 512, "test")
    assert table["lens_logprob"].null_count == table["lens_rank"].null_count == len(sequences)
    assert tensors["hidden"].shape == (0, 1, 4, 32)


def test_the_lowest_id_comes_first_among_equals() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0, 3.0]] * 5)
    logprob, rank = of_targets(logits, torch.arange(5))
    assert rank.tolist() == [3, 0, 1, 4, 2]
    np.testing.assert_allclose(logprob, torch.log_softmax(logits[0], -1), atol=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_norm_and_head_are_found_in_other_models(kind: str, sequences: list[list[int]]) -> None:
    torch.manual_seed(2)
    if kind == "gpt2":
        other: Any = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=64)).eval()
        norm = other.transformer.ln_f
    else:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        other = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=64, **sizes)).eval()
        norm = other.model.norm
    with torch.no_grad():  # a norm of ones would pass for a normalization of any kind
        norm.weight.uniform_(0.2, 3)
    plan = asked("lens")
    table, _ = measure(LanguageModel(other, torch.device("cpu")), items_of(sequences, plan), plan, 256, "test")
    for row, sequence in zip(table.to_pylist(), sequences, strict=True):
        sums, worst = by_hand(other, norm, sequence, 1, len(sequence))
        np.testing.assert_allclose(row["lens_logprob"], sums, rtol=1e-6, atol=1e-4)
        assert row["lens_rank"] == worst


def test_a_model_whose_logits_are_more_than_norm_and_head_is_refused(module: Any) -> None:
    capped = copy.deepcopy(module)
    capped.register_forward_hook(lambda _, __, out: setattr(out, "logits", torch.tanh(out.logits)) or out)
    plan = asked("lens")
    with pytest.raises(UserError, match="logit lens needs"):
        measure(LanguageModel(capped, torch.device("cpu")), items_of([[0, 1, 2]], plan), plan, 64, "test")


def test_the_choice_of_rows_layers_and_measure_is_part_of_the_stores_key(place: Place, sequences: list[list[int]]) -> None:
    chosen = [i % 2 == 0 for i in range(len(sequences))]

    def kept(column: list[bool], *requests: dict[str, Any]) -> int:
        place.show("knowledge", table_of(sequences, chosen=column), list(requests))
        place.extract("knowledge")
        return len(list(place.layout.store.glob("*/entry.json")))

    lens, hidden = ({"name": n, "options": {"rows": "chosen"}} for n in ("lens", "hidden"))
    assert kept(chosen, lens) == 1
    assert kept(chosen, lens) == 1
    assert kept([not c for c in chosen], lens) == 2
    assert kept(chosen, hidden) == 3
    assert kept([not c for c in chosen], hidden) == 4
    assert kept(chosen, {"name": "lens", "options": {"rows": "chosen", "layers": [0]}}) == 5


def test_an_interrupted_measurement_leaves_nothing_and_the_next_one_is_whole(
    place: Place, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [{"name": n, "options": {"rows": "chosen"}} for n in ("lens", "hidden")]
    place.show("knowledge", table_of(sequences, chosen=[i < 9 for i in range(len(sequences))]), requests)
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModel, "unembed", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            place.extract("knowledge")
    assert not list(place.layout.store.glob("*/entry.json"))
    found = place.extract("knowledge")
    assert found["lens_rank"].notna().tolist() == [i < 9 for i in range(len(sequences))]
    path: Path = place.layout.tensor("tiny-a", 0, "knowledge", "hidden")
    assert load_file(path)["hidden"].shape == (9, 1, 4, 32)


def test_numbers_that_are_none_are_refused_in_the_lens_too(module: Any) -> None:
    broken = copy.deepcopy(module)
    with torch.no_grad():
        broken.gpt_neox.embed_in.weight[2, 0] = float("nan")
    plan = asked("lens", layers=[0])
    with pytest.raises(UserError, match="no finite numbers"):
        measure(LanguageModel(broken, torch.device("cpu")), items_of([[0, 2, 2]], plan), plan, 64, "test")


@pytest.mark.parametrize("name", ["lens", "hidden"])
def test_what_cannot_be_chosen_is_refused(name: str, model: LanguageModel) -> None:
    with pytest.raises(UserError, match=f"'{name}' is asked for in the rows that column 'some' chooses, which the stimuli lack"):
        items_of([[0, 1]], asked(name, rows="some"))
    for column in ([1], ["yes"], pa.array([None], pa.bool_())):
        with pytest.raises(UserError, match="'some' should hold true or false in every row"):
            items_of([[0, 1]], asked(name, rows="some"), some=column)
    for options, option in (
        ({"rows": 3}, "rows"),
        ({"layers": []}, "layers"),
        ({"layers": "last"}, "layers"),
        ({"layers": [0.5]}, "layers"),
    ):
        with pytest.raises(UserError, match=f"option '{option}' of measure '{name}' should be"):
            asked(name, **options)
    plan = asked(name, layers=[9])
    with pytest.raises(UserError, match=f"'{name}' asks for layer 9"):
        measure(model, items_of([[0, 1]], plan), plan, 64, "test")
