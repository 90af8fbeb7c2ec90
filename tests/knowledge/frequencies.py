"""A made-up suite whose facts are told as often as planted, whose answers depend on it as planted, and whose counts are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from trajectories.analysis import AnalysisContext
from trajectories.experiments.knowledge.settings import AnalyseSettings
from trajectories.experiments.knowledge.stimuli.arithmetic import NUMBER
from trajectories.suites import Suite

STEPS, SLOPE = (0, 100, 400, 1000), 1.5
ANSWERS = (1001, 1002, 1003, 1004, 1005)
RELATIONS, SUBJECTS, OBJECTS, OFTEN = 5, 30, 10, (0, 1, 4, 16, 64, 256)


def suite() -> Suite:
    """Two sizes on one order, of 16 rows per step."""
    common = {
        "rows_per_step": 16,
        "tokens_per_step": 2048,
        "steps": list(STEPS),
        "steps_total": 1000,
        "dtype": "float32",
        "order": "standard",
    }
    shape = {"layers": 2, "width": 64, "heads": 4, "head_width": 16, "vocabulary": 2048, "dtype_trained": "float32", "learning_rate": 0.001}
    models = [
        {"name": name, "seed": 1, "parameters_total": size + 262144, "parameters_non_embedding": size, **shape, **common}
        for name, size in (("small", 1000), ("large", 5000))
    ]
    order = {"row_tokens": 129, "rows": 16000}
    return Suite.model_validate(
        {"name": "made", "title": "Made up", "description": "", "source": "trained", "orders": {"standard": order}, "models": models}
    )


def facts(seed: int = 0) -> pd.DataFrame:
    """``fact_id, relation, subject, object, frequency``."""
    random = np.random.default_rng(seed)
    rows = []
    for r in range(RELATIONS):
        often = random.permutation(np.resize(OFTEN, SUBJECTS))
        which = random.permutation(np.resize(np.arange(OBJECTS), SUBJECTS))
        rows += [(f"r{r}/s{s}", f"r{r}", f"s{s}", f"o{r}-{which[s]}", int(often[s])) for s in range(SUBJECTS)]
    return pd.DataFrame(rows, columns=["fact_id", "relation", "subject", "object", "frequency"])


def exposures(told: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """``fact_id, phrasing, form, row``: every telling at a random place."""
    random = np.random.default_rng(seed)
    names = told["fact_id"].repeat(told["frequency"])
    return pd.DataFrame({"fact_id": names.to_numpy(), "phrasing": 0, "form": "forward", "row": random.integers(0, 16000, len(names))})


def counts(told: pd.DataFrame, shown: pd.DataFrame, numbers: np.ndarray) -> pd.DataFrame:
    """What counting the order finds at every step; number n is met more often the smaller it is."""
    parts = []
    facts_of = told.set_index("fact_id")
    for step in STEPS:
        met = shown[shown["row"] < 16 * step]["fact_id"].value_counts().reindex(told["fact_id"], fill_value=0).to_numpy()
        both = pd.DataFrame({"term": told["subject"], "other": told["object"], "count": met})
        single = [both.groupby(name)["count"].sum().rename_axis("term").reset_index().assign(other="") for name in ("term", "other")]
        number = pd.DataFrame({"term": [NUMBER.format(n) for n in numbers], "other": "", "count": step * (100 - numbers)})
        answer = pd.DataFrame({"term": [NUMBER.format(n) for n in ANSWERS], "other": "", "count": step})
        met = pd.DataFrame([(NUMBER.format(x), NUMBER.format(y), step * often(x, y) // 100) for x in numbers for y in ANSWERS])
        parts.append(pd.concat([both, *single, number, answer, met.set_axis(["term", "other", "count"], axis=1)]).assign(step=step))
    assert not facts_of.index.duplicated().any()
    table = pd.concat(parts, ignore_index=True).assign(order="standard", stderr=0.0)
    return table[["order", "term", "other", "step", "count", "stderr"]]


def often(x: int, y: int) -> int:
    """In how many documents of 100 steps an operand stands with an answer."""
    return int((0, 1, 10, 100, 1000)[(7 * x + 3 * y) % 5])


def prompts(told: pd.DataFrame) -> pd.DataFrame:
    """The items: every fact in the form seen, with its relation's objects to choose from."""
    rows = []
    for f in told.itertuples():
        for o in range(OBJECTS):
            name = f"o{str(f.relation)[1:]}-{o}"
            rows.append(
                {"item_id": f"facts/{f.fact_id}/{name}", "part": "facts", "pair_id": f.fact_id, "variant": name, "fact_id": f.fact_id}
                | {"relation": f.relation, "subject": f.subject, "object": f.object, "form": "seen", "phrasing": 0, "candidate": name}
                | {"correct": name == f.object, "frequency": f.frequency, "told": f.frequency, "lens": False, "canaries": ""}
            )
    return pd.DataFrame(rows)


def sums(numbers: np.ndarray, each: int = 20) -> pd.DataFrame:
    """Arithmetic items: so many problems for every first operand, after 0 and 4 examples."""
    rows = [(x, i, k) for x in numbers for i in range(each) for k in (0, 4)]
    table = pd.DataFrame(rows, columns=["x1", "x2", "shots"])
    names = "arithmetic/plus/" + table["x1"].astype(str) + "/" + table["x2"].astype(str)
    table = table.assign(item_id=names + "/" + table["shots"].astype(str), part="arithmetic", pair_id=names, operation="plus")
    return table.assign(y=[ANSWERS[i % len(ANSWERS)] for i in table["x2"]])


def context(slope: float = SLOPE, gap: float = 0.4, arithmetic: bool = True, together: float = 0.0, **settings: Any) -> AnalysisContext:
    """A context whose log odds of a right answer rise by ``slope`` per tenfold count, and whose accuracy falls by ``gap`` over operands
    and rises, in log odds, by ``together`` per tenfold number of documents with operand and answer."""
    chosen, told, numbers = suite(), facts(), np.arange(100)
    shown = exposures(told)
    counted = counts(told, shown, numbers)
    items = prompts(told)
    table = pd.concat([items, sums(numbers)], ignore_index=True) if arithmetic else items

    def read(model: str, step: int) -> pd.DataFrame:
        random = np.random.default_rng([step, len(model)])
        here = counted[(counted["step"] == step) & (counted["other"] != "")].set_index(["term", "other"])["count"]
        x = np.log10(1 + here.reindex(pd.MultiIndex.from_frame(told[["subject", "object"]])).to_numpy(dtype=float))
        right = dict(zip(told["fact_id"], random.random(len(told)) < 1 / (1 + np.exp(2 - slope * x)), strict=True))
        known = items["fact_id"].map(right).to_numpy(bool)
        logprob = np.where(items["correct"] & known, 5.0, 0.0) + random.normal(0, 0.1, len(items)) - 2 * (items["correct"] & ~known)
        measured = pd.DataFrame({"item_id": items["item_id"], "logprob": logprob, "matched": 1, "n_tokens": 1})
        if not arithmetic:
            return measured
        own = table[table["part"] == "arithmetic"]
        chance = 0.3 + gap * (0.5 - own["x1"].astype(float) / 100)
        met = np.array([step * often(x, y) // 100 for x, y in zip(own["x1"].astype(int), own["y"].astype(int), strict=True)])
        odds = np.log(chance / (1 - chance)) + together * (np.log10(1 + met) - 1.5)
        hit = (random.random(len(own)) < 1 / (1 + np.exp(-odds))).astype(int)
        return pd.concat([measured, pd.DataFrame({"item_id": own["item_id"], "logprob": 0.0, "matched": hit, "n_tokens": 1})])

    steps = pd.DataFrame([(m.name, s, m.tokens(s)) for m in chosen.models for s in STEPS], columns=["model", "step", "tokens"])
    truth = {"facts": told, "second_facts": told.iloc[:0], "fact_exposures": shown}
    truth["canary_exposures"] = pd.DataFrame({"canary_id": ["c0"], "row": [160]})
    return AnalysisContext(
        suite=chosen, settings=AnalyseSettings(**{"simulations": 40, **settings}), seed=1, checkpoints=steps, left_out=steps.iloc[:0],
        stimuli=table, exposures=None, truth=truth.__getitem__, has_truth=True, published=None, read=read, counted=counted,
    )  # fmt: skip
