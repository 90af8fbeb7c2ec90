"""A small suite whose models know planted facts from known steps on, in known forms and layers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from tokenizers import Tokenizer, models, pre_tokenizers
from trajectories.analysis import AnalysisContext
from trajectories.experiments.knowledge.settings import AnalyseSettings, StimuliSettings
from trajectories.nano import facts
from trajectories.nano.settings import Facts
from trajectories.stimuli import Stimuli, StimuliContext
from trajectories.suites import Suite

STEPS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]
LAYERS = 4
PLAN = Facts(subjects=60, frequencies=[0, 4, 64], reversed_share=0.4, second=10, composed=4)
LOST = {"seen": 0.0, "second fact": 0.0, "paraphrase": 0.6, "reversed": 1.0, "second hop": 1.0}
"""Share of known facts that a form loses; none where training tells the fact in just that form."""


def suite() -> Suite:
    """A small model, a large one, and a branch."""
    shape = {
        "layers": LAYERS - 1, "heads": 2, "head_width": 8, "width": 16, "vocabulary": 64, "learning_rate": 0.001,
        "rows_per_step": 4, "tokens_per_step": 100, "steps": STEPS, "steps_total": 256, "dtype": "float32", "order": "standard",
    }  # fmt: skip
    listed: list[dict[str, Any]] = [
        {**shape, "name": name, "parameters_non_embedding": size, "parameters_total": size + 2048}
        for name, size in {"small": 1000, "large": 5000}.items()
    ]
    listed.append({**listed[0], "name": "branch", "parent": "small", "branch": "other", "branch_step": 64, "steps": [128, 256]})
    orders = {"standard": {"row_tokens": 26, "rows": 1024}}
    content = {"name": "world", "title": "World", "description": "For tests.", "source": "trained", "models": listed, "orders": orders}
    return Suite.model_validate(content)


class Order:
    """An order that numbers rows as the corpus does."""

    def position(self, rows: np.ndarray) -> np.ndarray:
        return rows


@cache
def truth(name: str) -> pd.DataFrame:
    """The planted tables; every mention stands in a row of its own."""
    table, second = facts.facts(PLAN, 1), facts.second_facts(PLAN, 1)
    if name != "fact_exposures":
        none = pd.DataFrame({"canary_id": [], "input_ids": []})
        return {"facts": table, "second_facts": second, "canaries": none}[name]
    told = pd.DataFrame([(s.source, s.variant) for s in facts.sentences(table, second)], columns=["fact_id", "variant"])
    told[["form", "phrasing"]] = told.pop("variant").str.split(" ", expand=True)
    return told.astype({"phrasing": int}).assign(row=np.arange(len(told)))


def words() -> Tokenizer:
    """A tokenizer that knows the words of the planted sentences; id 0 is the end of text."""
    spoken = " ".join(s.text for s in facts.sentences(truth("facts"), truth("second_facts"))).split()
    names = [f"{word}." for kind in ("subject", "object", "second_object") for word in truth("facts")[kind]]
    known = [*spoken, *names, *(w for p in truth("facts")["prompts"] for text in p for w in text.split())]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(["<|endoftext|>", "?", *known]))}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def stimuli_context(**changes: Any) -> StimuliContext:
    """What the stimuli are made from; ``has_truth`` and ``data`` can be changed for suites on real text."""
    given: dict[str, Any] = {
        "suite": suite(), "settings": StimuliSettings(), "seed": 1, "orders": {"standard": Order()}, "rows_per_step": {"standard": 4},
        "tokenizer": words, "truth": truth, "has_truth": True, "data": lambda name: None,
    }  # fmt: skip
    return StimuliContext(**given | changes)


@cache
def shown() -> Stimuli:
    """The stimuli of the planted facts."""
    from trajectories.experiments.knowledge.stimuli import stimuli

    return stimuli(stimuli_context())


@cache
def _learnt() -> dict[str, float]:
    """Step from which on each fact is known: facts told often about step 32, second facts from the start on."""
    random = np.random.default_rng(5)
    table = truth("facts")
    steps = np.where(table["frequency"] == 64, 2.0 ** random.normal(5, 1, len(table)), np.inf)
    return dict(zip(table["fact_id"], steps, strict=True)) | dict.fromkeys(truth("second_facts")["fact_id"], 1.0)


def measured(model: str, step: int) -> pd.DataFrame:
    """Log-probabilities under which a known fact's object is likelier than usual, over answers that are common or rare by themselves.

    Layer 3 is the output; layer 2 knows a fact when it is twice as old.
    """
    items = shown().table
    random = np.random.default_rng([3, step, len(model)])
    common = dict(zip(sorted(set(items["candidate"])), np.random.default_rng(1).normal(0, 3, items["candidate"].nunique()), strict=True))
    luck = dict(zip(dict.fromkeys(items["pair_id"]), np.random.default_rng(2).random(items["pair_id"].nunique()), strict=True))
    lost = items["form"].map(LOST).where(~((items["told"] > 0) & (items["form"] != "paraphrase")), 0.0)
    kept = items["pair_id"].map(luck) >= lost
    layers = np.empty((len(items), LAYERS), np.float32)
    for layer, age in enumerate((np.inf, np.inf, 2.0, 1.0)):
        known = kept & (step >= items["fact_id"].map(_learnt()) * age) & items["correct"].astype(bool)
        noise = random.normal(0, 0.5, len(items))
        layers[:, layer] = -10 + items["candidate"].map(common) + noise + 4 * known
    lens = [row if asked else None for row, asked in zip(layers, items["lens"], strict=True)]
    return pd.DataFrame(
        {"item_id": items["item_id"], "logprob": layers[:, -1].astype(float), "n_tokens": 1, "matched": 0, "lens_logprob": lens}
    )


def states(model: str, step: int, measure: str) -> np.ndarray:
    """Hidden states [probed prompts, 1, layers, 16]: the last layers show the object once training is over, the others noise."""
    assert measure == "hidden"
    items = shown().table
    items = items[items["probe"]]
    found = np.random.default_rng([4, step]).normal(size=(len(items), 1, LAYERS, 16))
    if step == STEPS[-1]:
        objects = pd.factorize(items["object"])[0]
        found[:, 0, 2:] += 3 * np.random.default_rng(6).normal(size=(objects.max() + 1, 16))[objects][:, None]
    return found.astype(np.float32)


def analysis_context(**changes: Any) -> AnalysisContext:
    """What the analysis looks at."""
    chosen = suite()
    checkpoints = pd.DataFrame([(m.name, s, m.tokens(s)) for m in chosen.models for s in m.all_steps], columns=["model", "step", "tokens"])
    given: dict[str, Any] = {
        "suite": chosen, "settings": AnalyseSettings(draws=200, simulations=40), "seed": 1, "checkpoints": checkpoints,
        "left_out": checkpoints[:0], "stimuli": shown().table.drop(columns="input_ids"), "exposures": shown().exposures, "truth": truth,
        "has_truth": True, "published": None, "read": measured, "read_tensor": states,
    }  # fmt: skip
    return AnalysisContext(**given | changes)
