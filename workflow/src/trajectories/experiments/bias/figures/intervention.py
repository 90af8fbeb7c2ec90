"""The pronoun intervention: differences in differences over steps, endpoints with what they could have shown, planted occupations."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

BLUE, RED, GREY = "#00768f", "#c8442c", "#8a9097"
OUTCOMES = {
    ("did_stereotype_preferred", "gender"): "CrowS-Pairs, gender: stereotype preferred",
    ("did_exact_match_gap", "both types"): "WinoBias: gap in exact match",
    ("did_skew_turned", "all occupations"): "occupations: share of the parent's skew turned",
    ("did_log_odds_slope", "all occupations"): "occupations: share of the planted change",
    ("did_log_odds", "all occupations"): "occupations: log odds of the feminine pronoun",
    ("did_lambada_accuracy", "all"): "LAMBADA: accuracy",
    ("did_lambada_log_perplexity", "all"): "LAMBADA: log of the ratio of perplexities",
    ("did_text_loss", "rows never seen"): "text never seen: loss, nats per token",
}
FOLLOWED, WHOLE = "as the branch shows", "if it showed all of what was planted"
SETTINGS = ("", "english", "all", "crows_pairs")


def figures(context: FigureContext) -> list[Figure]:
    """None where no branch stands beside its parent."""
    branches = {m.name: m for m in context.suite.models if m.parent is not None}
    table = context.trajectories[context.trajectories["model"].isin(branches) & context.trajectories["metric"].str.startswith("did_")]
    if table.empty:
        return []
    since = [(s - (branches[m].branch_step or 0)) * branches[m].tokens_per_step for m, s in zip(table["model"], table["step"], strict=True)]
    table = table.assign(since=since)
    found = [_over_steps(table)]
    endpoints, swapped = context.optional("endpoints"), context.optional("swapped")
    if len(swapped):
        found.append(_occupations(swapped))
    if len(endpoints) and endpoints["model"].nunique() > 1:
        found.append(_endpoints(endpoints))
    categories = table[(table["metric"] == "did_stereotype_preferred") & (table["level"] == "category") & table["setting"].isin(SETTINGS)]
    if len(categories):
        found.append(_categories(categories))
    return found


def _over_steps(table: pd.DataFrame) -> Figure:
    keys = pd.Series(list(zip(table["metric"], table["group"], strict=True)), index=table.index)
    data = table.assign(outcome=keys.map(OUTCOMES))[table["setting"].isin(SETTINGS)].dropna(subset=["outcome"])
    panels = [name for name in OUTCOMES.values() if name in set(data["outcome"])]
    colours, dashes = theme.model_scales(data)
    legend = alt.Legend(title="branch", columns=1, symbolType="stroke", symbolOpacity=1, symbolSize=260)
    colour = alt.Color("model:N", scale=colours, sort=None, legend=legend)
    log = data["since"].max() > 20 * data["since"].min()
    x = alt.X(
        "since:Q",
        title="tokens since the branch",
        scale=alt.Scale(type="log" if log else "linear", nice=False),
        axis=alt.Axis(format="~s", grid=False),
    )
    kept = data[["model", "outcome", "since", "step", "value", "ci_low", "ci_high", "n"]]
    charts = []
    for panel in panels:
        own = kept[kept["outcome"] == panel]
        base = alt.Chart(own, width=270, height=160, title={"text": panel, "fontSize": 12}).encode(x=x)  # type: ignore[arg-type]
        y = alt.Y("value:Q", title="branch less parent", scale=alt.Scale(zero=False), axis=alt.Axis(format="~g", tickCount=5))
        tips: list[Any] = [alt.Tooltip("model:N"), alt.Tooltip("step:Q", format=","), alt.Tooltip("value:Q", format="+.3~f")]
        tips += [alt.Tooltip("ci_low:Q", title="95 % from", format="+.3~f"), alt.Tooltip("ci_high:Q", title="95 % to", format="+.3~f")]
        charts.append(
            alt.layer(
                alt.Chart(own).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(y=alt.datum(0)),
                base.mark_area(strokeWidth=0, opacity=0.13).encode(
                    y=alt.Y("ci_low:Q", title="branch less parent"), y2="ci_high:Q", color=colour
                ),
                base.mark_line().encode(y=y, color=colour, strokeDash=alt.StrokeDash("model:N", scale=dashes, sort=None, legend=legend)),
                base.mark_point(size=18, opacity=1).encode(y=y, color=colour, tooltip=tips),
            )
        )
    return Figure(
        "swap-over-steps",
        "What training on with other pronouns changes",
        "A branch less the run that it leaves, at the same step; where the branch begins the two are one model, so this is the "
        "difference in differences. Bands are 95 % intervals over items, not over runs; on the dashed line the intervention changes "
        "nothing. LAMBADA and text never seen show side effects.",
        alt.concat(*charts, columns=2).resolve_scale(color="shared", strokeDash="shared"),
    )


def _named(data: pd.DataFrame) -> pd.Series:
    return data["model"] + data["share_of_training"].map(lambda s: f" ({s:.0%} of training)")


def _endpoints(endpoints: pd.DataFrame) -> Figure:
    data = endpoints.sort_values(["parameters_non_embedding", "share_of_training"]).assign(branch=_named)
    charts = []
    for outcome in dict.fromkeys(data["outcome"]):
        own = data[data["outcome"] == outcome].assign(below=lambda t: -t["detectable"])
        y = alt.Y("branch:N", sort=list(dict.fromkeys(data["branch"])), title=None)
        x_title = "branch less parent at the last common checkpoint"
        base = alt.Chart(own, width=330, height=alt.Step(24), title={"text": outcome, "fontSize": 12}).encode(y=y)  # type: ignore[arg-type]
        tips: list[Any] = [alt.Tooltip("model:N"), alt.Tooltip("step:Q", format=","), alt.Tooltip("estimate:Q", format="+.3~f")]
        tips += [alt.Tooltip("ci_low:Q", title="95 % from", format="+.3~f"), alt.Tooltip("ci_high:Q", title="95 % to", format="+.3~f")]
        tips += [alt.Tooltip("detectable:Q", title="smallest detectable", format=".3~f")]
        charts.append(
            alt.layer(
                base.mark_bar(height=16, opacity=0.22, color=GREY).encode(x=alt.X("below:Q", title=x_title), x2="detectable:Q"),
                alt.Chart(own).mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x=alt.datum(0)),
                base.mark_rule(strokeWidth=2.4, color=BLUE).encode(x="ci_low:Q", x2="ci_high:Q"),
                base.mark_point(size=70, opacity=1, color=BLUE).encode(x="estimate:Q", tooltip=tips),
            )
        )
    return Figure(
        "swap-endpoints",
        "The intervention at the end, by size of the model",
        "Difference at the last checkpoint with its 95 % interval over items. The grey bar reaches as far as the smallest change that 80 "
        "% of samples of this size would have told from none at the one-sided level of 5 %: where a point lies inside it, a change of "
        "that size may have been missed.",
        alt.vconcat(*charts, spacing=16),
    )


def _categories(table: pd.DataFrame) -> Figure:
    data = table[table["step"] == table.groupby("model")["step"].transform("max")]
    data = data[data["n"] >= 80].assign(about=np.where(data.loc[data["n"] >= 80, "group"] == "gender", "gender", "another category"))
    order = ["gender", *sorted(set(data["group"]) - {"gender"})]
    colour = alt.Color("about:N", title=None, scale=alt.Scale(domain=["gender", "another category"], range=[RED, GREY]))
    base = alt.Chart().encode(y=alt.Y("group:N", sort=order, title=None), color=colour)
    x_title = "change of the share that prefers the stereotype"
    tips = [alt.Tooltip("model:N"), alt.Tooltip("group:N", title="category"), alt.Tooltip("value:Q", title="change", format="+.3~f")]
    tips += [alt.Tooltip("ci_low:Q", title="95 % from", format="+.3~f"), alt.Tooltip("ci_high:Q", title="95 % to", format="+.3~f")]
    axis = alt.Axis(format="+.0%", tickCount=5)
    layers = alt.layer(
        alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x=alt.datum(0)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("ci_low:Q", title=x_title, axis=axis), x2="ci_high:Q"),
        base.mark_point(size=50, opacity=1).encode(x=alt.X("value:Q", title=x_title, axis=axis), tooltip=tips),
        data=data[["model", "group", "about", "value", "ci_low", "ci_high", "step"]],
    ).properties(width=270, height=150)
    return Figure(
        "swap-categories",
        "The intervention by category of CrowS-Pairs",
        "Branch less parent at the last common checkpoint, with 95 % intervals over pairs. The intervention is about gender; other "
        "categories show what a disturbance of the model, or chance, does. An effect on stereotypes would set the first line apart from "
        "the others.",
        layers.facet(alt.Facet("model:N", sort=theme.model_order(table), title=None), columns=2),
    )


def _occupations(swapped: pd.DataFrame) -> Figure:
    data = swapped[["model", "occupation", "planted", "value", "ci_low", "ci_high", "n"]]
    low, high = float(data["planted"].min()), float(data["planted"].max())
    lines = []
    for model, own in data.groupby("model", sort=False):
        slope = np.polyfit(own["planted"], own["value"], 1)
        level = float(own["value"].mean() - own["planted"].mean())
        for at in (low, high):
            lines.append({"model": model, "planted": at, "value": float(np.polyval(slope, at)), "line": FOLLOWED})
            lines.append({"model": model, "planted": at, "value": at + level, "line": WHOLE})
    x = alt.X("planted:Q", title="planted change of the log odds of the feminine pronoun", axis=alt.Axis(tickCount=7))
    y_title = "change in the model (branch less parent)"
    tips = [alt.Tooltip("model:N"), alt.Tooltip("occupation:N"), alt.Tooltip("planted:Q", format="+.2f")]
    tips += [
        alt.Tooltip(f"{c}:Q", title=t, format="+.2f") for c, t in (("value", "change"), ("ci_low", "95 % from"), ("ci_high", "95 % to"))
    ]
    names = [FOLLOWED, WHOLE]
    shown = alt.Scale(domain=names, range=[BLUE, GREY])
    base = alt.Chart(data).encode(x=x)
    line = (
        alt.Chart(pd.DataFrame(lines))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=x,
            y=alt.Y("value:Q", title=y_title),
            color=alt.Color("line:N", title=None, scale=shown, legend=alt.Legend(orient="top", labelLimit=400)),
            strokeDash=alt.StrokeDash("line:N", title=None, scale=alt.Scale(domain=names, range=[[1, 0], [4, 3]])),
        )
    )
    points = [
        base.mark_rule(opacity=0.45, color=BLUE).encode(y=alt.Y("ci_low:Q", title=y_title), y2="ci_high:Q"),
        base.mark_point(size=45, opacity=1, color=BLUE).encode(y=alt.Y("value:Q", title=y_title), tooltip=tips),
    ]
    several = data["model"].nunique() > 1
    chart: Any = alt.layer(line, *points).properties(width=300 if several else 460, height=220 if several else 300)
    if several:
        merged = pd.concat([data.assign(kind="occupation"), pd.DataFrame(lines).assign(kind="line")], ignore_index=True)
        line.data, points[0].data, points[1].data = alt.Undefined, alt.Undefined, alt.Undefined
        marks = [p.transform_filter("datum.kind == 'occupation'") for p in points]
        chart = alt.layer(line.transform_filter("datum.kind == 'line'"), *marks, data=merged).properties(width=300, height=220)
        chart = chart.facet(alt.Facet("model:N", title=None), columns=2)
    return Figure(
        "swap-occupations",
        "Occupations after their pronouns were swapped",
        "Each point is a planted occupation: how the pronouns in its sentences changed against how the branch differs from the run that it "
        "leaves, at the last common checkpoint, with the 95 % interval over templates. Points that rise to the right follow the swap; if "
        "all moved by one amount, whatever was planted, they would lie level.",
        chart,
    )
