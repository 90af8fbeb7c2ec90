"""Falls, abrupt changes, and what trajectories have in common."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.figures import Figure, theme

FALLS = 12
BEST = {"sigmoid": "sigmoid in log tokens", "sigmoid in tokens": "sigmoid in tokens", "line": "line in log tokens", "constant": "constant"}
SEEN_BY = ("every way of looking", "some ways", "one way only")


def falls(setting: str, name: str, shapes: pd.DataFrame, own: pd.DataFrame) -> list[Figure]:
    """The trajectories that fall most, one panel each."""
    named = shapes[shapes["shape"] != "none"].sort_values("drop", ascending=False).head(FALLS) if len(shapes) else shapes
    if named.empty:
        return []
    titled = named.assign(panel=[f"{r.paradigm.replace('_', ' ')} · {r.shape}" for r in named.itertuples()])
    cells = own[own["level"] == "paradigm"].rename(columns={"group": "paradigm"})
    cells = cells.merge(titled[["model", "paradigm", "panel"]], on=["model", "paradigm"])
    order = {panel: i for i, panel in enumerate(dict.fromkeys(titled["panel"]))}
    cells = cells.sort_values("panel", key=lambda p: p.map(order), kind="stable")
    return [
        Figure(
            f"falls-{setting}",
            f"Where accuracy on {name} falls",
            f"The {len(named)} trajectories that fall most of all that fall beyond what sampling noise does anywhere in the set; "
            "each panel is a "
            "paradigm with what becomes of it, each line a model. U-shape: at the end it has made up for at least half of the fall. "
            "Bands are 95 % "
            "intervals over pairs; dashes mark chance.",
            theme.trajectory(cells, "accuracy", facet="panel", percent=True, reference=0.5, columns=3, width=210),
            steps_axis=True,
        )
    ]


def transitions(setting: str, name: str, places: pd.DataFrame, sizes: pd.DataFrame) -> list[Figure]:
    """Abrupt rises by paradigm and tokens, told apart by how many ways of looking show them."""
    rises = places[places["direction"] == "rise"] if len(places) else places
    if rises.empty:
        return []
    seen = [SEEN_BY[0] if r.ways == r.of else SEEN_BY[2] if r.ways == 1 else SEEN_BY[1] for r in rises.itertuples()]
    data = rises.assign(seen=seen)
    order = data.groupby("paradigm")["tokens"].mean().sort_values().index.tolist()
    kept = ["model", "paradigm", "tokens", "seen", "shown_by", "lower_step", "upper_step", "before", "after"]
    colours, _ = theme.model_scales(sizes)
    x = alt.X("tokens:Q", title="tokens seen at the checkpoint after the rise", scale=alt.Scale(type="log", nice=False, padding=12))
    tips = [alt.Tooltip(f"{c}:N") for c in ("model", "paradigm", "shown_by")]
    tips += [alt.Tooltip(f"{c}_step:Q", title=t, format=",") for c, t in (("lower", "after step"), ("upper", "by step"))]
    tips += [alt.Tooltip(f"{c}:Q", title=f"accuracy {c}", format=".1%") for c in ("before", "after")]
    chart = (
        alt.Chart(data[kept], width=480, height=alt.Step(13))
        .mark_point(size=55, filled=True, opacity=0.8)
        .encode(
            x=x.axis(format="~s"),
            y=alt.Y("paradigm:N", sort=order, title=None, axis=alt.Axis(labelFontSize=9, labelLimit=360, grid=True)),
            color=alt.Color("model:N", scale=colours, sort=None, legend=alt.Legend(title="model", columns=1)),
            shape=alt.Shape("seen:N", title="shown by", scale=alt.Scale(domain=list(SEEN_BY), range=["circle", "diamond", "cross"])),
            tooltip=tips,
        )
    )
    ways = (
        "accuracy and log-probability margin, each over log tokens and over tokens"
        if int(data["of"].max()) > 2
        else "accuracy over log tokens and over tokens"
    )
    return [
        Figure(
            f"transitions-{setting}",
            f"Abrupt rises on {name}",
            f"Where a trajectory rises more abruptly than a smooth curve can, looked at in {int(data['of'].max())} ways ({ways}). "
            "Only rises that every "
            "way shows (circles) are no matter of metric or axis; crosses are shown by one way alone.",
            chart,
        )
    ]


def dimensions(setting: str, name: str, components: pd.DataFrame, curves: pd.DataFrame, sizes: pd.DataFrame) -> list[Figure]:
    """Variance of principal components against noise, and which curve fits best."""
    if components.empty:
        return []
    colours, _ = theme.model_scales(sizes)
    colour = alt.Color("model:N", scale=colours, sort=None, legend=alt.Legend(title="model", columns=1))
    data = components[components["share"] > 1e-5]
    kept = ["model", "component", "share", "noise", "shuffled", "above_noise", "above_shuffled"]
    base = alt.Chart(data[kept], width=330, height=260).encode(x=alt.X("component:O", title="component", axis=alt.Axis(labelAngle=0)))
    y = alt.Y("share:Q", title="share of variance", scale=alt.Scale(type="log"), axis=alt.Axis(format="~%"))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("component:O")]
    tips += [alt.Tooltip(f"{c}:Q", format=".2%") for c in ("share", "noise", "shuffled")]
    scree = alt.layer(
        base.mark_line(opacity=0.8).encode(y=y, color=colour),
        base.mark_point(size=30, filled=True).encode(y=y, color=colour, tooltip=tips),
        base.mark_line(strokeDash=[4, 3], opacity=0.6).encode(y=alt.Y("noise:Q"), color=colour),
    )
    counted = curves.groupby(["model", "best"]).size().rename("trajectories").reset_index() if len(curves) else curves
    caption = (
        "Left: share of variance of each principal component of a model's trajectories (paradigms by checkpoints, each paradigm's "
        "mean taken off); "
        "dashes are the most that sampling noise gives in 95 % of redraws, so components above them are real in this run. "
    )
    chart: alt.TopLevelMixin = scree
    if len(counted):
        counted = counted.assign(curve=counted["best"].map(BEST))
        bars = (
            alt.Chart(counted, width=250, height=alt.Step(16))
            .mark_bar()
            .encode(
                x=alt.X("trajectories:Q", title="paradigms"),
                y=alt.Y("model:N", sort=theme.model_order(sizes), title=None),
                color=alt.Color("curve:N", title="best curve", scale=alt.Scale(domain=list(BEST.values()), range=theme.ramp(len(BEST)))),
                tooltip=["model:N", "curve:N", "trajectories:Q"],
            )
        )
        chart = alt.hconcat(scree, bars, spacing=30).resolve_scale(color="independent")
        caption += "Right: which of four curves describes a paradigm's accuracy over training best by Akaike's criterion."
    return [Figure(f"shape-{setting}", f"Shape of the trajectories on {name}", caption.strip(), chart)]
