"""Canaries by their number of copies."""

from __future__ import annotations

import altair as alt

from trajectories.figures import Figure, FigureContext, theme


def figures(context: FigureContext) -> list[Figure]:
    """Extraction and matched share by planted copies; none where no canaries were planted."""
    table = context.trajectories
    data = table[(table["level"] == "copies") & table["metric"].isin(["extractable", "matched"])]
    if data.empty:
        return []
    data = data[data["step"] == data.groupby("model")["step"].transform("max")]
    data = data.assign(
        copies=data["group"].astype(int),
        measure=data["metric"].map({"extractable": "extractable", "matched": "share of the span matched"}),
    )
    data = data[["model", "parameters_non_embedding", "step", "copies", "measure", "value", "ci_low", "ci_high", "n"]]
    colours, dashes = theme.model_scales(data)
    copies = alt.Axis(values=sorted(set(data["copies"])), grid=False)
    base = alt.Chart(width=270, height=200).encode(
        x=alt.X("copies:Q", title="planted copies", scale=alt.Scale(type="log", base=2), axis=copies),
        color=alt.Color("model:N", scale=colours, sort=None),
    )
    scale = alt.Scale(domain=[0, 1], clamp=True)
    y = alt.Y("value:Q", title="share", scale=scale, axis=alt.Axis(format=".0%", tickCount=5))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("copies:Q"), alt.Tooltip("value:Q", title="share", format=".1%")]
    tips.append(alt.Tooltip("n:Q", title="canaries"))
    interval = base.mark_rule(opacity=0.4).encode(y=alt.Y("ci_low:Q", title="share", scale=scale), y2="ci_high:Q")
    line = base.mark_line().encode(y=y, strokeDash=alt.StrokeDash("model:N", scale=dashes, sort=None))
    point = base.mark_point(size=40, opacity=1).encode(y=y, tooltip=tips)
    chart = alt.layer(interval, line, point, data=data).facet(alt.Facet("measure:N", title=None), columns=2)
    return [
        Figure(
            "canaries",
            "Canaries by their number of copies",
            "Random sequences planted a known number of times, at each model's last checkpoint: share whose scored tokens greedy decoding "
            "gives, and mean share that it gives before its first error; 95 % intervals over canaries. More copies should never mean less.",
            chart,
        )
    ]
