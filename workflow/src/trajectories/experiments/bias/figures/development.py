"""What models with checkpoints of their own learn: planted skew, preference, recognition, and how the last two go together."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from trajectories.experiments.bias.parts.occupations import COUNTED, SEEN
from trajectories.experiments.bias.parts.probe import CONTROL
from trajectories.experiments.bias.parts.prompts import AVERAGED
from trajectories.experiments.bias.scores import STEREOTYPED
from trajectories.figures import Figure, FigureContext, theme

BLUE, GREY = "#00768f", "#6b6b6b"


def figures(context: FigureContext) -> list[Figure]:
    """None on published results."""
    if context.suite.source == "published" or context.trajectories.empty:
        return []
    branches = {m.name for m in context.suite.models if m.parent is not None}
    table = context.trajectories[~context.trajectories["model"].isin(branches)]
    found = [*_occupations(table), *_slopes(table), *_preferred(table, context.settings.categories), *_recognized(table)]
    relation = context.optional("relation")
    return found + (_relation(relation) if len(relation) else [])


def _occupations(table: pd.DataFrame) -> list[Figure]:
    last = table[(table["level"] == "occupation") & (table["step"] == table.groupby("model")["step"].transform("max"))]
    model = last[last["metric"] == "pronoun_log_odds"][["model", "group", "value", "ci_low", "ci_high"]]
    counts = last[last["metric"] == "counted_log_odds"][["model", "group", "value"]].rename(columns={"value": "counted"})
    data = model.merge(counts, on=["model", "group"])
    if data.empty:
        return []
    ends = [float(data["counted"].min()), float(data["counted"].max())]
    lines = pd.DataFrame([{"model": m, "counted": e, "value": e} for m in data["model"].unique() for e in ends])
    both = pd.concat([data.assign(kind="occupation"), lines.assign(kind="line")], ignore_index=True)
    x = alt.X("counted:Q", title="log odds of she to he, counted in training", axis=alt.Axis(tickCount=7))
    y_title = "log odds in the model"
    tips = [alt.Tooltip("model:N"), alt.Tooltip("group:N", title="occupation"), alt.Tooltip("counted:Q", format="+.2f")]
    tips += [
        alt.Tooltip(f"{c}:Q", title=t, format="+.2f") for c, t in (("value", "model"), ("ci_low", "95 % from"), ("ci_high", "95 % to"))
    ]
    points = alt.Chart().transform_filter("datum.kind == 'occupation'").encode(x=x)
    chart = alt.layer(
        alt.Chart()
        .transform_filter("datum.kind == 'line'")
        .mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1.6)
        .encode(x=x, y=alt.Y("value:Q", title=y_title)),
        points.mark_rule(opacity=0.35, color=BLUE).encode(y=alt.Y("ci_low:Q", title=y_title), y2="ci_high:Q"),
        points.mark_point(size=45, opacity=1, color=BLUE).encode(y=alt.Y("value:Q", title=y_title), tooltip=tips),
        data=both,
    ).properties(width=260, height=200)
    return [
        Figure(
            "occupations-counted",
            "Pronouns of planted occupations against those read in training",
            "Each point is an occupation at the last checkpoint: the mean log odds of the feminine pronoun over the templates that training "
            "has it in, with the 95 % interval over these templates, against the log odds counted up to that step. On the dashed line the "
            "model matches what it read; a cloud steeper than it amplifies the skew, a flatter one shrinks it.",
            chart.facet(alt.Facet("model:N", sort=theme.model_order(table), title=None), columns=3),
        )
    ]


def _slopes(table: pd.DataFrame) -> list[Figure]:
    data = table[(table["metric"] == "matching_slope") & (table["setting"] == COUNTED)]
    if data.empty:
        return []
    data = data.sort_values("group", key=lambda g: g != SEEN, kind="stable")
    return [
        Figure(
            "occupations-slope",
            "Does the model match, shrink or amplify the skew that it reads?",
            "Slope, over planted occupations, of the model's log odds of the pronoun on the log odds counted in its training up to that step; "
            "bands are 95 % intervals over occupations. On the dashed line, 1, the model matches; above it, it amplifies. In the held-out "
            "template, which training never has with that occupation, a slope above 0 is carried over from other sentences.",
            theme.trajectory(data, "slope on counted log odds", facet="group", reference=1.0, width=300, height=200, header="templates"),
            steps_axis=True,
        )
    ]


def _preferred(table: pd.DataFrame, most: int) -> list[Figure]:
    data = table[(table["metric"] == "stereotype_preferred") & table["level"].isin(["all", "category"])]
    data = data[data["setting"].isin(STEREOTYPED)]
    if data.empty:
        return []
    data = data.assign(panel=data["setting"].map(STEREOTYPED) + ": " + data["group"])
    sizes = data.groupby("panel")["n"].max()
    shown = []
    for part in STEREOTYPED:
        own = data[data["setting"] == part]
        names = sorted(own["panel"].unique(), key=lambda p: -sizes[p])[: most + 1]  # all pairs come first
        shown += [own[own["panel"] == name] for name in names]
    return [
        Figure(
            "stereotype-preferred",
            "Which sentence of a pair is the likelier?",
            "Share of pairs whose stereotyping sentence the model finds likelier, for all pairs and by category, the largest first; for planted "
            "occupations the stereotype is the pronoun planted more often, and categories are which one that is. Above the dashed line, "
            "50 %, stereotypes are preferred. Bands are 95 % intervals over pairs or occupations.",
            theme.trajectory(pd.concat(shown), "stereotype preferred", facet="panel", reference=0.5, percent=True, header="pairs"),
            steps_axis=True,
        )
    ]


def _recognized(table: pd.DataFrame) -> list[Figure]:
    areas = table[(table["metric"] == "recognition_area") & (table["level"] == "set")]
    if areas.empty:
        return []
    layers = sorted({s for s in areas["setting"] if s.startswith("probe, layer ")}, key=lambda s: int(s.split()[-1]))
    names = {AVERAGED: "prompts, mean of the wordings", CONTROL: "probe of control labels"}
    # models may differ in depth: the last layer of each decides
    depth = areas[areas["setting"].isin(layers)].assign(number=lambda t: t["setting"].str.split().str[-1].astype(int))
    deepest = depth[depth["number"] == depth.groupby("model")["number"].transform("max")].assign(panel="probe, last layer")
    rest = [areas[areas["setting"] == s].assign(panel=n) for s, n in names.items()]
    data = pd.concat([deepest, *rest])
    data = data.assign(panel=data["group"] + ": " + data["panel"])
    return [
        Figure(
            "recognition",
            "Is the stereotyping sentence of a pair recognized?",
            "Area under the ROC curve with which stereotyping sentences are told from their pairs, by asking (three wordings) and by a linear "
            "probe of the last layer's state, cross-validated; 0.5, the dashed line, is chance. What words alone give is the probe at step 0, "
            "untrained, and what a probe makes of labels dealt by a coin is the last panel. Bands are 95 % intervals over pairs or occupations.",
            theme.trajectory(data, "area under the ROC curve", facet="panel", reference=0.5, header="way of telling"),
            steps_axis=True,
        )
    ]


def _relation(relation: pd.DataFrame) -> list[Figure]:
    data = relation[relation["group"] == "all pairs"]
    data = data[np.isfinite(data["value"])]
    if data.empty:
        return []
    data = data.assign(panel=data["model"] + ", " + data["set"])[["panel", "recognized", "lag", "value", "null_low", "null_high", "p", "n"]]
    x = alt.X("lag:O", title="checkpoints by which reproducing leads", axis=alt.Axis(labelAngle=0))
    tips: list[Any] = [alt.Tooltip("lag:O"), alt.Tooltip("value:Q", title="rank correlation", format="+.2f")]
    tips += [alt.Tooltip("p:Q", format=".2f"), alt.Tooltip("n:Q", title="changes")]
    y_title = "rank correlation of changes"
    scale = alt.Scale(domain=[-1, 1])
    base = alt.Chart().encode(x=x)
    chart = alt.layer(
        alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(y=alt.datum(0)),
        base.mark_bar(size=14, opacity=0.22, color=GREY).encode(y=alt.Y("null_low:Q", title=y_title, scale=scale), y2="null_high:Q"),
        base.mark_point(size=55, opacity=1, color=BLUE).encode(y=alt.Y("value:Q", title=y_title, scale=scale), tooltip=tips),
        data=data,
    ).properties(width=200, height=130)
    return [
        Figure(
            "relation",
            "Do reproducing and recognizing change together?",
            "Rank correlation of what changes from checkpoint to checkpoint in the signed likelihood difference (reproducing) and in the area "
            "of the probe or of the prompts (recognizing), with one shifted against the other; positive: reproducing leads. Grey bars hold the "
            "middle 95 % of correlations after circular shifts, which break any relation: points inside them are what chance gives.",
            chart.facet(row=alt.Row("panel:N", title=None), column=alt.Column("recognized:N", title="recognized by")),
        )
    ]
