"""Canaries by their number of copies and by their place in training."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from trajectories.experiments.memorization.figures.common import place
from trajectories.figures import Figure, FigureContext, theme
from trajectories.suites import Model

LEAST_CANARIES = 30
"""Numbers of copies that fewer canaries have are left out of the figure over places."""
MOST_MODELS = 4


def figures(context: FigureContext) -> list[Figure]:
    """By copies, and by place; none where no canaries were planted."""
    return _by_copies(context) + _by_place(context)


def _by_copies(context: FigureContext) -> list[Figure]:
    table = context.trajectories
    data = table[(table["level"] == "copies") & table["metric"].isin(["extractable", "matched"])]
    if data.empty:
        return []
    data = data[data["step"] == data.groupby("model")["step"].transform("max")]
    data = data.assign(
        copies=data["group"].astype(int),
        measure=data["metric"].map({"extractable": "extractable", "matched": "share of the span matched"}),
    )
    data = data[["model", "parameters_non_embedding", "step", "copies", "measure", "value", "ci_low", "ci_high", "n"]]
    colours, dashes = theme.model_scales(data)
    base = alt.Chart(width=270, height=200).encode(
        x=alt.X("copies:O", title="planted copies", axis=alt.Axis(grid=False, labelAngle=0)),
        color=alt.Color("model:N", scale=colours, sort=None),
    )
    scale = alt.Scale(domain=[0, 1], clamp=True)
    y = alt.Y("value:Q", title="share", scale=scale, axis=alt.Axis(format=".0%", tickCount=5))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("copies:O"), alt.Tooltip("value:Q", title="share", format=".1%")]
    tips.append(alt.Tooltip("n:Q", title="canaries"))
    interval = base.mark_rule(opacity=0.4).encode(y=alt.Y("ci_low:Q", title="share", scale=scale), y2="ci_high:Q")
    line = base.mark_line().encode(y=y, strokeDash=alt.StrokeDash("model:N", scale=dashes, sort=None))
    point = base.mark_point(size=40, opacity=1).encode(y=y, tooltip=tips)
    chart = alt.layer(interval, line, point, data=data).facet(alt.Facet("measure:N", title=None), columns=2)
    return [
        Figure(
            "canaries",
            "Canaries by their number of copies",
            "Random sequences planted a known number of times, at each model's last checkpoint: share whose scored tokens greedy decoding "
            "gives, and mean share that it gives before its first error; 95 % intervals over canaries. More copies should never "
            "mean less, and canaries with 0 copies, which are never planted, should never be extractable.",
            chart,
        )
    ]


def shown(models: Sequence[Model]) -> list[str]:
    """The models that get a panel: the first of each size, order and course of the learning rate, at most :data:`MOST_MODELS`."""
    kinds = {(m.parameters_non_embedding, m.order, m.schedule): m.name for m in reversed(models)}
    return [m.name for m in models if m.name in kinds.values()][:MOST_MODELS]


def _by_place(context: FigureContext) -> list[Figure]:
    table = context.optional("canary_places")
    if table.empty:
        return []
    models = shown(context.suite.models)
    data = table[table["model"].isin(models) & (table["metric"] == "logprob")]
    enough = data[data["model"] == data["model"].iloc[0]].groupby("copies")["n"].sum() if len(data) else pd.Series(dtype=int)
    data = data[data["copies"].isin(enough.index[enough >= LEAST_CANARIES])]
    if data.empty:
        return []
    data = data[["model", "copies", "x", "value", "ci_low", "ci_high", "n"]]
    levels = sorted(set(data["copies"]))
    colour = alt.Color(
        "copies:O", title="copies", scale=alt.Scale(domain=levels, range=theme.ramp(len(levels))), legend=alt.Legend(symbolOpacity=1)
    )
    scale, title = alt.Scale(zero=False), "log-probability per token"
    base = alt.Chart(width=250, height=170).encode(x=place("x", "mean place of the copies among the rows seen"), color=colour)
    tips = [alt.Tooltip("model:N"), alt.Tooltip("copies:O"), alt.Tooltip("x:Q", title="place", format=".2f")]
    tips += [alt.Tooltip("value:Q", title=title, format=".2f"), alt.Tooltip("n:Q", title="canaries")]
    y = alt.Y("value:Q", title=title, scale=scale)
    interval = base.mark_rule(opacity=0.5).encode(y=alt.Y("ci_low:Q", title=title, scale=scale), y2="ci_high:Q")
    layers = [interval, base.mark_line().encode(y=y), base.mark_point(size=40, opacity=1).encode(y=y, tooltip=tips)]
    chart = alt.layer(*layers, data=data).facet(alt.Facet("model:N", sort=models, title=None), columns=2)
    return [
        Figure(
            "canaries-by-place",
            "Canaries by their place in training",
            "Mean log-probability of the canaries' scored tokens at the last checkpoint, by number of copies and by place, which was drawn "
            "at random; 95 % intervals. A rise to the right is what a later place does, time to forget included.",
            chart,
        )
    ]
