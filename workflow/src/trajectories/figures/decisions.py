"""Charts of what was decided and how well deciding works: claims, their calibration, and the recovery of planted truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures.look import COVERED, HOVER, SHAPES, VERDICTS, nothing
from trajectories.scales import is_log, unlogged


def _verdict_colour(title: str | None = "verdict") -> alt.Color:
    scale = alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values()))
    return alt.Color("verdict:N", title=title, scale=scale)


def forest(claims: pd.DataFrame, models: Sequence[str] | None = None, *, primary_only: bool = True) -> alt.TopLevelMixin:
    """Effects with intervals, coloured by verdict, over the zone of effects too small to matter (minus to plus the margin).

    Logarithmic scales are undone (odds ratios on a logarithmic axis). One panel per claim; claims of one scale stand together.

    Args:
        claims: columns of :data:`trajectories.analysis.CLAIMS`.
        models: order of the models from top to bottom, or that of first appearance.
        primary_only: leave descriptive rows out.
    """
    data = claims[claims["role"] == "primary"] if primary_only else claims
    data = data.dropna(subset=["estimate"])
    data = data[np.isfinite(data["estimate"].astype(float))]
    if data.empty:
        return nothing("No claim with an estimate")
    order = [m for m in (models or []) if m in set(data["model"])]
    order += [m for m in dict.fromkeys(data["model"]) if m not in order]
    panels: list[alt.TopLevelMixin] = []
    for scale in dict.fromkeys(data["scale"]):
        of_scale = data[data["scale"] == scale]
        panels += [_forest_panel(of_scale[of_scale["id"] == claim], str(scale), order) for claim in dict.fromkeys(of_scale["id"])]
    return panels[0] if len(panels) == 1 else alt.vconcat(*panels, spacing=22)


def _forest_panel(data: pd.DataFrame, scale: str, order: list[str]) -> alt.LayerChart:
    log = is_log(scale)
    undo: Any = np.exp if log else np.asarray
    group = data["group"].fillna("").astype(str)
    if group.nunique() == 1:
        group = pd.Series("", index=data.index)
    label = data["model"].astype(str) + np.where(group != "", " · " + group, "")
    if label.duplicated().any():
        label = label + " · step " + data["step"].astype(str)
    low, high = data["ci_low"].astype(float), data["ci_high"].astype(float)
    whole = np.isfinite(low) & np.isfinite(high)
    margin = data["margin"].astype(float)
    plotted = pd.DataFrame(
        {
            "model": data["model"].astype(str),
            "label": label,
            "estimate": undo(data["estimate"].astype(float)),
            "from": undo(low.where(whole)),
            "to": undo(high.where(whole)),
            "margin_from": undo(-margin),
            "margin_to": undo(margin),
            "verdict": data["verdict"],
            "reason": data["reason"],
            "step": data["step"].astype("Int64"),
            "n": data["n"].astype("Int64"),
            "rank": data["model"].map(order.index),
        }
    ).sort_values(["rank", "label"])
    rows = plotted["label"].tolist()
    title = unlogged(scale) if log else scale
    nil = 1.0 if log else 0.0
    reach = np.concatenate([plotted[c].dropna().to_numpy(dtype=float) for c in ("estimate", "from", "to", "margin_to")] + [[nil]])
    if reach.min() < nil:  # the zone's other half matters only where an effect points that way
        reach = np.append(reach, plotted["margin_from"])
    if log:
        x_scale = alt.Scale(type="log", domain=[max(reach.min() / 1.1, 1e-4), min(reach.max() * 1.1, 1e4)], nice=False)
    else:
        pad = 0.06 * (reach.max() - reach.min())
        x_scale = alt.Scale(domain=[reach.min() - pad, reach.max() + pad], nice=False)
    level = f"{round(100 * float(data['conf_level'].iloc[0]))} %" if data["conf_level"].notna().any() else ""
    tips = [alt.Tooltip("label:N", title="model"), alt.Tooltip("verdict:N"), alt.Tooltip("estimate:Q", title=title, format=".3~g")]
    tips += [alt.Tooltip("from:Q", title=f"{level} from", format=".3~g"), alt.Tooltip("to:Q", title=f"{level} to", format=".3~g")]
    tips += [alt.Tooltip("margin_to:Q", title="margin", format=".3~g"), alt.Tooltip("step:Q", format=","), alt.Tooltip("n:Q", format=",")]
    tips += [alt.Tooltip("reason:N")]

    base = alt.Chart(plotted, width=420, height=alt.Step(22)).encode(y=alt.Y("label:N", sort=rows, title=None, scale=alt.Scale(padding=0)))  # type: ignore[arg-type]
    ticks = (
        [k * 10.0**e for e in range(-4, 5) for k in (1, 2, 5)] if reach.max() < 300 * abs(reach.min()) else [10.0**e for e in range(-4, 5)]
    )
    axis = alt.Axis(format="~g", tickCount=6, grid=True, **({"values": ticks} if log else {}))
    zone = base.mark_bar(opacity=0.22, color="#8a9097", height={"band": 1}, clip=True).encode(
        x=alt.X("margin_from:Q", scale=x_scale, title=title, axis=axis), x2="margin_to:Q"
    )
    origin = (
        alt.Chart(pd.DataFrame({"nil": [nil]}))
        .mark_rule(strokeDash=[3, 3], opacity=0.8)
        .encode(x=alt.X("nil:Q", scale=x_scale, title=title, axis=axis))
    )
    interval = base.mark_rule(strokeWidth=2.4, clip=True).encode(
        x=alt.X("from:Q", scale=x_scale, title=title), x2="to:Q", color=_verdict_colour()
    )
    shape = alt.Shape("verdict:N", title="verdict", scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())))
    point = base.mark_point(size=90, opacity=1, clip=True).encode(
        x=alt.X("estimate:Q", scale=x_scale, title=title), color=_verdict_colour(), shape=shape, tooltip=tips
    )
    heading = {"text": _wrapped(str(data["statement"].iloc[0])), "fontSize": 12.5, "offset": 6}
    return alt.layer(zone, origin, interval, point, title=heading)  # type: ignore[arg-type]


def _wrapped(text: str, width: int = 84) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def calibration(table: pd.DataFrame) -> alt.TopLevelMixin:
    """How often simulated data of known truth lead to each verdict; dashed lines mark the margin and 5 % wrong decisions.

    Args:
        table: columns of :data:`trajectories.analysis.CALIBRATION`.
    """
    rates = {f"rate_{verdict}": verdict for verdict in VERDICTS}
    if table.empty:
        return nothing("No calibration was run")
    keys = ["claim", "test", "scale", "truth", "margin", "n", "n_sim"]
    data = table[[*keys, *rates]].melt(keys, list(rates), "verdict", "rate").dropna(subset=["rate"])
    data["verdict"] = data["verdict"].map(rates)
    several = data["test"].nunique() > data["claim"].nunique()
    data["panel"] = data["claim"].astype(str) + (" · " + data["test"].astype(str) if several else "")
    data["panel"] += data["n"].map(lambda n: "" if pd.isna(n) else f" (n = {int(n)})")
    x = alt.X("truth:Q", title="true effect", axis=alt.Axis(tickCount=6))
    y = alt.Y("rate:Q", title="share of simulations", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())))
    tips = [
        alt.Tooltip("panel:N", title="claim"),
        alt.Tooltip("scale:N"),
        alt.Tooltip("truth:Q", format=".3~f"),
        alt.Tooltip("margin:Q", format=".3~f"),
    ]
    tips += [alt.Tooltip("verdict:N"), alt.Tooltip("rate:Q", format=".1%"), alt.Tooltip("n_sim:Q", title="simulations", format=",")]
    base = alt.Chart(width=230, height=170)
    line = base.mark_line().encode(x=x, y=y, color=_verdict_colour())
    point = base.mark_point(size=45, opacity=1).encode(x=x, y=y, color=_verdict_colour(), shape=shape, tooltip=tips)
    margin = base.mark_rule(strokeDash=[4, 3]).encode(x=alt.X("mean(margin):Q", title="true effect"))
    nominal = base.mark_rule(strokeDash=[2, 3], opacity=0.7).encode(y=alt.datum(0.05))
    panels = list(dict.fromkeys(data["panel"]))
    chart = alt.layer(margin, nominal, line, point, data=data).facet(alt.Facet("panel:N", sort=panels, title=None), columns=2)
    return chart.resolve_scale(x="independent")


def recovery(table: pd.DataFrame) -> alt.TopLevelMixin:
    """Planted truth against its estimate; on the diagonal the two agree.

    Args:
        table: columns of :data:`trajectories.analysis.RECOVERY`.
    """
    if table.empty:
        return nothing("No planted truth")
    data = table.dropna(subset=["truth", "estimate"]).copy()
    if data.empty:
        return nothing("No planted truth with an estimate")
    bounds = data[["ci_low", "ci_high"]].astype(float)
    whole = np.isfinite(bounds).all(axis=1)
    data[["ci_low", "ci_high"]] = bounds.where(whole)
    data["result"] = data["covered"].map({True: "covered", False: "not covered"}).fillna("no interval")
    data = data[["parameter", "model", "step", "truth", "estimate", "ci_low", "ci_high", "result", "n"]]
    reach = pd.concat([data[c].astype(float) for c in ("truth", "estimate", "ci_low", "ci_high")]).dropna()
    pad = 0.05 * max(float(reach.max() - reach.min()), 1e-6)
    ends = [float(reach.min()) - pad, float(reach.max()) + pad]
    scale = alt.Scale(domain=ends, nice=False)
    colour = alt.Color(
        "result:N", title="interval", scale=alt.Scale(domain=[*COVERED, "no interval"], range=[*COVERED.values(), "#80868b"])
    )
    tips = [alt.Tooltip(f"{c}:N") for c in ("parameter", "model")] + [alt.Tooltip("step:Q", format=",")]
    tips += [alt.Tooltip(f"{c}:Q", format=".3~g") for c in ("truth", "estimate", "ci_low", "ci_high")] + [alt.Tooltip("n:Q", format=",")]
    x = alt.X("truth:Q", title="planted truth", scale=scale, axis=alt.Axis(tickCount=5))
    diagonal = (
        alt.Chart(pd.DataFrame({"truth": ends, "same": ends}))
        .mark_line(strokeDash=[4, 3], strokeWidth=1, color="#8a9097")
        .encode(x=x, y=alt.Y("same:Q", title="estimate"))
    )
    base = alt.Chart(data, width=340, height=340).encode(x=x, color=colour)
    y = alt.Y("estimate:Q", title="estimate", scale=scale, axis=alt.Axis(tickCount=5))
    intervals = base.mark_rule(opacity=0.6, strokeWidth=1.4).encode(y=alt.Y("ci_low:Q", title="estimate", scale=scale), y2="ci_high:Q")
    shape = alt.Shape(
        "result:N", title="interval", scale=alt.Scale(domain=[*COVERED, "no interval"], range=["circle", "diamond", "square"])
    )
    points = base.mark_point(size=50, opacity=0.9).encode(y=y, shape=shape)
    wide = base.mark_point(size=160, opacity=0, style=HOVER).encode(y=y, tooltip=tips)
    return alt.layer(diagonal, intervals, points, wide)
