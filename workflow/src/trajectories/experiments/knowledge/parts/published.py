"""Published benchmarks: accuracy by task, model and step, and the claims on its course."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.knowledge import benchmarks
from trajectories.experiments.knowledge.benchmarks import DECLINES, LOG_TOKENS, MMLU, RISES, SOONER, Course
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import intervals
from trajectories.statistics.claims import objection, row
from trajectories.suites import Model

METRICS = {"acc": "accuracy", "acc_norm": "accuracy_normalized", "ppl": "perplexity"}
"""The harness's names of what is shown, and ours; ``acc_norm`` divides log-probabilities of answers by their length."""
SHARES = ("acc", "acc_norm")


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Every benchmark that the results hold; nothing where the suite has checkpoints of its own."""
    if context.published is None:
        return
    table = results(context.published)
    if table.empty:
        found.note("None of the published results is of a benchmark that the table of benchmarks lists.")
        return
    found.trajectories += trajectories(table)
    _notes(context, table, found)
    courses: dict[str, Course] = {}
    groups = dict(iter(table[(table["metric"] == "acc") & (table["level"] == "task") & table["decides"]].groupby(["model", "shots"])))
    for model in context.suite.models:
        shots = sorted(shots for name, shots in groups if name == model.name)
        if not shots or model.parent is not None:
            continue
        own = context.checkpoints[context.checkpoints["model"] == model.name].set_index("step")["tokens"]
        course = Course.of(groups[model.name, shots[0]], own)
        if len(course.steps):
            courses[model.name] = course
            _rise(context, course, setting(shots[0]), found)
            _declines(context, course, found)
    _sooner(context, courses, found)


def setting(shots: int) -> str:
    """How trajectories name the number of solved examples before the question."""
    return f"{shots}-shot"


def results(published: pd.DataFrame) -> pd.DataFrame:
    """Rows of known benchmarks with title and chance; MMLU's subjects as one task and by category.

    Returns:
        ``model, step, shots, metric`` (the harness's name), ``level`` (``task`` or ``category``), ``title, chance, decides, value, stderr,
        n``.
    """
    own = published[published["metric"].isin(METRICS)]
    own = own.join(benchmarks.titled(own["task"])).dropna(subset=["title"])
    own = own.assign(shots=own["num_fewshot"].fillna(0).astype(int), level="task")
    subjects = own["category"].notna()
    parts = [own[~subjects], _pooled(own[subjects], "task"), _pooled(own[subjects], "category")]
    columns = ["model", "step", "shots", "metric", "level", "title", "chance", "decides", "value", "stderr", "n"]
    return pd.concat([p.reindex(columns=columns) for p in parts if len(p)] or [own.reindex(columns=columns)], ignore_index=True)


def _pooled(subjects: pd.DataFrame, level: str) -> pd.DataFrame:
    """MMLU as the share of all questions answered right, as its authors pool them; a step that lacks a subject is left out."""
    if subjects.empty:
        return subjects
    keys = ["model", "step", "shots", "metric", *(["category"] if level == "category" else [])]
    pooled = subjects.assign(right=subjects["value"] * subjects["n"]).groupby(keys, as_index=False)
    table = pooled.agg(
        right=("right", "sum"), n=("n", "sum"), chance=("chance", "first"), decides=("decides", "first"), tasks=("task", "nunique")
    )
    whole = table.groupby(["metric", *keys[4:]])["tasks"].transform("max")
    table = table[table["tasks"] == whole]
    value = table["right"] / table["n"]
    title = MMLU + ": " + table["category"] if level == "category" else MMLU
    return table.assign(value=value, stderr=np.sqrt(value * (1 - value) / (table["n"] - 1)), title=title, level=level)


def trajectories(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Every value with a 95 % interval: Wilson's for shares; for perplexity that of its logarithm."""
    share = table["metric"].isin(SHARES).to_numpy()
    value, stderr, n = (table[c].to_numpy(dtype=float) for c in ("value", "stderr", "n"))
    low, high = intervals.wilson(np.where(share, value * n, 0), np.where(share, n, 1))
    with np.errstate(over="ignore", invalid="ignore"):
        reach = np.exp(1.96 * stderr / value)
    rows = pd.DataFrame(
        {
            "model": table["model"],
            "step": table["step"],
            "metric": table["metric"].map(METRICS),
            "level": table["level"],
            "group": table["title"],
            "setting": table["shots"].map(setting),
            "value": value,
            "stderr": stderr,
            "ci_low": np.where(share, low, value / reach),
            "ci_high": np.where(share, high, value * reach),
            "n": table["n"].astype("Int64"),
            "method": np.where(share, "published share, Wilson interval over items", "published, normal interval of the logarithm"),
        }
    )
    return rows.to_dict("records")


def _rise(context: AnalysisContext, course: Course, shown: str, found: Findings) -> None:
    settings = context.settings.benchmarks
    claim, result = benchmarks.claims(settings)[RISES], benchmarks.rise(course, settings)
    late = course.late(settings.window)
    caveat = f"{len(course.tasks)} tasks, {shown}, {late.sum()} checkpoints from step {course.steps[late][0]:,} on."
    found.claims.append(row(claim, result, course.model, int(course.steps[-1]), caveat=caveat))
    slopes, residual = course.slopes(settings.window)
    for task, slope, error in zip(course.tasks, slopes, residual.T, strict=True):
        found.add("late_slopes", {"model": course.model, "task": task, "setting": shown, "slope": slope, "residual_sd": float(error.std())})
    simulate = partial(benchmarks.simulated_rise, course=course, settings=settings)
    note = "Items are drawn anew; what decides about one correlates by 0.8 between checkpoints. Tasks' slopes differ as they do there."
    found.calibrands.append(Calibrand(claim, course.model, simulate, objection(result), note=note))


def _declines(context: AnalysisContext, course: Course, found: Findings) -> None:
    settings = context.settings.benchmarks
    titles = benchmarks.titled(pd.Series(settings.decline_tasks))["title"]
    for task in titles.dropna().unique():
        if task not in course.tasks:
            continue
        claim, result = benchmarks.claims(settings)[DECLINES], benchmarks.decline(course, task)
        found.claims.append(row(claim, result, course.model, int(course.steps[-1]), task))
        simulate = partial(benchmarks.simulated_decline, course=course, task=task)
        note = "Items are drawn anew; what decides about one correlates by 0.8 between checkpoints."
        found.calibrands.append(Calibrand(claim, course.model, simulate, objection(result), note=note))


def _sooner(context: AnalysisContext, courses: dict[str, Course], found: Findings) -> None:
    """Each model against the smallest one of its order."""
    settings = context.settings.benchmarks
    claim = benchmarks.claims(settings)[SOONER]
    models = [m for m in context.suite.models if m.name in courses]
    for model in models:
        small = _smallest(model, models)
        if small is None:
            continue
        starts = benchmarks.head_starts(courses[model.name], courses[small.name], settings)
        values = np.array(list(starts.values()))
        result = benchmarks.over_tasks(values, benchmarks.head_start_facts(len(values)))
        listed = ", ".join(f"{task} {value:.2f}" for task, value in starts.items())
        caveat = f"Held against {small.name}; {LOG_TOKENS} by task: {listed or 'none that it learns between two checkpoints'}."
        found.claims.append(row(claim, result, model.name, int(courses[model.name].steps[-1]), caveat=caveat))
        if len(values):
            simulate = partial(benchmarks.simulated_head_start, starts=values)
            found.calibrands.append(Calibrand(claim, model.name, simulate, objection(result)))


def _smallest(model: Model, models: list[Model]) -> Model | None:
    own = [m for m in models if m.order == model.order]
    small = min(own, key=lambda m: (m.parameters_non_embedding, m.name))
    return small if small.parameters_non_embedding < model.parameters_non_embedding else None


def _notes(context: AnalysisContext, table: pd.DataFrame, found: Findings) -> None:
    found.note(
        "Published benchmarks are shares of items; intervals speak of items like these, not of other runs. All models answer the same "
        "items, so their errors are alike and the verdicts of a family are not independent pieces of evidence."
    )
    if MMLU in set(table["title"]):
        found.note(
            "MMLU is pooled over questions, of all 57 subjects and by its authors' four categories (Hendrycks et al. 2021). The harness of "
            "that time scored the answers' texts, not their letters, so these figures are not to be compared with later ones. "
            "Chance is 0.25."
        )
    found.note(
        "Chance is what guessing gives: 0.25 or 0.5 by the number of answers (a few questions of ARC have three or five). WSC's 104 items "
        "have unequal answers: a constant answer scores 0.365 or 0.635, which many checkpoints sit at, so WSC takes no part in claims."
    )
    found.note(
        "The margin of the late rise, its test over tasks and the leaving out of WSC were settled after a first look at published results, "
        "on which a margin of 0.01 had too little power: on those they are no prediction made beforehand."
    )
    absent = [m.name for m in context.suite.models if m.name not in set(table["model"])]
    if absent:
        found.note(f"No published benchmark results: {', '.join(absent)}.")
    wrong = context.left_out[context.left_out["status"].isin(["duplicate", "discontinuous"])]
    for detail, rows in wrong.groupby("detail", sort=False):
        where = [f"{name} at {_steps(own)}" for name, own in rows.groupby("model", sort=False)["step"]]
        found.note(f"Left out: {', '.join(where)}: {str(detail).rstrip('.')}.")
    branches = [m.name for m in context.suite.models if m.parent is not None and m.name in set(table["model"])]
    if branches:
        found.note(f"{', '.join(branches)}: trained on from another model's checkpoint, so shown, but without claims on the course.")


def _steps(steps: pd.Series) -> str:
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(str(s) for s in sorted(steps))}"
