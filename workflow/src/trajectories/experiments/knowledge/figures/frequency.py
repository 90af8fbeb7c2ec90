"""Accuracy against how often terms occur in training."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

MOST_STEPS = 4
"""Checkpoints that a figure of accuracy against frequency shows, spread over training on a logarithmic axis."""


def figures(context: FigureContext) -> list[Figure]:
    """Facts by how often they are told, the slope over training, and arithmetic by operand; nothing where nothing was counted."""
    found = []
    bins, operands = context.optional("frequency_bins"), context.optional("operands")
    slopes = context.trajectories[context.trajectories["metric"] == "frequency_slope"]
    if len(bins):
        found.append(_facts(bins, context))
    if len(slopes):
        found.append(_slopes(slopes))
    if len(operands):
        found.append(_operands(operands, context))
    return found


def spread(steps: pd.Series) -> list[int]:
    """A few steps above 0, about evenly spaced in their logarithm, the last one among them."""
    known = np.unique(steps[steps > 0])
    wanted = np.geomspace(max(known[0], known[-1] / 100), known[-1], MOST_STEPS)
    return sorted({int(known[np.argmin(np.abs(np.log(known / w)))]) for w in wanted})


def _facts(bins: pd.DataFrame, context: FigureContext) -> Figure:
    rows = bins[bins["step"].isin(spread(bins["step"]))].assign(told=bins["count"] + 1)
    rows = rows.assign(panel=["step " + format(s, ",") for s in rows["step"]]).sort_values("step", kind="stable")
    return Figure(
        "facts-by-frequency",
        "Facts that training tells often are produced",
        "Share of facts whose right answer is chosen, by the number of documents seen so far in which subject and object both stand (plus "
        "one, so that facts that were never told stand at the left); a panel per step. Bars are 95 % intervals over facts.",
        _against(rows, "told", "documents that tell the fact, plus one", context),
    )


def _slopes(slopes: pd.DataFrame) -> Figure:
    return Figure(
        "frequency-slope",
        "How much frequency matters, over training",
        "Log odds ratio of choosing the right answer per tenfold number of documents that tell a fact, given its relation. Bands are 95 % "
        "intervals over subjects; at 0 frequency does not matter. Checkpoints with fewer than 20 right or wrong answers are left out.",
        theme.trajectory(slopes, "log odds ratio per tenfold", reference=0),
        steps_axis=True,
    )


def _operands(operands: pd.DataFrame, context: FigureContext) -> Figure:
    rows = operands.assign(told=operands["count"] + 1, panel=operands["group"] + ", " + operands["setting"])
    return Figure(
        "operands-by-frequency",
        "Arithmetic by how often the first number occurs",
        "Share of problems with a first operand that are solved at the last checkpoint, by how often training has shown that number; a "
        "panel per operation and number of solved examples before the question. Bars are 95 % intervals over problems.",
        _against(rows, "told", "occurrences of the first operand, plus one", context, line=False),
    )


def _against(rows: pd.DataFrame, x: str, title: str, context: FigureContext, line: bool = True) -> alt.TopLevelMixin:
    """Accuracy with intervals against a count, coloured by model, a panel for each value of ``panel``."""
    sizes = {m.name: m.parameters_non_embedding for m in context.suite.models}
    data = rows.assign(parameters_non_embedding=rows["model"].map(sizes))
    colours, _ = theme.model_scales(data)
    panels = list(dict.fromkeys(data["panel"]))
    data = data[["model", "panel", x, "value", "ci_low", "ci_high", *(["n"] if "n" in data else []), *(["x1"] if "x1" in data else [])]]
    colour = alt.Color("model:N", scale=colours, sort=None, legend=alt.Legend(title="model", columns=1, symbolOpacity=1))
    axis = alt.X(f"{x}:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=8), axis=alt.Axis(format="~s", tickCount=5))
    y: dict[str, Any] = {"title": "accuracy", "scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(format=".0%", tickCount=5)}
    tips = [
        alt.Tooltip("model:N"),
        alt.Tooltip(f"{x}:Q", title=title, format=",.0f"),
        alt.Tooltip("value:Q", title="accuracy", format=".1%"),
    ]
    tips += [alt.Tooltip("ci_low:Q", title="95 % from", format=".1%"), alt.Tooltip("ci_high:Q", title="95 % to", format=".1%")]
    tips += [alt.Tooltip(f"{name}:Q", title=said) for name, said in (("n", "facts"), ("x1", "first operand")) if name in data]
    base = alt.Chart(width=210, height=150).encode(x=axis, color=colour)
    layers: list[alt.Chart] = [base.mark_rule(opacity=0.45).encode(y=alt.Y("ci_low:Q", **y), y2="ci_high:Q")]
    layers += [base.mark_line(strokeWidth=1.4).encode(y=alt.Y("value:Q", **y))] if line else []
    layers.append(base.mark_point(size=26, opacity=0.9).encode(y=alt.Y("value:Q", **y), tooltip=tips))
    return alt.layer(*layers, data=data).facet(alt.Facet("panel:N", sort=panels, title=None), columns=2 if len(panels) in (2, 4) else 3)
