"""The randomized trial: the effect of the place in every arm, and natural rows as the trial and as the regression see them."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures import Figure, FigureContext

WHAT = {"an arm, with its 95 % interval": "#00768f", "one run": "#8a9097"}
SAMPLES = ["before the recency window", "recency window included", "at equal age"]
SD = "SD of the span's log-probability, last to first place"
WITHIN = "SD of the log-probability given copies and place, last to first place"


def figures(context: FigureContext) -> list[Figure]:
    """None where no models differ in the direction of their order or in the course of the learning rate."""
    table = context.optional("trial")
    if table.empty:
        return []
    found = []
    canaries = table[(table["population"] == "canaries") & (table["outcome"] == "logprob")]
    canaries = canaries[canaries["sample"].isin(SAMPLES)]  # the table has slopes by copies besides
    if len(canaries):
        found.append(
            Figure(
                "trial-canaries",
                "The effect of a random place on canaries",
                "Change of the log-probability from the first to the last place, in every arm of the trial: at the last checkpoint, "
                "without and with the canaries met last, and at equal age, each canary at the first checkpoint after its last copy; the "
                "grey zone holds effects too small to matter. What is left at equal age is no matter of time to forget.",
                _forest(canaries, "sample", SAMPLES, WITHIN, _margin(context.claims, "trial-canaries-likelier")),
            )
        )
    odds = table[(table["population"] == "canaries") & (table["outcome"] == "memorized")]
    odds = odds[odds["arm"].isin(odds.loc[odds["problem"].isna() & (odds["model"] == ""), "arm"])]
    decided = set(map(tuple, odds.loc[odds["problem"].isna() & (odds["model"] == ""), ["sample", "arm"]].to_numpy()))
    odds = odds[[(s, a) in decided for s, a in zip(odds["sample"], odds["arm"], strict=True)]]
    if len(odds):
        found.append(
            Figure(
                "trial-memorized",
                "The effect of a random place on the odds of being memorized",
                "Log odds ratio of being memorized, last to first place, in the arms with at least 20 canaries that are memorized and 20 "
                "that are not. Right of the grey zone, later canaries are memorized more often.",
                _forest(
                    odds, "sample", SAMPLES, "log odds ratio, last to first place", _margin(context.claims, "trial-canaries-memorized")
                ),
            )
        )
    rows = table[(table["population"] == "rows") & (table["outcome"] == "logprob")]
    if len(rows):
        order = ["crossover", "observational regression"]
        found.append(
            Figure(
                "trial-rows",
                "Natural rows: what the trial finds, and what the regression finds",
                "Change of the log-probability of rows seen once from the first to the last place. The crossover compares every row with "
                "itself in the other order, so that its content cancels; the regression compares rows with one another, as one must where "
                "there is a single order. Where their intervals overlap, looking on has found what the trial finds.",
                _forest(rows, "sample", order, SD, _margin(context.claims, "trial-rows-likelier")),
            )
        )
    return found


def _margin(claims: pd.DataFrame, claim: str) -> float:
    margins = claims.loc[claims["id"] == claim, "margin"]
    return float(margins.iloc[0]) if len(margins) else 0.0


def _forest(table: pd.DataFrame, facet: str, panels: list[str], title: str, margin: float) -> alt.TopLevelMixin:
    """A line per arm: its estimate with interval, and its runs' estimates below; one panel per value of ``facet``."""
    data = table[[facet, "arm", "model", "estimate", "ci_low", "ci_high", "n"]].copy()
    data["what"] = np.where(data["model"] == "", *WHAT)
    data["area"] = np.where(data["model"] == "", 80, 26)
    whole = np.isfinite(data[["ci_low", "ci_high"]]).all(axis=1)
    data[["ci_low", "ci_high"]] = data[["ci_low", "ci_high"]].where(whole)
    data = data[np.isfinite(data["estimate"])]
    reach = np.concatenate([data[c].dropna().to_numpy() for c in ("estimate", "ci_low", "ci_high")] + [[-margin, margin]])
    pad = 0.05 * float(np.ptp(reach))
    scale = alt.Scale(domain=[reach.min() - pad, reach.max() + pad], nice=False)
    present = [panel for panel in panels if panel in set(data[facet])]
    return alt.vconcat(*[_panel(data[data[facet] == panel], panel, title, scale, margin) for panel in present], spacing=16)


def _panel(data: pd.DataFrame, heading: str, title: str, scale: alt.Scale, margin: float) -> alt.LayerChart:
    arms = list(dict.fromkeys(data["arm"]))
    x = alt.X("estimate:Q", title=title, scale=scale, axis=alt.Axis(grid=True))
    kinds = alt.Scale(domain=list(WHAT), range=list(WHAT.values()))
    colour = alt.Color("what:N", title=None, scale=kinds, legend=alt.Legend(orient="top"))
    down = alt.YOffset("what:N", sort=list(WHAT), scale=alt.Scale(paddingOuter=0.3))
    base = alt.Chart(data, width=430, height=alt.Step(14)).encode(y=alt.Y("arm:N", sort=arms, title=None), yOffset=down, color=colour)
    # one rectangle for a panel, not one for each of its lines
    zone = alt.Chart(pd.DataFrame({"low": [-margin], "high": [margin]})).mark_rect(opacity=0.22, color="#8a9097")
    tips = [alt.Tooltip("arm:N"), alt.Tooltip("model:N", title="run"), alt.Tooltip("estimate:Q", title=title, format=".3f")]
    tips += [alt.Tooltip("ci_low:Q", title="95 % from", format=".3f"), alt.Tooltip("ci_high:Q", title="95 % to", format=".3f")]
    tips += [alt.Tooltip("n:Q", format=",")]
    return alt.layer(
        zone.encode(x=alt.X("low:Q", title=title, scale=scale), x2="high:Q"),
        base.mark_rule(strokeWidth=2.4).encode(x=alt.X("ci_low:Q", title=title, scale=scale), x2="ci_high:Q"),
        base.mark_point(opacity=1).encode(x=x, tooltip=tips, size=alt.Size("area:Q", scale=None)),
        title={"text": heading, "fontSize": 12},  # type: ignore[arg-type]
    )
