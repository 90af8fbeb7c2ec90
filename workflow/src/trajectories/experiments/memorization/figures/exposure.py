"""What an exposure leaves, by when it happened and by how long ago that is."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

COMPARISONS = {"within rows": "#00768f", "between rows": "#c8442c"}
TITLE = "effect (SD of log-probability)"


def figures(context: FigureContext) -> list[Figure]:
    """Effects by exposure step and age, each by itself and both together; none where there is no panel."""
    table = context.optional("exposure")
    data = table[table["outcome"] == "logprob"] if len(table) else table
    if data.empty:
        return []
    models = [m for m in theme.model_order(context.trajectories) if m in set(data["model"])]
    found = [
        Figure(
            f"exposure-{'step' if by == 'exposure step' else 'age'}",
            f"What an exposure leaves, by its {by}",
            caption,
            _lines(data[data["by"] == by], by, models),
        )
        for by, caption in (
            (
                "age",
                "Effect of having been seen on the log-probability, by the share of training that has passed since, averaged over exposure "
                "steps; 95 % intervals, against rows not seen at the same checkpoint. A fall from left to right is forgetting.",
            ),
            (
                "exposure step",
                "The same by the step of the exposure, as a share of training, averaged over ages: what is left at equal age. If late "
                "exposures were the stronger ones at every age alike, points would rise from left to right; the next figure shows "
                "whether ages differ in that.",
            ),
        )
        if (data["by"] == by).any()
    ]
    both = data[(data["by"] == "both") & (data["comparison"] == "within rows")]
    if len(both):
        found.append(
            Figure(
                "exposure-cells",
                "What an exposure leaves, by its step and age",
                "Effect on the log-probability of rows seen once, each compared with itself before it was seen, by the step of the "
                "exposure and the time since. Colours that pale upwards are forgetting; colours that change from left to right at one "
                "height are an effect of when the row was seen, which no difference in age explains.",
                _cells(both, models),
            )
        )
    return found


def _lines(data: pd.DataFrame, by: str, models: list[str]) -> alt.TopLevelMixin:
    low, high = ("step_low", "step_high") if by == "exposure step" else ("age_low", "age_high")
    logarithmic = by == "age"
    centre = (data[low] + data[high]) / 2
    data = data.assign(x=centre)[["model", "comparison", "x", low, high, "estimate", "ci_low", "ci_high", "n"]]
    scale = alt.Scale(type="log", nice=False, padding=12) if logarithmic else alt.Scale(domain=[0, 1])
    axis = alt.Axis(format=".0%", values=[0.01, 0.03, 0.1, 0.3, 1]) if logarithmic else alt.Axis(format="%", tickCount=5)
    title = "share of training since the exposure" if logarithmic else "exposure step, as a share of training"
    x = alt.X("x:Q", title=title, scale=scale, axis=axis)
    colour = alt.Color("comparison:N", title=None, scale=alt.Scale(domain=list(COMPARISONS), range=list(COMPARISONS.values())))
    base = alt.Chart(width=230, height=160).encode(x=x, color=colour)
    tips = [alt.Tooltip("model:N"), alt.Tooltip("comparison:N"), alt.Tooltip(f"{low}:Q", title="from", format=".1%")]
    tips += [alt.Tooltip(f"{high}:Q", title="to", format=".1%"), alt.Tooltip("estimate:Q", title="SD", format=".3f")]
    tips += [alt.Tooltip("n:Q", title="rows", format=",")]
    y = alt.Y("estimate:Q", title=TITLE, axis=alt.Axis(tickCount=5))
    dash = alt.StrokeDash("comparison:N", legend=None, sort=list(COMPARISONS))
    layers = alt.layer(
        alt.Chart().mark_rule(strokeDash=[3, 3], opacity=0.7).encode(y=alt.datum(0)),
        base.mark_rule(opacity=0.6).encode(y=alt.Y("ci_low:Q", title=TITLE), y2="ci_high:Q"),
        base.mark_line().encode(y=y, strokeDash=dash),
        base.mark_point(size=40, opacity=1).encode(y=y, tooltip=tips),
        data=data,
    )
    return layers.facet(alt.Facet("model:N", sort=models, title=None), columns=3)


def _cells(data: pd.DataFrame, models: list[str]) -> alt.TopLevelMixin:
    ages = list(dict.fromkeys(data.sort_values("age_low", ascending=False)["age_high"].map(_share)))
    data = data.assign(age="up to " + data["age_high"].map(_share))
    data = data[["model", "step_low", "step_high", "age", "estimate", "ci_low", "ci_high", "n"]]
    tips = [alt.Tooltip("model:N"), alt.Tooltip("step_low:Q", title="exposure from", format=".1%")]
    tips += [
        alt.Tooltip("step_high:Q", title="to", format=".1%"),
        alt.Tooltip("age:N"),
        alt.Tooltip("estimate:Q", title="SD", format=".3f"),
    ]
    tips += [alt.Tooltip("ci_low:Q", title="95 % from", format=".3f"), alt.Tooltip("ci_high:Q", title="95 % to", format=".3f")]
    tips += [alt.Tooltip("n:Q", title="rows", format=",")]
    reach = float(data["estimate"].abs().max())
    cells = (
        alt.Chart(data, width=210, height=alt.Step(20))  # type: ignore[arg-type]
        .mark_rect()
        .encode(
            x=alt.X("step_low:Q", title="exposure step, as a share of training", axis=alt.Axis(format="%", tickCount=5)),
            x2="step_high:Q",
            y=alt.Y("age:N", title="share of training since", sort=["up to " + age for age in ages]),
            color=alt.Color("estimate:Q", title="SD", scale=alt.Scale(scheme="blueorange", domain=[-reach, reach])),
            tooltip=tips,
        )
    )
    return cells.facet(alt.Facet("model:N", sort=models, title=None), columns=3)


def _share(value: float) -> str:
    return f"{100 * value:.2g} %" if value < 1 else "100 %"
