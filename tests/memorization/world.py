"""A small world of known truth: orders with copies and canaries, and measurements with planted effects of the place in the order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.run import runs
from trajectories.experiments.memorization.settings import AnalyseSettings, StimuliSettings
from trajectories.experiments.memorization.stimuli import stimuli
from trajectories.findings import Findings
from trajectories.stimuli import Stimuli, StimuliContext
from trajectories.suites import Model, Order, Suite

ROW_TOKENS, ROWS_PER_STEP, STEPS, BRANCH = 36, 16, 300, 200
K, L = 8, 8
STEPS_KEPT = [0, 1, 50, 150, 300]
COPIES = [1, 2, 4, 8, 16]


@dataclass
class Rows:
    """Rows in memory with a reader's interface."""

    tokens: np.ndarray
    rows_per_step: int = ROWS_PER_STEP
    read: list[int] = field(default_factory=list)

    @property
    def row_tokens(self) -> int:
        return self.tokens.shape[1]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.read.append(len(rows))
        return self.tokens[rows]

    def position(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows)


class Words:
    """A tokenizer that writes numbers."""

    def decode_batch(self, sequences: Sequence[Sequence[int]], skip_special_tokens: bool = True) -> list[str]:
        return ["".join(chr(97 + t % 26) for t in tokens) for tokens in sequences]


@dataclass(frozen=True)
class World:
    """Orders, canaries and their truth; do not change the arrays."""

    standard: np.ndarray
    swapped: np.ndarray
    canaries: pd.DataFrame
    canary_exposures: pd.DataFrame

    def orders(self) -> dict[str, Rows]:
        return {"standard": Rows(self.standard), "swapped": Rows(self.swapped)}

    def truth(self, name: str) -> pd.DataFrame:
        planted = self.canary_exposures.assign(length=K + L, kind="canary").rename(columns={"canary_id": "source"})
        return {"canaries": self.canaries, "canary_exposures": self.canary_exposures, "documents": planted}[name]


@cache
def world() -> World:
    """Random rows; every tenth holds the beginning of another one at a random place; canaries stand behind the first 16 tokens."""
    generator = np.random.default_rng(5)
    n = STEPS * ROWS_PER_STEP
    tokens = generator.integers(1, 400, (n, ROW_TOKENS)).astype(np.uint16)
    ids, repetitions, exposures = [], [], []
    free = generator.permutation(n)
    for copies in COPIES:
        for _ in range(25):
            canary = generator.integers(1, 400, K + L)
            name = f"canary{len(ids):03d}"
            for _ in range(copies):
                row, free = int(free[0]), free[1:]
                tokens[row, 20:36] = canary
                exposures.append((name, row, 20))
            ids.append(canary.tolist())
            repetitions.append(copies)
    originals, holders = free[: len(free) // 20], free[len(free) // 20 : len(free) // 10]
    for original, holder, offset in zip(originals, holders, generator.integers(0, 21, len(originals)), strict=True):
        tokens[holder, offset : offset + K + L] = tokens[original, : K + L]
    swapped = tokens.copy()
    late = np.arange(BRANCH * ROWS_PER_STEP, n)
    edited = generator.choice(late, len(late) // 5, replace=False)
    swapped[edited, 12] = 400
    names = [f"canary{i:03d}" for i in range(len(ids))]
    canaries = pd.DataFrame({"canary_id": names, "input_ids": ids, "repetitions": repetitions})
    canaries = canaries.assign(window_start=0, window_end=STEPS, incidental_grams=0)
    return World(tokens, swapped, canaries, pd.DataFrame(exposures, columns=["canary_id", "row", "offset"]))


def suite() -> Suite:
    """Two models: one of the standard order, and a branch of it with an order of its own."""
    facts: dict[str, Any] = {
        "layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 512, "learning_rate": 0.01,
        "rows_per_step": ROWS_PER_STEP, "tokens_per_step": ROWS_PER_STEP * (ROW_TOKENS - 1), "steps_total": STEPS, "dtype": "float32",
    }  # fmt: skip
    base = Model(name="base", parameters_non_embedding=500, parameters_total=8692, steps=list(STEPS_KEPT), order="standard", **facts)
    facts |= {"parent": "base", "branch_step": BRANCH, "branch": "swap", "order": "swapped"}
    branch = Model(name="branch", parameters_non_embedding=400, parameters_total=8592, steps=[250, 300], **facts)
    order = Order(row_tokens=ROW_TOKENS, rows=STEPS * ROWS_PER_STEP)
    return Suite(
        name="small", title="Small", description="A small world.", source="trained", orders={"standard": order, "swapped": order},
        models=[base, branch],
    )  # fmt: skip


def stimuli_context(**settings: Any) -> StimuliContext:
    """The world as stimuli are chosen from it."""
    given = {"rows": 3600, "k": K, "l": L, **settings}
    return StimuliContext(
        suite=suite(), settings=StimuliSettings(**given), seed=1, orders=world().orders(), rows_per_step={},  # type: ignore[arg-type]
        tokenizer=Words, truth=world().truth, has_truth=True, data=lambda name: None,
    )  # type: ignore[arg-type, return-value]  # fmt: skip


@cache
def shown() -> Stimuli:
    """The stimuli that the analyses share."""
    return stimuli(stimuli_context())


Effect = Callable[[np.ndarray], np.ndarray]


def trend(size: float) -> Effect:
    """Later is better, evenly, by ``size`` standard deviations from the first to the last row."""
    return lambda x: size * x


def recency(size: float) -> Effect:
    """Only rows just met are better; what is left of it decays over 2 % of training."""
    return lambda x: size * np.exp(-(1 - x) / 0.02)


def measured(effect: Effect, model: str, step: int, rate: float = 0.15, drift: float | None = None) -> pd.DataFrame:
    """Measurements with a known effect of the latest exposure's place; batches share a part of their noise, easy rows are likelier.

    With a ``drift`` rows have a content of their own, the same at every checkpoint, which is easier by so much at the end of the order.
    """
    found = shown()
    order = suite().model(model).order
    seen = found.exposures[(found.exposures["order"] == order) & (found.exposures["step"] < step)]
    latest = seen.groupby("item_id")["row"].max().reindex(found.table["item_id"]).to_numpy()
    copies = seen.groupby("item_id").size().reindex(found.table["item_id"]).fillna(0).to_numpy()
    generator = np.random.default_rng([step, *model.encode()])
    n = len(latest)
    last = max(step * ROWS_PER_STEP - 1, 1)
    lift = np.where(np.isnan(latest), 0.0, effect(np.nan_to_num(latest) / last))
    batch = np.nan_to_num(latest // ROWS_PER_STEP).astype(int)
    shared = generator.standard_normal(STEPS)[batch]
    own = np.sqrt(0.1) * shared + np.sqrt(0.9) * generator.standard_normal(n)
    easy = found.table["zlib_bits"].to_numpy()
    easy = -(easy - easy.mean()) / easy.std()
    canary = (found.table["kind"] == "canary").to_numpy()
    if drift is not None:
        whole = found.exposures[found.exposures["order"] == order].groupby("item_id")["row"].max().reindex(found.table["item_id"])
        place = np.nan_to_num(whole.to_numpy() / (STEPS * ROWS_PER_STEP - 1))
        own = 0.5 * own + 0.85 * np.random.default_rng(1).standard_normal(n)
        lift = lift + drift * place
    latent = lift + np.sqrt(0.2) * easy + np.sqrt(0.8) * own
    odds = np.log(rate / (1 - rate)) + np.pi / np.sqrt(3) * (lift - 0.5 * lift.mean())
    odds = np.where(canary, 1.5 * np.log2(np.maximum(copies, 0.01)) - 3, odds)
    memorized = generator.random(n) < expit(odds + 0.5 * easy)
    return pd.DataFrame(
        {
            "item_id": found.table["item_id"],
            "logprob": L * (latent - 4.0),
            "n_tokens": L,
            "matched": np.where(memorized, L, 2),
            "score": np.where(memorized, 1.0, 0.3),
            "hits": [[bool(m)] * L for m in memorized],
            "memorized": memorized,
        }
    )


def findings(context: AnalysisContext, *parts: Any) -> Findings:
    """What some parts of the analysis find alone: modules with ``analyse``, ``compare`` or both."""
    found, finals = Findings(), []
    for run in runs(context):
        for part in parts:
            if run.primary and hasattr(part, "analyse"):
                part.analyse(run, context, found)
        if run.primary:
            finals.append(run.last())
    for part in parts:
        if hasattr(part, "compare"):
            part.compare(finals, context, found)
    return found


def analysis_context(
    effect: Effect, rate: float = 0.15, models: Sequence[str] = ("base", "branch"), drift: float | None = None, **settings: Any
) -> AnalysisContext:
    """The world as it is analysed. The margins are twice as wide as the usual ones, so that this small sample can rule them out."""
    whole = suite()
    chosen = whole.model_copy(update={"models": [whole.model(m) for m in models]})
    checkpoints = pd.DataFrame([(m.name, s, m.tokens(s)) for m in chosen.models for s in m.all_steps], columns=["model", "step", "tokens"])
    given = {"odds_ratio": 2.0, "shift": 0.25, "simulations": 40, **settings}
    return AnalysisContext(
        suite=chosen, settings=AnalyseSettings(**given), seed=1, checkpoints=checkpoints, left_out=checkpoints[:0],
        stimuli=shown().table.drop(columns="input_ids"), exposures=shown().exposures, truth=world().truth, has_truth=True, published=None,
        read=lambda model, step: measured(effect, model, step, rate, drift), history={m: whole.history(m) for m in models},
    )  # fmt: skip
