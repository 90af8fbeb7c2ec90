"""What ``grammar`` draws: accuracy over training, when each paradigm is acquired, and how far models agree on the order."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

TITLES = {"blimp": "BLiMP", "planted": "planted pairs", "planted-seen": "planted pairs seen in training"}
MARKS = {"none": "circle", "left": "triangle-left", "right": "triangle-right"}
CENSORED = {"none": "between two checkpoints", "left": "before the first checkpoint", "right": "not by the end"}


def figures(context: FigureContext) -> list[Figure]:
    """The figures of every set of pairs, at most as many sets as the settings allow."""
    accuracy = context.trajectories[context.trajectories["metric"] == "accuracy"]
    acquisition, agreement = (context.extra(name) for name in ("acquisition", "agreement"))  # noqa: S610 (a table's name, no SQL)
    found = []
    for setting in list(dict.fromkeys(accuracy["setting"]))[: context.settings.sets]:
        name, own = TITLES.get(setting, setting), accuracy[accuracy["setting"] == setting]
        found += _accuracy(str(setting), name, own)
        timed = (
            acquisition[(acquisition["setting"] == setting) & (acquisition["criterion"] == "midway")] if len(acquisition) else acquisition
        )
        if setting.endswith("-seen") or timed.empty:
            continue
        sizes = own[own["model"].isin(timed["model"])].drop_duplicates("model")
        models = theme.model_order(sizes)
        found += _order(str(setting), name, timed, sizes)
        judged = agreement[(agreement["setting"] == setting) & (agreement["criterion"] == "midway")] if len(agreement) else agreement
        if judged["rho"].notna().any() if len(judged) else False:
            found.append(_agreement(str(setting), name, judged, models))
    return found


def _accuracy(setting: str, name: str, own: pd.DataFrame) -> list[Figure]:
    overall = own[own["level"] == "set"]
    by_phenomenon = own[own["level"] == "phenomenon"].assign(phenomenon=lambda t: t["group"].str.replace("_", " "))
    bands = "Bands are 95 % intervals over pairs; dashes mark chance."
    options: dict[str, Any] = {"percent": True, "reference": 0.5}
    return [
        Figure(
            f"accuracy-{setting}",
            f"Accuracy on {name}",
            f"Share of minimal pairs whose grammatical sentence is the likelier one, the mean over paradigms. {bands}",
            theme.trajectory(overall, "accuracy", **options),
            steps_axis=True,
        ),
        Figure(
            f"accuracy-by-phenomenon-{setting}",
            f"Accuracy on {name} by phenomenon",
            f"The mean over each phenomenon's paradigms. {bands}",
            theme.trajectory(by_phenomenon, "accuracy", facet="phenomenon", tooltip=["phenomenon"], **options),
            steps_axis=True,
        ),
        Figure(
            f"final-accuracy-{setting}",
            f"Final accuracy on {name}",
            "Accuracy on each paradigm at each model's last sound checkpoint; below 50 %, chance, the ungrammatical sentence is preferred.",
            _final(own),
        ),
    ]


def _final(own: pd.DataFrame) -> alt.TopLevelMixin:
    cells = own[own["level"] == "paradigm"]
    cells = cells[cells["step"] == cells.groupby("model")["step"].transform("max")]
    order = cells.groupby("group")["value"].mean().sort_values(ascending=False).index.tolist()
    return theme.heatmap(
        cells, "model", "group", value_title="accuracy", domain=(0, 1), percent=True, sort_x=theme.model_order(cells), sort_y=order
    )


def _order(setting: str, name: str, timed: pd.DataFrame, sizes: pd.DataFrame) -> list[Figure]:
    ranks = timed.assign(rank=timed.groupby("model")["upper_tokens"].rank())
    mean = ranks.groupby("paradigm")[["rank", "final"]].mean().sort_values(["rank", "final"], ascending=[True, False])
    order = mean.index.tolist()
    return [
        Figure(
            f"acquisition-{setting}",
            f"When paradigms of {name} are acquired",
            "The first checkpoint from which on accuracy stays at least halfway between chance and the model's own final level, in tokens "
            "seen; lines are 95 % intervals. Triangles are censored: to the left what was acquired before the first checkpoint, to the "
            "right, at the end of training, what was not acquired.",
            _dots(timed, order, sizes),
        ),
        Figure(
            f"order-{setting}",
            f"Order of acquisition of {name}",
            "Rank of each paradigm in each model's order of acquisition, ties (what is censored) at their mean rank. Rows that keep their "
            "colour across models are acquired in a common order.",
            theme.heatmap(ranks, "model", "paradigm", "rank", value_title="rank", sort_x=theme.model_order(sizes), sort_y=order, cell=13),
        ),
    ]


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


def _agreement(setting: str, name: str, judged: pd.DataFrame, models: list[str]) -> Figure:
    return Figure(
        f"agreement-{setting}",
        f"Agreement on the order of acquisition of {name}",
        "Spearman's rank correlation of two models' orders of acquisition over paradigms, with ties for what is censored.",
        theme.heatmap(
            judged,
            "model",
            "other",
            "rho",
            value_title="rank correlation",
            domain=(0, 1),
            label=True,
            cell=24,
            sort_x=models,
            sort_y=models,
        ),
    )
