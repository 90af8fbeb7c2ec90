"""Published benchmarks over training, by task."""

from __future__ import annotations

import pandas as pd

from trajectories.experiments.knowledge import benchmarks
from trajectories.figures import Figure, FigureContext, theme

SHOTS = {"0-shot": "without examples", "5-shot": "after five solved examples"}


def figures(context: FigureContext) -> list[Figure]:
    """Accuracy by task for each number of shots, MMLU by category, and what late training adds to each task."""
    table = context.trajectories
    if context.suite.source != "published" or table.empty:
        return []
    table = table[table["metric"] == "accuracy"]
    chance = benchmarks.known().set_index("title")["chance"]
    # the legend must hold the models that a reader compares: branches are in the tables
    own = table[table["branch"].isna()].assign(chance=table["group"].str.partition(":")[0].map(chance), task=table["group"])
    own, placed = _alike(context, own)
    found = [_tasks(own, setting, placed) for setting in SHOTS if (own["setting"] == setting).any()]
    return found + _categories(own, placed) + _late(context)


def _alike(context: FigureContext, table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The table with steps of the suite's commonest batch, so that models with other batches stand where they saw as many tokens."""
    batch = pd.Series({m.name: m.tokens_per_step for m in context.suite.models if m.name in set(table["model"])})
    usual = int(batch.mode().iloc[0])
    said = f" Models with other batches stand where a step is {usual:,} tokens." if batch.nunique() > 1 else ""
    return table.assign(step=(table["tokens"] / usual).round().astype(int)), said


def _tasks(table: pd.DataFrame, setting: str, placed: str) -> Figure:
    rows = table[(table["level"] == "task") & (table["setting"] == setting)]
    order = {task: place for place, task in enumerate(benchmarks.known()["title"])}
    return Figure(
        f"benchmarks-{setting}",
        f"Benchmarks over training, {SHOTS[setting]}",
        "Share of items answered right by each checkpoint, a panel per benchmark with an axis of its own, as published. Bands are 95 % "
        "intervals over items; dashes mark what guessing gives (LAMBADA, whose last word is to be found, has no such level). Colour tells "
        f"the size.{placed}",
        theme.trajectory(
            rows.sort_values("task", key=lambda tasks: tasks.map(order), kind="stable"),
            "accuracy",
            facet="task",
            header="",
            reference="chance",
            independent=True,
            percent=True,
        ),
        steps_axis=True,
    )


def _categories(table: pd.DataFrame, placed: str) -> list[Figure]:
    rows = table[(table["level"] == "category") & (table["setting"] == "5-shot")]
    rows = rows if len(rows) else table[table["level"] == "category"]
    if rows.empty:
        return []
    setting = str(rows["setting"].iloc[0])
    return [
        Figure(
            "mmlu-by-category",
            f"MMLU by category, {SHOTS.get(setting, setting)}",
            "Share of MMLU's questions answered right, all questions of a category pooled. Bands are 95 % intervals over questions; dashes "
            f"mark chance. Answers were scored as texts, not as letters.{placed}",
            theme.trajectory(rows, "accuracy", facet="task", header="", columns=2, reference="chance", percent=True),
            steps_axis=True,
        )
    ]


def _late(context: FigureContext) -> list[Figure]:
    slopes = context.optional("late_slopes")
    if slopes.empty:
        return []
    reach = float(slopes["slope"].abs().max())
    tasks = [t for t in benchmarks.known()["title"] if t in set(slopes["task"])]
    slopes = slopes.assign(points=100 * slopes["slope"])
    return [
        Figure(
            "late-gains",
            "What late training adds to each benchmark",
            "Slope of accuracy on the logarithm of the tokens seen in late training, in percentage points per tenfold tokens. Above 0 a "
            "model still gains, below 0 it loses again what it had learnt.",
            theme.heatmap(
                slopes,
                "task",
                "model",
                "points",
                value_title="points per tenfold",
                domain=(-100 * reach, 100 * reach),
                label=True,
                cell=20,
                sort_x=tasks,
                sort_y=theme.model_order(context.trajectories[context.trajectories["model"].isin(slopes["model"])]),
            ),
        )
    ]
