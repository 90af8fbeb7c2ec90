"""Recognizing over training, and how its changes go with those of reproducing."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.experiments.bias.parts.probe import CONTROL
from trajectories.experiments.bias.parts.prompts import AVERAGED
from trajectories.figures import Figure, FigureContext, theme

LAST = "probe on the last layer"


def figures(context: FigureContext) -> list[Figure]:
    """None where nothing was asked or probed."""
    return [*_areas(context.trajectories), *_lags(context.optional("relation"), theme.model_order(context.trajectories))]


def _areas(table: pd.DataFrame) -> list[Figure]:
    data = table[(table["metric"] == "recognition_area") & (table["level"] == "set")]
    if data.empty:
        return []
    layer = data["setting"].str.extract(r"^probe, layer (\d+)$")[0].astype(float)
    last = layer == layer.groupby(data["model"]).transform("max")
    name = (
        data["setting"].where(~last, LAST).replace({AVERAGED: "prompts, three wordings averaged", CONTROL: "probe, labels dealt by a coin"})
    )
    kept = last | data["setting"].isin([AVERAGED, CONTROL])
    several = data["group"].nunique() > 1
    data = data.assign(panel=name if not several else data["group"] + ": " + name)[kept]
    return [
        Figure(
            "recognition",
            "Is the stereotyping sentence recognized?",
            "Area under the ROC curve, the chance that a stereotyping sentence scores higher than another, by a linear probe on hidden "
            "states that never saw the pair (nor the occupation), by prompts that ask whether the sentence is a stereotype, and, at the "
            "first and the last checkpoint, by probes for labels dealt by a coin. 95 % intervals; dashed: chance. A probe tells something "
            "that was learnt only as far as it rises above its first, untrained step.",
            theme.trajectory(data, "area under the ROC curve", facet="panel", reference=0.5, columns=3, height=170),
            steps_axis=True,
        )
    ]


def _lags(table: pd.DataFrame, order: list[str]) -> list[Figure]:
    if table.empty:
        return []
    data = table[table["group"] == "all pairs"]
    data = data.assign(
        panel="by " + data["recognized"] if data["set"].nunique() == 1 else data["set"] + ", " + data["recognized"],
        beyond=data["p"] <= 0.05,
    )
    data = data[["model", "panel", "lag", "value", "null_low", "null_high", "p", "n", "beyond"]]
    models = [m for m in order if m in set(data["model"])]
    base = alt.Chart(width=180, height=120).encode(
        x=alt.X("lag:O", title="reproducing leads by (checkpoints)", axis=alt.Axis(labelAngle=0))
    )
    scale, title = alt.Scale(domain=[-1, 1]), "rank correlation"
    band = base.mark_bar(opacity=0.25, color="#8a9097", size=14).encode(y=alt.Y("null_low:Q", title=title, scale=scale), y2="null_high:Q")
    zero = alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(y=alt.datum(0))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("lag:O"), alt.Tooltip("value:Q", format=".2f"), alt.Tooltip("p:Q", format=".2f")]
    tips.append(alt.Tooltip("n:Q", title="changes"))
    point = base.mark_point(size=60, opacity=1, color="#00768f").encode(y=alt.Y("value:Q", title=title, scale=scale), tooltip=tips)
    return [
        Figure(
            "recognition-lags",
            "Do reproducing and recognizing change together?",
            "Rank correlation between the changes, from checkpoint to checkpoint, of the signed likelihood difference (reproducing) and of "
            "the area under the ROC curve (recognizing), with one shifted against the other; right of 0 reproducing comes first. Grey bars "
            "hold 95 % of what circular shifts of one series give: a point inside is no more than chance; with few checkpoints there are "
            "few shifts, and some points lie outside by chance.",
            alt.layer(band, zero, point, data=data).facet(
                row=alt.Row("panel:N", title=None, header=alt.Header(labelAngle=0, labelAlign="left", labelLimit=180)),
                column=alt.Column("model:N", sort=models, title=None),
            ),
        )
    ]
