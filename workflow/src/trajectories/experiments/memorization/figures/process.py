"""Memorized rows as a process along the training order, beside a homogeneous one."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.experiments.memorization.figures.common import place
from trajectories.figures import Figure, FigureContext, theme

SUBSETS = ("all rows seen", "rows without copies")
COLOURS = {"all rows seen": "#00768f", "rows without copies": "#c8442c"}
ENVELOPE = "#8a9097"
CLAIM = "memorized-rows-cluster"
DECIDES = "the one that decides"


def figures(context: FigureContext) -> list[Figure]:
    """The figures of the process; one without data is left out."""
    found = []
    models = theme.model_order(context.trajectories)
    for draw in (_widths, _counts, _gaps, _autocorrelation, _trend):
        found += draw(context, models)
    return found + _over_training(context) + _variants(context, models)


def _table(context: FigureContext, name: str, models: list[str]) -> pd.DataFrame:
    data = context.optional(name)
    if data.empty:
        return data
    data = data[data["subset"].isin(SUBSETS)]
    both = data["subset"].nunique() > 1
    order = [f"{m} · {s}" if both else m for m in models for s in SUBSETS]
    data = data.assign(panel=data["model"] + (" · " + data["subset"] if both else ""))
    return data.assign(rank=data["panel"].map({p: i for i, p in enumerate(order)})).sort_values("rank", kind="stable")


def _subset(legend: bool) -> alt.Color:
    shown = alt.Legend(title="rows") if legend else None
    return alt.Color("subset:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=shown)


def _facets(chart: alt.LayerChart, data: pd.DataFrame, column: str = "panel") -> alt.TopLevelMixin:
    return chart.facet(alt.Facet(f"{column}:N", sort=list(dict.fromkeys(data[column])), title=None), columns=2)


def _widths(context: FigureContext, models: list[str]) -> list[Figure]:
    data = _table(context, "process", models)
    data = data[data["n_events"] >= 20] if len(data) else data
    margins = context.claims.loc[context.claims["id"] == CLAIM, "margin"]
    if data.empty or margins.empty:
        return []
    columns = ["model", "subset", "width", "bins", "n_events", "index", "ci_low", "ci_high", "deciding"]
    data = data[columns].assign(low=1 - float(margins.iloc[0]), high=1 + float(margins.iloc[0]))
    data["role"] = data["deciding"].map({True: DECIDES, False: "others"})
    log = float(data["ci_high"].max()) > 4
    x = alt.X(
        "width:Q",
        title="sampled rows to a bin",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(values=sorted(set(data["width"])), format="~s", grid=False),
    )
    scale = alt.Scale(type="log" if log else "linear", zero=False)
    y = alt.Y("index:Q", title="dispersion index", scale=scale, axis=alt.Axis(tickCount=5, format="~g"))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("subset:N", title="rows"), alt.Tooltip("width:Q", title="rows to a bin", format=",")]
    tips += [alt.Tooltip("bins:Q", format=","), alt.Tooltip("n_events:Q", title="memorized rows", format=",")]
    tips += [alt.Tooltip(f"{c}:Q", title=t, format=".3f") for c, t in (("index", "index"), ("ci_low", "from"), ("ci_high", "to"))]
    base = alt.Chart(width=250, height=160)
    zone = base.mark_area(opacity=0.22, color=ENVELOPE).encode(x=x, y=alt.Y("low:Q", title="dispersion index", scale=scale), y2="high:Q")
    one = base.mark_rule(strokeDash=[4, 3]).encode(y=alt.datum(1))
    colour = _subset(data["subset"].nunique() > 1)
    interval = base.mark_rule(opacity=0.7).encode(
        x=x, y=alt.Y("ci_low:Q", title="dispersion index", scale=scale), y2="ci_high:Q", color=colour
    )
    line = base.mark_line(strokeWidth=1, opacity=0.6).encode(x=x, y=y, color=colour)
    shape = alt.Shape("role:N", title="widths", scale=alt.Scale(domain=[DECIDES, "others"], range=["diamond", "circle"]))
    point = base.mark_point(size=45, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tips)
    chart = _facets(alt.layer(zone, one, interval, line, point, data=data), data, "model").resolve_scale(y="independent")
    return [
        Figure(
            "process-widths",
            "Memorized rows in bins, over widths",
            "Variance of the number of memorized rows in bins of successive sampled rows, divided by that of a binomial number, with 90 % "
            "intervals, at each model's last checkpoint; the grey zone holds departures from 1 too small to matter. Intervals that lie "
            "inside it say that rows are memorized whatever their neighbours, ones that reach beyond it leave that open; a rise with the "
            "width is a rate that drifts or clusters wider than a bin.",
            chart,
        )
    ]


def _counts(context: FigureContext, models: list[str]) -> list[Figure]:
    data = _table(context, "process_counts", models)
    if data.empty:
        return []
    width = int(data["width"].iloc[0])
    data = data[["model", "panel", "subset", "probability", "expected", "observed", "low", "high"]]
    x = alt.X("expected:Q", title="quantile of a homogeneous process", scale=alt.Scale(nice=True, zero=True))
    title = "observed quantile"
    tips = [alt.Tooltip("model:N"), alt.Tooltip("probability:Q", format=".1%"), alt.Tooltip("expected:Q", format=".2f")]
    tips += [alt.Tooltip("observed:Q", format=","), alt.Tooltip("low:Q", title="envelope from"), alt.Tooltip("high:Q", title="envelope to")]
    base = alt.Chart(width=220, height=200)
    band = base.mark_area(opacity=0.25, color=ENVELOPE).encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q")
    diagonal = base.mark_line(strokeDash=[4, 3], strokeWidth=1, color=ENVELOPE).encode(x=x, y=alt.Y("expected:Q", title=title))
    point = base.mark_point(size=28, opacity=0.9).encode(x=x, y=alt.Y("observed:Q", title=title), color=_subset(False), tooltip=tips)
    chart = _facets(alt.layer(band, diagonal, point, data=data), data).resolve_scale(x="independent", y="independent")
    return [
        Figure(
            "process-counts",
            "Quantiles of the counts in bins",
            f"Number of memorized rows among {width:,} successive sampled rows, sorted, against the quantiles of a homogeneous process of "
            "the same rate, at each model's last checkpoint; the grey envelope holds 95 % of homogeneous processes along its whole length. "
            "Points inside it along the diagonal are what the authors of Pythia saw; clusters would lift the right end above it.",
            chart,
        )
    ]


def _gaps(context: FigureContext, models: list[str]) -> list[Figure]:
    data = _table(context, "process_gaps", models)
    if data.empty:
        return []
    thinned = data.groupby("panel", sort=False).cumcount() % max(len(data) // data["panel"].nunique() // 120, 1) == 0
    data = data[thinned]
    data = data.assign(difference=data["observed"] - data["expected"], **{c: data[c] - data["expected"] for c in ("low", "high")})
    data = data[["model", "panel", "subset", "gap", "difference", "low", "high", "observed", "expected"]]
    x = alt.X(
        "gap:Q", title="gap in sampled rows", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~s", grid=False, tickCount=5)
    )
    title = "share of gaps up to here, less geometric"
    axis = alt.Axis(format="+.0%", tickCount=5)
    tips = [alt.Tooltip("model:N"), alt.Tooltip("gap:Q", format=","), alt.Tooltip("observed:Q", format=".1%")]
    tips.append(alt.Tooltip("expected:Q", title="geometric", format=".1%"))
    base = alt.Chart(width=250, height=150).encode(x=x)
    band = base.mark_area(opacity=0.25, color=ENVELOPE).encode(y=alt.Y("low:Q", title=title, axis=axis), y2="high:Q")
    nil = alt.Chart().mark_rule(strokeDash=[4, 3]).encode(y=alt.datum(0))
    line = base.mark_line(interpolate="step-after", strokeWidth=1.6).encode(
        y=alt.Y("difference:Q", title=title, axis=axis), color=_subset(False)
    )
    wide = base.mark_point(size=80, opacity=0, style="hover").encode(y=alt.Y("difference:Q", title=title, axis=axis), tooltip=tips)
    chart = _facets(alt.layer(band, nil, line, wide, data=data), data).resolve_scale(x="independent", y="independent")
    return [
        Figure(
            "process-gaps",
            "Gaps between memorized rows",
            "Share of the gaps between successive memorized rows that are at most so long, less the share that independent rows would "
            "have; the grey envelope holds 95 % of homogeneous processes along its whole length. A hump above it at the left says that one "
            "memorized row announces the next.",
            chart,
        )
    ]


def _autocorrelation(context: FigureContext, models: list[str]) -> list[Figure]:
    data = _table(context, "process_autocorrelation", models)
    if data.empty:
        return []
    width = int(data["width"].iloc[0])
    data = data[["model", "panel", "subset", "lag", "value", "low", "high"]]
    x = alt.X("lag:Q", title=f"lag in bins of {width} rows", axis=alt.Axis(grid=False, tickMinStep=1, tickCount=6))
    title = "correlation"
    tips = [alt.Tooltip("model:N"), alt.Tooltip("lag:Q"), alt.Tooltip("value:Q", title="correlation", format=".3f")]
    base = alt.Chart(width=250, height=130).encode(x=x)
    band = base.mark_area(opacity=0.25, color=ENVELOPE).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    stem = base.mark_bar(width=2, tooltip=None).encode(y=alt.Y("value:Q", title=title), color=_subset(False))
    point = base.mark_point(size=30, opacity=1).encode(y=alt.Y("value:Q", title=title), color=_subset(False), tooltip=tips)
    chart = _facets(alt.layer(band, stem, point, data=data), data).resolve_scale(y="independent")
    return [
        Figure(
            "process-autocorrelation",
            "Does one bin tell the next?",
            "Correlation of the number of memorized rows in a bin with that some bins later, at each model's last checkpoint; the grey "
            "envelope holds 95 % of homogeneous processes at all lags at once. Bars above it at small lags are clusters wider than a bin.",
            chart,
        )
    ]


def _trend(context: FigureContext, models: list[str]) -> list[Figure]:
    data = _table(context, "process_trend", models)
    if data.empty:
        return []
    data = data[["model", "panel", "subset", "x", "rate", "low", "high", "constant"]]
    title = "share memorized"
    axis = alt.Axis(format=".1%", tickCount=5)
    tips = [alt.Tooltip("model:N"), alt.Tooltip("x:Q", title="place", format=".2f"), alt.Tooltip("rate:Q", title=title, format=".2%")]
    base = alt.Chart(width=250, height=140).encode(x=place("x"))
    band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title=title, axis=axis), y2="high:Q", color=_subset(False))
    line = base.mark_line().encode(y=alt.Y("rate:Q", title=title, axis=axis), color=_subset(False))
    constant = base.mark_line(strokeDash=[4, 3], strokeWidth=1, color=ENVELOPE).encode(y=alt.Y("constant:Q", title=title, axis=axis))
    wide = base.mark_point(size=80, opacity=0, style="hover").encode(y=alt.Y("rate:Q", title=title, axis=axis), tooltip=tips)
    chart = _facets(alt.layer(band, constant, line, wide, data=data), data).resolve_scale(y="independent")
    return [
        Figure(
            "process-trend",
            "A rate that drifts along the order",
            "Share of sampled rows that each model's last checkpoint has memorized, as a smooth curve of their place among the rows seen, "
            "with pointwise 95 % intervals, against the constant share (dashed). A band that leaves the dashed line is a drift, which is "
            "not the same as clusters.",
            chart,
        )
    ]


def _over_training(context: FigureContext) -> list[Figure]:
    data = context.trajectories[context.trajectories["metric"] == "dispersion_index"]
    if data.empty:
        return []
    chart = theme.trajectory(data, "dispersion index", facet="group", columns=2, width=270, reference=1.0)
    return [
        Figure(
            "process-training",
            "Clusters of memorized rows over training",
            "Dispersion index of the number of memorized rows in bins, at the width that decides, at every checkpoint with at least 20 "
            "memorized rows; bands are 95 % intervals, 1 is a homogeneous process. A band far above 1 says that neighbours were "
            "memorized together by then; a wide band around 1 leaves it open.",
            chart,
            steps_axis=True,
        )
    ]


def _variants(context: FigureContext, models: list[str]) -> list[Figure]:
    chosen = context.claims[(context.claims["id"] == CLAIM) & (context.claims["n_events"] >= 20)].copy()
    if chosen["group"].nunique() < 2:
        return []
    chosen["group"] = chosen["group"].where(chosen["group"] != "", "all rows seen")
    return [
        Figure(
            "process-variants",
            "Clusters with and without copies, and before the recency window",
            "The dispersion index less 1 of all sampled rows beside that of rows without copies and of rows met before the recency window. "
            "Where the index falls towards 0 without copies, copies of one text made memorized rows come together.",
            theme.forest(chosen, models, primary_only=False),
        )
    ]
