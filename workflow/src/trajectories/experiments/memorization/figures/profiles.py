"""Causal profiles: what exposure did to each cohort of rows over training, before and after, at once and at the end."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from trajectories.experiments.memorization.figures.common import place
from trajectories.figures import Figure, FigureContext, theme

CLAIMS = ("late-cohorts-likelier", "late-cohorts-learn-more", "old-cohorts-forget", "cohorts-differ-before", "cohorts-drift-before")
EFFECTS = {"instantaneous": "#2f0596", "residual": "#e4695e"}
CONTROLS = {"primary": "#00768f", "not-yet-seen controls": "#c8442c"}
MOST_COHORTS, MOST_STEPS, MOST_MARGINS = 24, 40, 5


def figures(context: FigureContext) -> list[Figure]:
    """The figures of the profiles; none where no model has one."""
    cells, effects = (context.optional(name) for name in ("profiles", "profile_effects"))
    if cells.empty or effects.empty:
        return []
    models = [m for m in theme.model_order(context.trajectories) if m in set(cells["model"])]
    effects = effects[(effects["outcome"] == "logprob") & (effects["estimator"] == "difference-in-differences")]
    found = [
        Figure(
            "profile-cohorts",
            "What exposure does at once, and what is left of it",
            "Effect on the rows first seen between two checkpoints, by their mean place in the order: at the first checkpoint after they "
            "were seen, and at the last one; 95 % intervals. Where the first falls and the second rises from left to right, later rows are "
            "not learned better but have had less time to be forgotten.",
            _by_cohort(effects, models),
        ),
        Figure(
            "profile-events",
            "The effect before and after exposure",
            "Mean effect over cohorts by the time since exposure, with pointwise 95 % intervals and bands that hold the whole curve. Left "
            "of exposure the curve should lie on 0, or rows and their controls differ already; right of it, its fall is forgetting. The "
            "cohorts differ from point to point: only early ones are old.",
            _by_event(effects, models),
        ),
        Figure(
            "profile-cells",
            "Profiles of every cohort",
            "Effect of exposure on the log-probability per token, by the step up to which a cohort was first seen and by checkpoint. "
            "Colour begins where the cohort is seen, and pales to the right as it is forgotten; to the left of it there should be none.",
            _cells(cells, models),
        ),
    ]
    found += _over_training(context)
    claims = context.claims[context.claims["id"].isin(CLAIMS)]
    claims = claims[(claims["group"] == "") | (claims["id"] == CLAIMS[0])]
    claims = claims[claims["estimate"].notna()]
    if len(claims):
        named = claims.assign(group=claims["group"].where(claims["group"] != "", "profile"))
        found.append(
            Figure(
                "profile-slopes",
                "How the effects change from early to late cohorts",
                "Slope over cohorts of the residual effect (with the same question asked otherwise), of the instantaneous effect, and of "
                "their difference, in standard deviations from the first to the last row; last, the mean effect before exposure and its "
                "slope over cohorts, which should both be nothing. A residual slope without an instantaneous one is recency.",
                theme.forest(named, models, primary_only=False),
            )
        )
    return found


def _over_training(context: FigureContext) -> list[Figure]:
    data = context.trajectories[context.trajectories["metric"] == "slope_residual"]
    margins = context.claims.loc[context.claims["id"] == CLAIMS[0], "margin"]
    if data.empty or margins.empty:
        return []
    margin, title = float(margins.iloc[0]), "SD of the span's log-probability"
    data = data[data["stderr"] <= MOST_MARGINS * margin]
    reach = max(float(np.abs(data[["ci_low", "ci_high"]].to_numpy()).max(initial=0.0)), 1.5 * margin)
    zone = alt.Chart(pd.DataFrame({"low": [-margin], "high": [margin]})).mark_rect(opacity=0.18, color="#8a9097", clip=True)
    lines = theme.trajectory(data, title, reference=0.0, domain=[-reach, reach])
    return [
        Figure(
            "profile-slope",
            "The slope of the residual effect over training",
            "How much more is left of the exposure of the last than of the first row seen, at each checkpoint, the recency window set "
            "apart; bands are 95 % intervals, the grey zone holds slopes too small to matter. The more old rows are forgotten, the higher "
            f"the curve. Checkpoints whose standard error exceeds {MOST_MARGINS} margins are not drawn.",
            alt.layer(zone.encode(y=alt.Y("low:Q", title=title), y2="high:Q"), lines),
            steps_axis=True,
        )
    ]


def _by_cohort(effects: pd.DataFrame, models: list[str]) -> alt.TopLevelMixin:
    data = effects[(effects["variant"] == "primary") & effects["family"].isin(EFFECTS)]
    data = data[["model", "family", "cohort", "position", "lag", "estimate", "ci_low", "ci_high", "unit", "n"]].copy()
    for column in ("estimate", "ci_low", "ci_high"):
        data[column] = data[column] / data["unit"]
    steady = data[data["ci_high"] - data["ci_low"] <= 4 * (data["ci_high"] - data["ci_low"]).groupby(data["model"]).transform("median")]
    title = "effect (SD over rows)"
    low, high = (float(v) for v in (steady["ci_low"].min(), steady["ci_high"].max()))
    scale = alt.Scale(domain=[min(low, 0.0), max(high, 0.0)], nice=True)
    colour = alt.Color("family:N", title=None, scale=alt.Scale(domain=list(EFFECTS), range=list(EFFECTS.values())))
    base = alt.Chart(width=270, height=170).encode(
        x=place("position", "place of the cohort among the rows seen"),
        color=colour,
    )
    y = alt.Y("estimate:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("family:N", title="effect"), alt.Tooltip("cohort:Q", title="seen by step", format=",")]
    tips += [alt.Tooltip("lag:Q", title="mean steps since exposure", format=",.0f")]
    tips += [alt.Tooltip("estimate:Q", title=title, format=".3f"), alt.Tooltip("n:Q", title="rows", format=",")]
    zero = base.mark_rule(strokeDash=[4, 3], opacity=0.7).encode(
        y=alt.datum(0.0), x=alt.value(0), x2=alt.value(270), color=alt.value("#8a9097")
    )
    interval = base.mark_rule(opacity=0.5, clip=True).encode(y=alt.Y("ci_low:Q", title=title, scale=scale), y2="ci_high:Q")
    line = base.mark_line(opacity=0.5, strokeWidth=1.2, clip=True).encode(y=y)
    point = base.mark_point(size=40, opacity=1, clip=True).encode(
        y=y, shape=alt.Shape("family:N", title=None, scale=alt.Scale(domain=list(EFFECTS), range=["circle", "square"])), tooltip=tips
    )
    return alt.layer(zero, interval, line, point, data=data).facet(alt.Facet("model:N", sort=models, title=None), columns=2)


def _by_event(effects: pd.DataFrame, models: list[str]) -> alt.TopLevelMixin:
    data = effects[(effects["family"] == "event") & effects["variant"].isin(CONTROLS)]
    data = data[["model", "variant", "control", "event", "lag", "estimate", "ci_low", "ci_high", "band_low", "band_high", "n"]].copy()
    data["controls"] = data["control"].map({"never": "never-seen rows", "not-yet": "rows not yet seen"})
    colours = alt.Scale(domain=["never-seen rows", "rows not yet seen"], range=list(CONTROLS.values()))
    title = "effect (nats per token)"
    width = data["band_high"] - data["band_low"]
    steady = data[width <= 4 * width.groupby(data["model"]).transform("median")]
    scale = alt.Scale(domain=[float(min(steady["band_low"].min(), 0)), float(max(steady["band_high"].max(), 0))], nice=True)
    base = alt.Chart(width=270, height=170).encode(
        x=alt.X("lag:Q", title="mean steps since exposure", axis=alt.Axis(format="~s", tickCount=6)),
        color=alt.Color("controls:N", title="compared with", scale=colours),
    )
    y = alt.Y("estimate:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("controls:N"), alt.Tooltip("lag:Q", title="mean steps since exposure", format=",.0f")]
    tips += [alt.Tooltip("estimate:Q", title=title, format=".3f"), alt.Tooltip("n:Q", title="rows", format=",")]
    band = base.mark_area(opacity=0.13, strokeWidth=0, clip=True).encode(y=alt.Y("band_low:Q", title=title, scale=scale), y2="band_high:Q")
    interval = base.mark_rule(opacity=0.5, clip=True).encode(y=alt.Y("ci_low:Q", title=title, scale=scale), y2="ci_high:Q")
    marks = [
        base.mark_line(strokeWidth=1.2, opacity=0.7, clip=True).encode(y=y),
        base.mark_point(size=26, opacity=1, clip=True).encode(y=y, tooltip=tips),
    ]
    zero = alt.Chart().mark_rule(strokeWidth=0.7, strokeDash=[4, 3], opacity=0.7).encode(y=alt.datum(0.0))
    exposed = alt.Chart().mark_rule(strokeWidth=0.7, opacity=0.4).encode(x=alt.datum(0.0))
    return alt.layer(band, zero, exposed, interval, *marks, data=data).facet(alt.Facet("model:N", sort=models, title=None), columns=2)


def _cells(cells: pd.DataFrame, models: list[str]) -> alt.TopLevelMixin:
    data = cells[["model", "cohort", "since", "step", "estimate", "ci_low", "ci_high", "n", "lag"]]
    kept = [_thinned(own) for _, own in data.groupby("model", sort=False)]
    data = pd.concat(kept, ignore_index=True)
    reach = float(np.quantile(np.abs(data["estimate"]), 0.98))
    title = "effect (nats per token)"
    tips = [alt.Tooltip("model:N"), alt.Tooltip("since:Q", title="seen after step", format=",")]
    tips += [alt.Tooltip("cohort:Q", title="seen by step", format=","), alt.Tooltip("step:Q", title="checkpoint", format=",")]
    tips += [
        alt.Tooltip(f"{c}:Q", title=t, format=".3f") for c, t in (("estimate", title), ("ci_low", "95 % from"), ("ci_high", "95 % to"))
    ]
    tips += [alt.Tooltip("n:Q", title="rows", format=",")]
    scale = alt.Scale(scheme="redblue", domain=[-reach, reach], reverse=False, clamp=True)
    size = 270 / max(data.groupby("model")["step"].nunique().max(), 1)
    chart = (
        alt.Chart(data, width=alt.Step(max(size, 6)), height=alt.Step(max(size, 6)))
        .mark_rect()
        .encode(
            x=alt.X("step:O", title="checkpoint", axis=alt.Axis(labelAngle=-45, format="~s", labelOverlap=True)),
            y=alt.Y("cohort:O", title="first seen by step", sort="descending", axis=alt.Axis(format="~s", labelOverlap=True)),
            color=alt.Color("estimate:Q", title=title, scale=scale, legend=alt.Legend(gradientLength=120)),
            tooltip=tips,
        )
    )
    facets = chart.facet(alt.Facet("model:N", sort=models, title=None), columns=2)
    return facets.resolve_scale(x="independent", y="independent")


def _thinned(data: pd.DataFrame) -> pd.DataFrame:
    """So many cohorts and checkpoints of a model, evenly spaced, as can be told apart by eye."""
    for column, most in (("cohort", MOST_COHORTS), ("step", MOST_STEPS)):
        values = np.sort(data[column].unique())
        chosen = values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]
        data = data[data[column].isin(chosen)]
    return data
