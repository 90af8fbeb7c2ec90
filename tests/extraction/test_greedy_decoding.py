"""Free-running decoding, against transformers' own ``generate``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from extraction.tiny import VOCABULARY, asked, items_of
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure

SPAN = 12


def generated(module: Any, prompt: list[int], n: int) -> list[int]:
    """What ``generate`` makes of one prompt; it may not stop at end-of-text."""
    with torch.no_grad():
        out = module.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False, min_new_tokens=n,
            max_new_tokens=n, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    return out[0, len(prompt) :].tolist()


@pytest.fixture(scope="module")
def shown(module: Any, sequences: list[list[int]]) -> list[list[int]]:
    """Prompts of several lengths with the model's own continuation, wrong in none, one, three or half of the places."""
    generator, found = np.random.default_rng(5), []
    for i, sequence in enumerate(s for s in sequences if len(s) >= 4):
        prompt = sequence[: 4 + i % 3]
        tokens = prompt + generated(module, prompt, SPAN)
        places = {0: [], 1: [len(prompt) + SPAN - 1], 2: [len(prompt)]}.get(i % 5, generator.choice(SPAN, 3, replace=False) + len(prompt))
        if i % 5 == 4:
            places = range(len(prompt), len(tokens), 2)
        for place in places:
            tokens[place] = (tokens[place] + 1) % VOCABULARY
        found.append(tokens)
    return found


@pytest.mark.parametrize("tokens", [1, 100, 100_000])
def test_hits_equal_generates_tokens_one_by_one(model: LanguageModel, module: Any, shown: list[list[int]], tokens: int) -> None:
    plan = asked("greedy", "generate")
    starts = [len(s) - SPAN for s in shown]
    table, _ = measure(model, items_of(shown, plan, start=starts), plan, tokens, "test")
    for row, sequence, start in zip(table.to_pylist(), shown, starts, strict=True):
        expected = [a == b for a, b in zip(generated(module, sequence[:start], SPAN), sequence[start:], strict=True)]
        assert row["hits"] == expected
        assert row["score"] == pytest.approx(np.mean(expected))
        assert row["hits"][: row["matched"]] == [True] * row["matched"]
    assert len({row["score"] for row in table.to_pylist()}) > 3


def test_spans_of_different_lengths_share_a_batch(model: LanguageModel, shown: list[list[int]]) -> None:
    plan = asked("generate")
    same = [s for s in shown if len(s) == 4 + SPAN]
    ends = [len(s) - i % 7 for i, s in enumerate(same)]
    together, _ = measure(model, items_of(same, plan, start=4, end=ends), plan, 100_000, "test")
    for i, (sequence, end) in enumerate(zip(same, ends, strict=True)):
        alone, _ = measure(model, items_of([sequence], plan, start=4, end=[end]), plan, 100_000, "test")
        assert alone["hits"][0].as_py() == together["hits"][i].as_py()


def test_what_teacher_forcing_has_told_is_not_decoded_again(
    model: LanguageModel, shown: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    following = LanguageModel.next
    monkeypatch.setattr(LanguageModel, "next", lambda self, ids, cache=None: calls.append(ids.shape) or following(self, ids, cache))
    plan = asked("generate")
    right = [s for s in shown[::5] if len(s) == 4 + SPAN]
    table, _ = measure(model, items_of(right, plan, start=4), plan, 4096, "test")
    assert table["score"].to_pylist() == [1.0] * len(right)
    assert not calls
    wrong_at_once = [s for s in shown[2::5] if len(s) == 4 + SPAN]
    measure(model, items_of(wrong_at_once, plan, start=4), plan, 4096, "test")
    assert len(calls) == SPAN - 1
    assert calls[0] == (len(wrong_at_once), 5)
