"""Survival of memorized rows by age, and what is retained from one checkpoint to the next."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

KEPT, AGAIN = "still memorized", "not memorized again"


def figures(context: FigureContext) -> list[Figure]:
    """The figures of forgetting; one without data is left out."""
    table = context.optional("forgetting")
    found = []
    if not table.empty:
        sizes = context.trajectories.drop_duplicates("model").set_index("model")["parameters_non_embedding"]
        table = table.assign(parameters_non_embedding=table["model"].map(sizes), panel=table["group"] + ", " + table["state"])
        found += _curve(
            table[table["what"] == KEPT],
            "forgetting",
            "How long memorized rows stay memorized",
            "Share of what a checkpoint had memorized that is still memorized so many steps after it was last shown; bands are 95 % "
            "intervals over clusters. A curve that falls fast means that what was just seen is soon forgotten, so rows met last look "
            "better memorized than they will be.",
            "still memorized",
        )
        again = table[table["what"] == AGAIN]
        turned = again.assign(value=1 - again["value"], ci_low=1 - again["ci_high"], ci_high=1 - again["ci_low"])
        found += _curve(
            turned,
            "relearning",
            "Forgotten rows that come back without being shown",
            "Share of forgotten rows that a later checkpoint has memorized again although they were not shown in between; bands are 95 % "
            "intervals over clusters. A curve that stays low means that forgetting lasts.",
            "memorized again",
        )
    kept = context.trajectories[context.trajectories["metric"] == "retained"]
    if len(kept):
        found.append(
            Figure(
                "retained",
                "What is retained from one checkpoint to the next",
                "Share of the rows memorized at the checkpoint before, and not shown since, that are still memorized; bands are 95 % "
                "intervals. Checkpoints lie at unequal distances, so compare models at one step rather than steps of one model.",
                theme.trajectory(kept, "retained", facet="group", columns=2, width=270, percent=True, domain=[0, 1]),
                steps_axis=True,
            )
        )
    return found


def _curve(table: pd.DataFrame, name: str, title: str, caption: str, y_title: str) -> list[Figure]:
    if table.empty:
        return []
    data = table[["model", "parameters_non_embedding", "panel", "age", "value", "ci_low", "ci_high", "n", "n_events", "n_clusters"]]
    colours, dashes = theme.model_scales(data)
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(width=270, height=170).encode(
        x=alt.X("age:Q", title="steps since last shown", axis=alt.Axis(format="~s", grid=False, tickCount=5)),
        color=alt.Color("model:N", scale=colours, sort=None),
    )
    y = alt.Y("value:Q", title=y_title, scale=scale, axis=alt.Axis(format=".0%", tickCount=5))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("age:Q", title="steps since last shown", format=",.0f")]
    tips += [alt.Tooltip("value:Q", title=y_title, format=".1%"), alt.Tooltip("ci_low:Q", title="95 % from", format=".1%")]
    tips += [alt.Tooltip("ci_high:Q", title="95 % to", format=".1%"), alt.Tooltip("n:Q", title="intervals at risk", format=",")]
    tips += [alt.Tooltip("n_events:Q", title="changes", format=","), alt.Tooltip("n_clusters:Q", title="clusters", format=",")]
    band = base.mark_area(opacity=0.15, strokeWidth=0).encode(y=alt.Y("ci_low:Q", title=y_title, scale=scale), y2="ci_high:Q")
    line = base.mark_line().encode(y=y, strokeDash=alt.StrokeDash("model:N", scale=dashes, sort=None))
    point = base.mark_point(size=30, opacity=1).encode(y=y, tooltip=tips)
    panels = sorted(data["panel"].unique(), key=lambda p: (not p.startswith("rows"), not p.endswith("memorized")))
    chart = alt.layer(band, line, point, data=data).facet(alt.Facet("panel:N", title=None, sort=panels), columns=2)
    return [Figure(name, title, caption, chart.resolve_scale(x="independent"))]
