"""When paradigms are acquired, and how far models agree on the order."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures import Figure, theme

MARKS = {"none": "circle", "left": "triangle-left", "right": "triangle-right"}
CENSORED = {"none": "between two checkpoints", "left": "before the first checkpoint", "right": "not by the end"}


def acquisition(setting: str, name: str, timed: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """Tokens at acquisition, paradigms from early to late."""
    ranks = timed.assign(rank=timed.groupby("model")["upper_tokens"].rank())
    mean = ranks.groupby("paradigm")[["rank", "final"]].mean().sort_values(["rank", "final"], ascending=[True, False])
    return Figure(
        f"acquisition-{setting}",
        f"When paradigms of {name} are acquired",
        "The first checkpoint from which on accuracy stays at least halfway between chance and the model's own final level, in tokens "
        "seen; lines are 95 % intervals. Triangles are censored: to the left what was acquired before the first checkpoint, to the "
        "right, at the end of training, what was not acquired.",
        _dots(timed, mean.index.tolist(), sizes),
    )


def agreement(setting: str, name: str, judged: pd.DataFrame, together: pd.DataFrame, models: list[str]) -> Figure:
    """Rank correlations of pairs of models, and the concordance of groups that share something."""
    pairs = theme.heatmap(
        judged, "model", "other", "rho", value_title="rank correlation", domain=(0, 1), label=True, cell=24, sort_x=models, sort_y=models
    )
    return Figure(
        f"agreement-{setting}",
        f"Agreement on the order of acquisition of {name}",
        "Above: Spearman's rank correlation of two models' orders of acquisition over paradigms, with ties for what is censored. Below: "
        "Kendall's W (0: no agreement, 1: the same order) of all models and of those that share a size, an order or a seed, with 95 % "
        "intervals over phenomena; the cross is what W would be on average if the orders had nothing to do with each other, one over the "
        "number of models.",
        alt.vconcat(pairs, _groups(together), spacing=24).resolve_scale(color="independent"),
    )


def _groups(together: pd.DataFrame) -> alt.TopLevelMixin:
    data = together.assign(
        label=[f"{g} ({m})" for g, m in zip(together["group"], together["models"], strict=True)], chance=1 / together["models"]
    )
    data = data[["label", "w", "ci_low", "ci_high", "p", "rho", "partial", "chance"]]
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(data, width=420, height=alt.Step(18)).encode(y=alt.Y("label:N", sort=data["label"].tolist(), title="models (number)"))
    tips = ["label:N", *(alt.Tooltip(f"{c}:Q", format=".2~f") for c in ("w", "ci_low", "ci_high", "p", "rho", "partial"))]
    return alt.layer(
        base.mark_rule().encode(x=alt.X("ci_low:Q", scale=scale, title="Kendall's W"), x2="ci_high:Q"),
        base.mark_point(shape="cross", size=40, color="#888").encode(x=alt.X("chance:Q", scale=scale)),
        base.mark_point(filled=True, size=60).encode(x=alt.X("w:Q", scale=scale), tooltip=tips),
    )


def _dots(timed: pd.DataFrame, order: list[str], sizes: pd.DataFrame) -> alt.TopLevelMixin:
    """Tokens at acquisition by paradigm and model, on a logarithmic axis that starts below the first checkpoint."""
    finite = timed[["lower_tokens", "upper_tokens"]].replace([np.inf, 0], np.nan)
    first, last = float(np.nanmin(finite)), float(np.nanmax(finite))
    data = timed.assign(
        tokens=timed["upper_tokens"].clip(lower=first / 2, upper=last),
        low=timed["ci_low_tokens"].clip(lower=first / 2, upper=last),
        high=timed["ci_high_tokens"].clip(lower=first / 2, upper=last),
        state=timed["censored"].map(CENSORED),
    )
    kept = ["model", "paradigm", "phenomenon", "tokens", "low", "high", "state", "final", "lower_step", "upper_step", "share"]
    data = data[kept].replace(np.inf, np.nan)
    colours, _ = theme.model_scales(sizes)
    chosen = alt.selection_point(fields=["model"], bind="legend", name="legend_model")
    strength = alt.condition(chosen, alt.value(0.9), alt.value(0.06))
    few = len(colours.domain) <= 5
    base = alt.Chart(data, width=480, height=alt.Step(7 if few else 12)).encode(
        y=alt.Y("paradigm:N", sort=order, title=None, axis=alt.Axis(labelFontSize=9, labelLimit=360)),
        color=alt.Color("model:N", scale=colours, sort=None, legend=alt.Legend(title="model", columns=1)),
        opacity=strength,
    )
    x = alt.X(
        "tokens:Q", title="tokens seen", scale=alt.Scale(type="log", domain=[first / 2, last], nice=False), axis=alt.Axis(format="~s")
    )
    shape = alt.Shape("state:N", title="acquired", scale=alt.Scale(domain=list(CENSORED.values()), range=list(MARKS.values())))
    tips: list[Any] = [alt.Tooltip(f"{c}:N") for c in ("model", "paradigm", "phenomenon", "state")]
    tips += [alt.Tooltip("lower_step:Q", title="after step", format=","), alt.Tooltip("upper_step:Q", title="by step", format=",")]
    tips += [alt.Tooltip("final:Q", title="final accuracy", format=".1%")]
    if few:
        base = base.encode(yOffset=alt.YOffset("model:N", sort=colours.domain, scale=alt.Scale(paddingOuter=0.5)))
    return alt.layer(
        base.mark_rule(strokeWidth=1).encode(x=alt.X("low:Q", title="tokens seen"), x2="high:Q"),
        base.mark_point(size=26, filled=True).encode(x=x, shape=shape, tooltip=tips).add_params(chosen),
    )
