"""Rows seen and not yet seen over training, and outcomes by place in the order."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.experiments.memorization.figures.common import place, primary_window
from trajectories.figures import Figure, FigureContext, theme

PARTS = {"before": "#00768f", "recency window": "#c8442c"}


def figures(context: FigureContext) -> list[Figure]:
    """The figures of rows; one without data is left out."""
    table = context.trajectories
    table = primary_window(table)
    rows = table[table["level"] == "exposure"]
    found = [
        Figure(
            "extractable",
            "Rows that the model can recite",
            "Share of rows of which greedy decoding gives the scored tokens after the given ones, by what the checkpoint has seen of them; "
            "bands are 95 % intervals that respect batches and copies. The distance from the rows never or not yet seen is what meeting "
            "them did.",
            theme.trajectory(rows[rows["metric"] == "extractable"], "extractable", facet="group", columns=3, width=190, percent=True),
            steps_axis=True,
        ),
        Figure(
            "likelihood",
            "Probability of rows seen and not yet seen",
            "Mean log-probability of the scored tokens in nats per token. Where rows seen once keep above those never or not yet seen, "
            "a single exposure left a trace.",
            theme.trajectory(rows[rows["metric"] == "logprob"], "log-probability per token", facet="group", columns=3, width=190),
            steps_axis=True,
        ),
    ]
    return found + _positions(context)


def _positions(context: FigureContext) -> list[Figure]:
    positions = context.optional("positions")
    if positions.empty:
        return []
    models = theme.model_order(context.trajectories)
    drawn = []
    for metric, title in (("extractable", "extractable"), ("logprob", "log-probability per token")):
        percent = metric == "extractable"
        drawn.append(
            Figure(
                "position-memorized" if percent else "position-likelihood",
                f"Place in the training order and {'memorization' if percent else 'probability'}",
                f"Rows seen exactly once by each model's last checkpoint, by their place among them: {title}, with 95 % intervals. If "
                "later rows were better memorized, points would rise from left to right; a rise in the recency window alone is recency.",
                by_place(positions[positions["metric"] == metric], title, models, percent),
            )
        )
    return drawn


def by_place(data: pd.DataFrame, title: str, models: list[str], percent: bool) -> alt.TopLevelMixin:
    """A panel per model: values with intervals by place ``x`` among the rows seen, the recency window in another colour."""
    data = data[["model", "x", "part", "value", "ci_low", "ci_high", "n"]]
    number = ".1%" if percent else ".3f"
    scale = alt.Scale(zero=percent)
    colour = alt.Color("part:N", title=None, scale=alt.Scale(domain=list(PARTS), range=list(PARTS.values())))
    base = alt.Chart(width=250, height=140).encode(
        x=place("x"),
        color=colour,
    )
    y = alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(format=".0%" if percent else "~g", tickCount=5))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("x:Q", title="place", format=".3f")]
    tips += [alt.Tooltip("value:Q", title=title, format=number), alt.Tooltip("n:Q", title="rows", format=",")]
    interval = base.mark_rule(opacity=0.6).encode(y=alt.Y("ci_low:Q", title=title, scale=scale), y2="ci_high:Q")
    point = base.mark_point(size=40, opacity=1).encode(y=y, tooltip=tips)
    chart = alt.layer(interval, point, data=data).facet(alt.Facet("model:N", sort=models, title=None), columns=2)
    return chart.resolve_scale(y="independent")
