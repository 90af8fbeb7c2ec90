"""From log-probabilities of sentences, or from published accuracies, to accuracies by step and paradigm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.errors import UserError
from trajectories.statistics import acquisition, intervals

CHANCE = 0.5
PREFIX = "blimp_"


@dataclass(frozen=True)
class Scores:
    """What one model did on one set of pairs.

    Attributes:
        model: its name. set: name of the set of pairs.
        steps: ``[steps]``, ascending. tokens: ``[steps]``, tokens seen.
        paradigms: one row per paradigm: ``paradigm, phenomenon, field, frequency``.
        n: ``[paradigms]`` pairs.
        accuracy: ``[steps, paradigms]``.
        correct: per paradigm ``[steps, pairs]`` (0 or 1), or None for published results.
        margin: per paradigm ``[steps, pairs]``, log-probability of the good sentence less that of the bad one in nats, or None.
    """

    model: str
    set: str
    steps: np.ndarray
    tokens: np.ndarray
    paradigms: pd.DataFrame
    n: np.ndarray
    accuracy: np.ndarray
    correct: list[np.ndarray] | None = None
    margin: list[np.ndarray] | None = None

    def replicates(self, draws: int, generator: np.random.Generator) -> Callable[[int], np.ndarray]:
        """From a paradigm's index to its accuracies on resampled pairs, ``[draws, steps]``; binomial for published results.

        Paradigms with equally many pairs are resampled by the same counts, so replicates are to be used paradigm by paradigm.
        """
        counts: dict[int, np.ndarray] = {}

        def of(index: int) -> np.ndarray:
            n = int(self.n[index])
            if self.correct is None:
                return acquisition.resample_binomial(self.accuracy[:, index], n, draws, generator)
            if n not in counts:
                counts[n] = intervals.resample_counts(n, draws, generator)
            return acquisition.resample_pairs(self.correct[index], counts[n])

        return of


def right(margin: np.ndarray) -> np.ndarray:
    """Whether the good sentence is chosen, given its log-probability less the bad one's.

    A tie counts as right, as in lm-evaluation-harness since 0.4, whose argmax takes the first of two equal choices, the good one; earlier
    ones counted it as wrong. Only pairs of identical sentences tie (7 of BLiMP's 67,000).
    """
    return margin >= 0


def blimp_facts() -> pd.DataFrame:
    """BLiMP's ``paradigm, phenomenon, field`` as its files give them, for results that name only the paradigm."""
    with resources.files(__package__).joinpath("blimp.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def from_published(context: AnalysisContext) -> tuple[list[Scores], list[str]]:
    """BLiMP's accuracies among published results: one :class:`Scores` per model, and notes about what is absent.

    Raises:
        UserError: there is no result of BLiMP at all.
    """
    published = context.published
    assert published is not None
    facts = blimp_facts().assign(frequency=-1)
    rows = published[(published["metric"] == "acc") & published["task"].str.startswith(PREFIX)]
    rows = rows.assign(paradigm=rows["task"].str.removeprefix(PREFIX))
    rows = rows[rows["paradigm"].isin(facts["paradigm"]) & rows["num_fewshot"].fillna(0).eq(0)]
    found, notes = [], []
    for model in context.suite.models:
        own = rows[rows["model"] == model.name].drop_duplicates(["step", "paradigm"], keep="last")
        wide = own.pivot(index="step", columns="paradigm", values="value").sort_index()
        whole = wide.dropna(axis="columns")
        if whole.empty:
            notes.append(f"{model.name}: no published result of BLiMP.")
            continue
        absent = len(facts) - whole.shape[1]
        if absent:
            notes.append(f"{model.name}: {absent} of {len(facts)} paradigms are not among the published results of every step; left out.")
        paradigms = facts[facts["paradigm"].isin(whole.columns)].reset_index(drop=True)
        steps = whole.index.to_numpy(dtype=np.int64)
        n = _pairs(own).reindex(paradigms["paradigm"]).to_numpy()
        tokens = np.array([model.tokens(int(s)) for s in steps])
        found.append(Scores(model.name, "blimp", steps, tokens, paradigms, n, whole[paradigms["paradigm"]].to_numpy()))
    if not found:
        raise UserError(
            f"Suite '{context.suite.name}' has no published result of BLiMP (tasks '{PREFIX}…'); leave 'grammar' out of 'experiments'."
        )
    return found, notes


def _pairs(rows: pd.DataFrame) -> pd.Series:
    """Pairs of each paradigm: as published, or from accuracy and standard error (``stderr² = p (1 − p) / (n − 1)`` in the harness)."""
    p, stderr = rows["value"].astype(float), rows["stderr"].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        implied = (p * (1 - p) / stderr**2 + 1).where((stderr > 0) & p.between(0, 1, inclusive="neither"))
    n = rows["n"].astype(float).fillna(implied).groupby(rows["paradigm"]).median()
    return n.fillna(n.median()).fillna(1000).round().astype(int)


def from_measurements(context: AnalysisContext) -> tuple[list[Scores], list[str]]:
    """Accuracies and log-probability margins of every model on every set of pairs, and notes about what was left out."""
    stimuli = context.stimuli
    assert stimuli is not None
    good = np.flatnonzero(stimuli["variant"] == "good")
    bad = np.flatnonzero(stimuli["variant"] == "bad")
    pairs = stimuli.iloc[good].reset_index(drop=True)
    bad = pd.Series(bad, index=stimuli["pair_id"].iloc[bad]).loc[pairs["pair_id"]].to_numpy()
    items = pd.Index(stimuli["item_id"])
    found, notes = [], []
    for model in context.suite.models:
        steps, margins = [], []
        for _, step, table in context.measurements(model.name):
            logprob = _aligned(table, items)
            margin = (logprob[good] - logprob[bad]).astype(np.float32)
            margin[pairs["identical"].to_numpy()] = 0
            if not np.isfinite(margin).all():
                notes.append(f"{model.name} at step {step}: {(~np.isfinite(margin)).sum()} pairs have no finite log-probability; left out.")
                continue
            steps.append(step)
            margins.append(margin)
        if not steps:
            notes.append(f"{model.name}: no checkpoint that could be scored.")
            continue
        tokens = np.array([model.tokens(s) for s in steps])
        found += _by_set(model.name, np.array(steps, dtype=np.int64), tokens, pairs, np.stack(margins))
    return found, notes


def _aligned(table: pd.DataFrame, items: pd.Index) -> np.ndarray:
    """Log-probabilities in the order of the stimuli; NaN for an item that was not measured."""
    logprob = table["logprob"].to_numpy(dtype=float)
    if len(table) == len(items) and np.array_equal(table["item_id"].to_numpy(dtype=object), items.to_numpy(dtype=object)):
        return logprob
    where = pd.Index(table["item_id"]).get_indexer(items)
    return np.where(where >= 0, logprob[where], np.nan)


def _by_set(model: str, steps: np.ndarray, tokens: np.ndarray, pairs: pd.DataFrame, margins: np.ndarray) -> list[Scores]:
    found = []
    for name, own in pairs.groupby("set", sort=False):
        groups = own.groupby("paradigm", sort=False)
        paradigms = groups[["phenomenon", "field", "frequency"]].first().reset_index()
        margin = [margins[:, own.index[groups.indices[p]]] for p in paradigms["paradigm"]]
        correct = [right(m).astype(np.uint8) for m in margin]
        accuracy = np.stack([c.mean(1) for c in correct], 1)
        n = np.array([m.shape[1] for m in margin])
        found.append(Scores(model, str(name), steps, tokens, paradigms, n, accuracy, correct, margin))
    return found


def trajectories(scores: Scores) -> pd.DataFrame:
    """Accuracy and mean log-probability margin at every level, with 95 % intervals that speak of these paradigms.

    A paradigm's accuracy has Wilson's interval over its pairs; phenomena, fields and the whole set are unweighted means over their
    paradigms, with the interval of :func:`trajectories.statistics.intervals.stratified_mean`.

    Returns:
        The columns that :class:`trajectories.analysis.Analysis` wants; ``setting`` holds the set of pairs.
    """
    low, high = intervals.wilson(scores.accuracy * scores.n, scores.n)
    stderr = np.sqrt(scores.accuracy * (1 - scores.accuracy) / np.maximum(scores.n - 1, 1))
    parts = _levels(scores, "accuracy", scores.accuracy, stderr, low, high, "proportion right, Wilson interval over pairs")
    if scores.margin is not None:
        columns = [np.stack(c, 1) for c in zip(*(intervals.mean(m.astype(float), 1) for m in scores.margin), strict=True)]
        parts += _levels(scores, "logprob_margin", columns[0], columns[1], columns[2], columns[3], "mean over pairs, Student's interval")
    return pd.concat(parts, ignore_index=True)


def _levels(
    scores: Scores, metric: str, value: np.ndarray, stderr: np.ndarray, low: np.ndarray, high: np.ndarray, method: str
) -> list[pd.DataFrame]:
    parts = []
    for level in ("paradigm", "phenomenon", "field", "set"):
        label = scores.paradigms[level].to_numpy() if level != "set" else np.full(len(scores.n), "all")
        member = intervals.one_hot(label)
        weights = (member / member.sum(0)).T
        centre, below, above = intervals.stratified_mean(value, low, high, weights)
        groups = np.unique(label)
        shape = centre.shape
        parts.append(
            pd.DataFrame(
                {
                    "model": scores.model,
                    "step": np.repeat(scores.steps, shape[1]),
                    "metric": metric,
                    "level": level,
                    "group": np.tile(groups, shape[0]),
                    "setting": scores.set,
                    "value": centre.ravel(),
                    "stderr": np.sqrt(np.square(stderr) @ np.square(weights).T).ravel(),
                    "ci_low": below.ravel(),
                    "ci_high": above.ravel(),
                    "n": np.tile(scores.n @ member, shape[0]).astype(int),
                    "method": method if level == "paradigm" else f"mean over paradigms ({method})",
                }
            )
        )
    return parts
