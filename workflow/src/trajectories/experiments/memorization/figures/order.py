"""The order regression: slopes over training, the shape of the trend, the placebo, variants, and what the sample can decide."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from trajectories.experiments.memorization.figures.common import primary_window
from trajectories.figures import Figure, FigureContext, theme

SLOPES = {
    "slope_log_odds": ("slope-memorized", "odds of being memorized", "log odds ratio, last to first row seen", "late-rows-memorized"),
    "slope_logprob": ("slope-likelihood", "log-probability", "SD of the span's log-probability, last to first row", "late-rows-likelier"),
    "slope_score": (
        "slope-reproduced",
        "share of tokens reproduced",
        "SD of the share of tokens, last to first row",
        "late-rows-reproduced",
    ),
}
OUTCOMES = {"memorized": "memorized (log odds)", "logprob": "log-probability (SD)", "score": "tokens reproduced (SD)"}
MARKS = {"right verdicts": "#6a00a8", "wrong verdicts": "#e4695e"}


def figures(context: FigureContext) -> list[Figure]:
    """The figures of the order regression; one without data is left out."""
    table = context.trajectories
    table = primary_window(table)
    models = theme.model_order(table)
    found = [figure for metric in SLOPES for figure in _slope(table, context.claims, metric)]
    found += _trend(context.optional("curves"), models)
    found += _placebo(table, context.claims)
    found += _variants(context.claims, models)
    return found + _decided(context.optional("power"))


def _over_training(data: pd.DataFrame, title: str, margin: float, most: float = 5) -> alt.LayerChart:
    """Slopes by checkpoint over the zone of effects too small to matter, without those of a standard error above ``most`` margins."""
    zone = alt.Chart(pd.DataFrame({"low": [-margin], "high": [margin]})).mark_rect(opacity=0.18, color="#8a9097", clip=True)
    # with few rows seen (or ahead) the intervals would leave no room for the others
    steady = data[data["stderr"] <= most * margin]
    reach = float(np.nanmax(np.abs(steady[["ci_low", "ci_high"]].to_numpy()))) if len(steady) else most * margin
    y_range = [-max(reach, 1.5 * margin), max(reach, 1.5 * margin)]
    lines = theme.trajectory(steady if len(steady) else data, title, reference=0.0, domain=y_range)
    return alt.layer(zone.encode(y=alt.Y("low:Q", title=title), y2="high:Q"), lines)


def _slope(table: pd.DataFrame, claims: pd.DataFrame, metric: str) -> list[Figure]:
    name, outcome, title, claim = SLOPES[metric]
    data = table[table["metric"] == metric]
    margins = claims.loc[claims["id"] == claim, "margin"]
    if data.empty or margins.empty:
        return []
    return [
        Figure(
            name,
            f"Effect of the place in the order on the {outcome}",
            f"Difference between the last and the first row seen ({title}) at each checkpoint, among rows seen once, the recency window "
            "set apart; bands are 95 % intervals, the grey zone holds effects too small to matter. A band inside or below the zone rules "
            "the effect out. Checkpoints whose standard error exceeds five margins are not drawn.",
            _over_training(data, title, float(margins.iloc[0])),
            steps_axis=True,
        )
    ]


def _placebo(table: pd.DataFrame, claims: pd.DataFrame) -> list[Figure]:
    data = table[table["metric"] == "placebo_logprob"]
    margins = claims.loc[claims["id"] == "content-drifts", "margin"]
    if data.empty or margins.empty:
        return []
    title = "SD of the span's log-probability, last to first place to come"
    return [
        Figure(
            "placebo",
            "The same slope among rows not yet seen",
            "At each checkpoint, the slope of the log-probability over the places that rows will have, among those that it has not yet "
            "seen; 95 % intervals, grey zone as above. Training cannot have caused it: a band off zero is an accident of the rows' "
            "content, which the slope among rows seen shares. Checkpoints with so few rows ahead that the standard error exceeds one and a "
            "half margins are not drawn.",
            _over_training(data, title, float(margins.iloc[0]), 1.5),
            steps_axis=True,
        )
    ]


def _trend(curves: pd.DataFrame, models: list[str]) -> list[Figure]:
    data = curves[curves["outcome"].isin(["logprob", "score"])] if len(curves) else curves
    if data.empty:
        return []
    data = data.assign(outcome=data["outcome"].map(OUTCOMES))[["model", "outcome", "x", "value", "ci_low", "ci_high"]]
    x = alt.X("x:Q", title="place among the rows seen", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5, format=".2~f"))
    title = "SD from the mean"
    base = alt.Chart(width=250, height=150).encode(
        x=x, color=alt.Color("outcome:N", title=None, scale=alt.Scale(range=["#00768f", "#c8442c"]))
    )
    band = base.mark_area(opacity=0.16, strokeWidth=0).encode(y=alt.Y("ci_low:Q", title=title), y2="ci_high:Q")
    tips = [alt.Tooltip("model:N"), alt.Tooltip("outcome:N"), alt.Tooltip("x:Q", title="place", format=".2f")]
    tips += [alt.Tooltip("value:Q", title="SD", format=".3f")]
    line = base.mark_line().encode(
        y=alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=5)), tooltip=tips, strokeDash=alt.StrokeDash("outcome:N", legend=None)
    )
    shown = [m for m in models if m in set(data["model"])]
    chart = alt.layer(band, line, data=data).facet(alt.Facet("model:N", sort=shown, title=None), columns=2)
    return [
        Figure(
            "trend-shape",
            "The trend over the order, free to bend",
            "The primary regression at the last checkpoint with a natural cubic spline in place of the straight line, with pointwise 95 % "
            "intervals. The verdict is about the straight line that fits best; where the curve rises and falls, it is a summary alone.",
            chart,
        )
    ]


def _variants(claims: pd.DataFrame, models: list[str]) -> list[Figure]:
    chosen = claims[claims["id"].isin([claim for *_, claim in SLOPES.values()])]
    few = chosen["n_events"].notna() & (chosen["n_events"] < 20)
    unusable = few | chosen["reason"].str.startswith("No verdict is possible")
    chosen = chosen[~unusable]
    if chosen.empty:
        return []
    chosen = chosen.assign(group=chosen["group"].where(chosen["group"] != "", "primary"))
    return [
        Figure(
            "variants",
            "The same question asked otherwise",
            "The primary regression beside ones that include the recency window, rows with copies, or the log-probability before any of "
            "the rows was seen. Only the primary rows decide; the others show how much the answer hangs on that choice. Samples that a "
            "single cluster makes up almost wholly give no interval and are not drawn.",
            theme.forest(chosen, models, primary_only=False),
        )
    ]


def _decided(power: pd.DataFrame) -> list[Figure]:
    """For each claim, the largest rate of wrong verdicts and the power, with their Monte Carlo error."""
    if power.empty:
        return []
    named = power["test"].where(power.duplicated("claim", keep=False) & ~power["test"].str.contains("jackknife"), "")
    label = power["claim"] + np.where(named != "", " · " + named, "")
    parts = []
    for what, rate, error in (
        ("wrong verdicts", "rate_wrong", "stderr_wrong"),
        ("refuted, if there is no effect", "power_refuted", "stderr_power_refuted"),
        ("supported, at twice the margin", "power_supported", "stderr_power_supported"),
    ):
        part = pd.DataFrame({"claim": label, "what": what, "rate": power[rate], "error": power[error], "n": power["n"]})
        part["needed"] = power[f"needed_{rate.removeprefix('power_')}"] if rate != "rate_wrong" else np.nan
        part["verdicts"] = "wrong verdicts" if rate == "rate_wrong" else "right verdicts"
        parts.append(part)
    data = pd.concat(parts, ignore_index=True)
    data["low"], data["high"] = (data["rate"] - 2 * data["error"]).clip(0), (data["rate"] + 2 * data["error"]).clip(upper=1)
    data["target"] = np.where(data["verdicts"] == "wrong verdicts", 0.05, 0.8)
    x = alt.X("rate:Q", title="share of simulations", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))
    colour = alt.Color("verdicts:N", legend=None, scale=alt.Scale(domain=list(MARKS), range=list(MARKS.values())))
    y = alt.Y("claim:N", title=None, sort=label.tolist())
    tips = [alt.Tooltip("claim:N"), alt.Tooltip("what:N", title="rate of"), alt.Tooltip("rate:Q", format=".1%")]
    tips += [alt.Tooltip("error:Q", title="Monte Carlo error", format=".1%"), alt.Tooltip("n:Q", title="units", format=",")]
    tips += [alt.Tooltip("needed:Q", title="units for power 0.8", format=",.0f")]
    base = alt.Chart(width=170, height=alt.Step(20)).encode(y=y, color=colour)  # type: ignore[arg-type]
    target = alt.Chart().mark_rule(strokeDash=[3, 3], opacity=0.8).encode(x="target:Q")
    error = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    layers = alt.layer(target, error, base.mark_point(size=50, opacity=1).encode(x=x, tooltip=tips), data=data)
    return [
        Figure(
            "power",
            "What the sample at hand can decide",
            "Each claim's whole decision on simulated samples of known truth: the largest share of wrong verdicts over all true effects "
            "(dashed: 5 %), and the shares of right ones if there is no effect and if it is twice the margin (dashed: 80 %); bars are two "
            "Monte Carlo standard errors. A wrong share whose bar lies right of 5 % would disqualify the claim; the tooltip gives the "
            "sample for power 0.8.",
            layers.facet(alt.Facet("what:N", title=None, sort=list(dict.fromkeys(data["what"]))), columns=3),
        )
    ]
