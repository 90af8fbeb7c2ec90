"""Planted occupations: the model's pronouns against those that it read, at the end and over training."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from trajectories.experiments.bias.parts.occupations import COUNTED
from trajectories.figures import Figure, FigureContext, theme


def figures(context: FigureContext) -> list[Figure]:
    """None where no occupations were planted."""
    table = context.trajectories
    return [*_matching(table[table["level"] == "occupation"]), *_slopes(table[table["metric"] == "matching_slope"])]


def _matching(table: pd.DataFrame) -> list[Figure]:
    table = table[table["step"] == table.groupby("model")["step"].transform("max")]
    said, read = (table[table["metric"] == name] for name in ("pronoun_log_odds", "counted_log_odds"))
    if said.empty or read.empty:
        return []
    data = said.merge(read[["model", "group", "value"]].rename(columns={"value": "read"}), on=["model", "group"])
    data = data[["model", "group", "read", "value", "ci_low", "ci_high"]].rename(columns={"group": "occupation"})
    models = theme.model_order(said)
    reach = float(np.nanmax(np.abs(data[["read", "value", "ci_low", "ci_high"]].to_numpy(dtype=float)))) * 1.05
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    x = alt.X("read:Q", title="log odds of she to he, as read", scale=scale, axis=alt.Axis(tickCount=5))
    title = "log odds, of the model"
    y = alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5))
    data = data.assign(left=-reach, right=reach)
    base = alt.Chart(width=210, height=210).encode(x=x)
    ends = {"x": alt.X("left:Q", scale=scale), "x2": "right:Q", "y": alt.Y("left:Q", title=title, scale=scale), "y2": "right:Q"}
    rule = alt.Chart(width=210, height=210).mark_rule(strokeDash=[4, 3], color="#8a9097", strokeWidth=1).encode(**ends)  # type: ignore[arg-type]
    interval = base.mark_rule(opacity=0.5, color="#00768f").encode(y=alt.Y("ci_low:Q", title=title, scale=scale), y2="ci_high:Q")
    tips = [alt.Tooltip("model:N"), alt.Tooltip("occupation:N"), alt.Tooltip("read:Q", format=".2f"), alt.Tooltip("value:Q", format=".2f")]
    point = base.mark_point(size=40, opacity=1, color="#00768f").encode(y=y, tooltip=tips)
    return [
        Figure(
            "occupations-matching",
            "Do models amplify the skew of pronouns that they read?",
            "Each point is an occupation at the model's last checkpoint: log odds of she to he in the sentences that the model has read so "
            "far, and in what it predicts, with 95 % intervals over sentence templates. On the dashed diagonal a model gives back what it "
            "read; a steeper cloud amplifies, a flatter one shrinks towards the mean of all occupations. A branch read pronouns of both "
            "kinds, before it began and after.",
            alt.layer(interval, rule, point, data=data).facet(alt.Facet("model:N", sort=models, title=None), columns=3),
        )
    ]


def _slopes(table: pd.DataFrame) -> list[Figure]:
    data = table[(table["setting"] == COUNTED) & table["stderr"].notna()]
    # before occupations have been read often, their counts hardly differ and a slope on them says nothing
    data = data[data["stderr"] < 1]
    if data.empty:
        return []
    return [
        Figure(
            "occupations-slope",
            "The skew of pronouns over training",
            "Slope over occupations of the model's log odds of she to he on those that it has read up to the step, with 95 % intervals: 0 "
            "is no association with the occupation, 1 (dashed) matches the text, more amplifies it. Left in templates in which the "
            "occupation was read, right in the one held out, where only a generalized skew gives a slope. Steps at which the slope's "
            "standard error is 1 or more are left out.",
            theme.trajectory(data, "slope on log odds read", facet="group", reference=1.0, columns=2, width=270, height=200),
            steps_axis=True,
        )
    ]
