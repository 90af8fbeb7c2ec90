"""A small suite whose models get pairs right with known probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
from tokenizers import Tokenizer, models, pre_tokenizers
from trajectories.suites import Suite

STEPS = [0, 10, 20, 30, 40, 50, 60, 80, 100, 120, 160]
PHENOMENA = {"agreement": 3, "binding": 2, "islands": 2, "quantifiers": 1, "ellipsis": 1, "licensing": 1, "raising": 1, "gaps": 1}


def suite(source: str = "trained") -> Suite:
    """Models a (small), b and c (larger), and a branch of a."""
    shape = {
        "layers": 2, "heads": 2, "head_width": 8, "width": 16, "vocabulary": 64, "learning_rate": 0.001,
        "rows_per_step": 4, "tokens_per_step": 100, "steps": STEPS, "steps_total": 160, "dtype": "float32", "order": "standard",
    }  # fmt: skip
    sizes = {"a": 1000, "b": 5000, "c": 5000}
    listed = [{**shape, "name": name, "parameters_non_embedding": size, "parameters_total": size + 2048} for name, size in sizes.items()]
    listed.append({**listed[0], "name": "a-branch", "parent": "a", "branch": "other", "branch_step": 80, "steps": [80, 160]})
    orders = {"standard": {"row_tokens": 26, "rows": 640}}
    content = {"name": "small", "title": "Small", "description": "For tests.", "source": source, "models": listed, "orders": orders}
    return Suite.model_validate(content)


def paradigms() -> pd.DataFrame:
    """Twelve paradigms, the first the most frequent."""
    names = [(f"{p}_{i}", p, "syntax") for p, count in PHENOMENA.items() for i in range(count)]
    return pd.DataFrame(names, columns=["paradigm", "phenomenon", "field"]).assign(frequency=[2000 // (i + 1) for i in range(len(names))])


def truth(pairs: int = 40) -> pd.DataFrame:
    """Planted pairs, every fourth of them seen."""
    table = paradigms().loc[np.repeat(np.arange(12), pairs)].reset_index(drop=True)
    number = np.arange(len(table))
    return table.assign(
        pair_id=[f"{p}/{i}" for p, i in zip(table["paradigm"], number, strict=True)],
        good=[f"good {i}" for i in number],
        bad=[f"bad {i}" for i in number],
        seen=number % 4 == 3,
    )


def words(*texts: str) -> Tokenizer:
    """A tokenizer that knows the words of the texts; id 0 is the end of text."""
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(["<|endoftext|>", "?", *(w for t in texts for w in t.split())]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def probabilities(model: str, step: int) -> np.ndarray:
    """Chance to get a pair right: paradigm i is acquired at step 10 + 10 i by a, at two thirds of that by larger ones, the last never."""
    at = (10 + 10 * np.arange(12)) * (1 if model.startswith("a") else 0.67)
    learned = 0.5 + 0.48 / (1 + np.exp(-(step - at) / 3))
    learned[-1] = 0.5
    return learned


def measured(stimuli: pd.DataFrame, model: str, step: int) -> pd.DataFrame:
    """Log-probabilities under which a pair is right with :func:`probabilities`; a pair's luck is the same at every step."""
    luck = np.random.default_rng([7, len(model), ord(model[0])]).random(len(stimuli) // 2)
    chance = dict(zip(paradigms()["paradigm"], probabilities(model, step), strict=True))
    pairs = stimuli[stimuli["variant"] == "good"]
    right = luck < pairs["paradigm"].map(chance).to_numpy()
    logprob = np.full(len(stimuli), -10.0)
    logprob[pairs.index] += np.where(right, 1.5, -1.5)
    return pd.DataFrame({"item_id": stimuli["item_id"], "logprob": logprob, "n_tokens": 2})
