"""Linear probes: is a fact's object in the hidden state at the end of the prompt, and can it be told from a probe that learns by itself?

A relation is a classification with its objects as classes. Two splits answer two questions. *Held-out facts*: the probe is tested on facts
of which it saw no prompt; they share the classes, not the subject, so what it learns about a subject is of no use, and it can only be right
if the state shows the object in a way that is common to subjects. *Held-out phrasing*: it is tested on facts that it was trained on, in
another phrasing; then it may learn by heart, and only the difference from a control task counts (selectivity; Hewitt and Liang 2019,
*Designing and Interpreting Probes with Control Tasks*, EMNLP, section 2): the same probe where objects are dealt anew among facts.
The layer is the one that does best on the other relations. What words alone give away shows in a probe before training.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.knowledge import effects, hypotheses, simulations
from trajectories.experiments.knowledge.effects import Paired
from trajectories.experiments.knowledge.scores import PARTS
from trajectories.experiments.knowledge.stimuli.prompts import SEEN
from trajectories.extraction.measures import layers_of
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.claims import objection, row

FOLDS = 3
FACTS, PHRASING = "held-out facts", "held-out phrasing"


@dataclass(frozen=True)
class Task:
    """One relation's classification.

    Attributes:
        rows: places of its prompts in the tensor.
        fact: number of the fact of each prompt. seen: whether it is in the form seen in training.
        object: class of each fact, int [facts]. fold: of each fact.
        dealt: class of each fact in the control task. dealt_fold: its folds.
        about: one row per fact: ``fact_id, subject, relation, frequency``.
    """

    rows: np.ndarray
    fact: np.ndarray
    seen: np.ndarray
    object: np.ndarray
    fold: np.ndarray
    dealt: np.ndarray
    dealt_fold: np.ndarray
    about: pd.DataFrame

    @property
    def chance(self) -> float:
        """One in the number of classes."""
        return 1 / len(np.unique(self.object))


def tasks(items: pd.DataFrame, generator: np.random.Generator) -> list[Task]:
    """The relations with at least two facts of each of two objects; ``items`` are the rows whose hidden states were kept, in order."""
    found = []
    for _, group in items.reset_index(drop=True).groupby("relation", sort=False):
        number, _ = pd.factorize(group["fact_id"])
        about = group.drop_duplicates("fact_id")[["fact_id", "subject", "relation", "object", "frequency"]].reset_index(drop=True)
        classes = pd.factorize(about["object"])[0]
        if len(np.unique(classes)) < 2 or np.bincount(classes).min() < 2:
            continue
        dealt = generator.permutation(classes)
        folds = (_folds(classes, generator), _folds(dealt, generator))
        seen = (group["form"] == SEEN).to_numpy()
        found.append(Task(group.index.to_numpy(), number, seen, classes, folds[0], dealt, folds[1], about))
    return found


def _folds(classes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Folds over which each class is spread evenly."""
    order = generator.permutation(len(classes))
    found = np.empty(len(classes), int)
    for label in np.unique(classes):
        own = order[classes[order] == label]
        found[own] = (np.arange(len(own)) + label) % FOLDS
    return found


def _right(train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray, c: float) -> np.ndarray:
    """Whether a probe trained on some states ``[prompts, width]`` classifies others rightly."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    centre, spread = train.mean(0), train.std(0)
    spread[spread < 1e-6] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LogisticRegression(C=c, max_iter=100, tol=1e-3).fit((train - centre) / spread, labels)
    return probe.predict((test - centre) / spread) == truth


def probed(states: np.ndarray, task: Task, split: str, c: float, control: bool = False) -> np.ndarray:
    """Whether a probe is right on each fact's prompt: in the form seen (held-out facts) or in the others (held-out phrasing).

    Args:
        states: [prompts of the task, width], of one layer.
        task: the relation. split: :data:`FACTS` or :data:`PHRASING`. c: scikit-learn's inverse penalty. control: objects dealt anew.

    Returns:
        Share of the fact's tested prompts that are classified rightly, [facts].
    """
    classes, folds = (task.dealt, task.dealt_fold) if control else (task.object, task.fold)
    labels, right = classes[task.fact], np.full(len(task.fact), np.nan)
    if split == FACTS:
        for fold in range(FOLDS):
            inside = folds[task.fact] != fold
            tested = ~inside & task.seen
            if tested.any() and len(np.unique(labels[inside])) > 1:
                right[tested] = _right(states[inside], labels[inside], states[tested], labels[tested], c)
    elif task.seen.any() and not task.seen.all():
        right[~task.seen] = _right(states[task.seen], labels[task.seen], states[~task.seen], labels[~task.seen], c)
    return pd.Series(right).groupby(task.fact).mean().to_numpy()


def chosen_steps(steps: np.ndarray, most: int) -> list[int]:
    """The first, the last, and others evenly between them by the number of checkpoints."""
    return [int(steps[i]) for i in np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))]


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Probes of a few checkpoints of each model, and the claim about the last one."""
    stimuli = context.stimuli
    if stimuli is None or context.read_tensor is None or "probe" not in stimuli or not stimuli["probe"].any():
        return
    items = stimuli[stimuli["probe"].astype(bool)]
    if not items["part"].isin(PARTS).all():
        raise ValueError("hidden states are kept of items that are no prompts about facts")
    todo = tasks(items, context.generator("knowledge probes"))
    claim = hypotheses.claims(context.settings)["probe-generalizes"]
    for model in context.suite.models:
        steps = context.checkpoints.loc[context.checkpoints["model"] == model.name, "step"].to_numpy()
        if not len(steps) or not todo or model.parent is not None:
            continue
        for step in chosen_steps(steps, context.settings.probe_checkpoints):
            states = context.read_tensor(model.name, step, "hidden")[:, 0]
            pairs = _checkpoint(states, todo, model.name, step, context, found)
        result = effects.difference(pairs[FACTS], "chance-corrected accuracy of a probe less its control task's")
        found.claims.append(row(claim, result, model.name, step))
        simulate = partial(simulations.selective, real=pairs[FACTS], method="probe less control")
        note = "The probe's answers are simulated, not its training: errors that the facts of a fold share are not in it."
        found.calibrands.append(Calibrand(claim, model.name, simulate, objection(result), note=note))
    found.note(
        f"Probes: logistic regression (C = {context.settings.probe_c:g}) on standardized states at the last token of the prompt, "
        f"{FOLDS} folds over facts; the layer for a relation is the one that does best on the other relations; the control task deals the "
        "same objects anew among the facts. Held-out facts share the answer classes with those trained on."
    )


def _checkpoint(
    states: np.ndarray, todo: list[Task], model: str, step: int, context: AnalysisContext, found: Findings
) -> dict[str, Paired]:
    """Probes of every layer read, the layer chosen for each relation, and its control task; ``states`` is [prompts, layers, width]."""
    c, layers = context.settings.probe_c, states.shape[1]
    about = pd.concat([task.about for task in todo], ignore_index=True)
    chance = np.concatenate([np.full(len(task.about), task.chance) for task in todo])
    labels, pairs = effects.clusters(about), {}
    for split in (FACTS, PHRASING):
        right = [np.stack([probed(states[task.rows, layer], task, split, c) for layer in range(layers)]) for task in todo]
        if np.isnan(np.concatenate(right, axis=1)).all():
            continue
        means = np.array([np.nanmean(r, axis=1) for r in right])
        others = (np.nansum(means, axis=0) - means) if len(todo) > 1 else np.tile(np.arange(layers), (1, 1))
        layer = others.argmax(axis=1)
        control = np.concatenate(
            [probed(states[task.rows, at], task, split, c, control=True) for task, at in zip(todo, layer, strict=True)]
        )
        probe = np.concatenate([r[at] for r, at in zip(right, layer, strict=True)])
        usable = np.isfinite(control) & np.isfinite(probe)
        pairs[split] = Paired(control[usable], probe[usable], chance[usable], chance[usable], labels[usable])
        drawn = effects.Resampled.of(labels[usable], context.settings.draws, context.generator(f"probe {model} {step} {split}"))
        every = np.concatenate(right, axis=1)[:, usable]
        numbers = layers_of(context.model(model).layers, layers)
        lines = [(str(number), "layer", every[at]) for at, number in enumerate(numbers)]
        lines += [("probe", "chosen layer", probe[usable]), ("control", "chosen layer", control[usable])]
        curves = {(level, group): drawn.levels(values, chance[usable]) for group, level, values in lines}
        curves["chosen layer", "selectivity"] = curves["chosen layer", "probe"] - curves["chosen layer", "control"]
        for (level, group), drawn_levels in curves.items():
            low, high = np.quantile(drawn_levels[1:], [0.025, 0.975])
            found.trajectories.append(
                {
                    "model": model,
                    "step": step,
                    "metric": "probe_beyond_chance",
                    "level": level,
                    "group": group,
                    "setting": split,
                    "value": float(drawn_levels[0]),
                    "stderr": float(drawn_levels[1:].std(ddof=1)),
                    "ci_low": float(low),
                    "ci_high": float(high),
                    "n": int(usable.sum()),
                    "method": f"logistic regression, {split}, bootstrap over clusters of facts",
                }
            )
    return pairs
