"""How many rows are memorized, beside Pythia's published counts; and by place in the order, of complete lists."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.experiments.memorization.figures.rows import by_place
from trajectories.figures import Figure, FigureContext, theme

COLOURS = ["#c8442c", "#00768f", "#8a9097"]
"""This suite, then the published counts."""


def counts(context: FigureContext) -> list[Figure]:
    """The share of rows memorized against size and against rows seen, beside the published counts."""
    table = context.optional("counts")
    if table.empty or not (table["share"] > 0).any():
        return []
    table = table[table["share"] > 0]
    final = table[table["step"] == table.groupby(["series", "model"])["step"].transform("max")]
    fitted = context.optional("scaling")
    slopes = "; ".join(
        f"{r.series}: {r.slope:.3f} ({r.ci_low:.3f} to {r.ci_high:.3f})"
        for r in fitted.itertuples()  # type: ignore[attr-defined]
    )
    parameters = "non-embedding parameters"
    return [
        Figure(
            "memorized-by-size",
            "Memorized rows by size of the model",
            "Share of the rows seen that each model recites at its last step, with 95 % intervals where they are wider than the points. On "
            f"these logarithmic axes a power law is a straight line; exponents with 95 % intervals: {slopes or 'too few sizes'}.",
            _lines(final, "parameters_non_embedding", parameters),
        ),
        Figure(
            "memorized-over-training",
            "Memorized rows over training",
            "Share of the rows seen so far that a checkpoint recites. If it rises, models come to memorize rows more readily, or hold what "
            "they have seen better; if it stays level, memorized rows keep up with the rows seen.",
            _lines(table[table.groupby(["series", "model"])["step"].transform("nunique") > 1], "step", "training step", by="model"),
        ),
    ]


def _lines(table: pd.DataFrame, x: str, title: str, by: str = "series") -> alt.TopLevelMixin:
    data = table[["series", "model", "parameters_non_embedding", "step", "rows", "share", "ci_low", "ci_high", "source"]].copy()
    if data.empty:
        return theme.nothing()
    names = list(dict.fromkeys(data["series"]))
    colour = alt.Color("series:N", title=None, scale=alt.Scale(domain=names, range=_colours(names)), legend=alt.Legend(orient="top"))
    scale = alt.Scale(type="log", nice=False, padding=12)
    base = alt.Chart(data, width=520, height=280).encode(
        x=alt.X(f"{x}:Q", title=title, scale=scale, axis=alt.Axis(format="~s")), color=colour
    )
    share = {"title": "share of rows memorized", "scale": alt.Scale(type="log", nice=False, padding=12)}
    low = max(float(data["share"].min()) / 3, 1e-9)
    data["ci_low"] = data["ci_low"].clip(lower=low)
    y = alt.Y("share:Q", axis=alt.Axis(format=".2~%"), **share)
    tips = [alt.Tooltip("series:N"), alt.Tooltip("model:N"), alt.Tooltip("step:Q", format=",")]
    tips += [alt.Tooltip("share:Q", format=".3%"), alt.Tooltip("ci_low:Q", title="95 % from", format=".3%")]
    tips += [alt.Tooltip("ci_high:Q", title="95 % to", format=".3%"), alt.Tooltip("source:N")]
    line = base.mark_line(opacity=0.6).encode(y=y, detail=alt.Detail(f"{by}:N"))
    interval = base.mark_rule(opacity=0.5).encode(y=alt.Y("ci_low:Q", **share), y2="ci_high:Q")
    return alt.layer(interval, line, base.mark_point(size=45, opacity=1).encode(y=y, tooltip=tips))


def _colours(names: list[str]) -> list[str]:
    return [COLOURS[0] if name == "this suite" else COLOURS[1 + ("deduped" in name)] for name in names]


def positions(context: FigureContext) -> list[Figure]:
    """The share memorized by place in the order, of complete lists."""
    parts = context.optional("positions")
    if parts.empty:
        return []
    models = theme.model_order(context.trajectories)
    return [
        Figure(
            "position-memorized",
            "Place in the training order and memorization",
            "Share of all rows, seen once or more often, that each model recites at its last step, by their place in the order, with 95 % "
            "intervals. If later rows were better memorized, points would rise from left to right; a rise in the recency window alone is "
            "recency.",
            by_place(parts, "memorized", models, True),
        )
    ]
