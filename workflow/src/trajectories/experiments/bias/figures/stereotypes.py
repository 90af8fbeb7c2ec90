"""Reproducing: pairs of sentences over training, WinoBias over training, WinoGender at the end."""

from __future__ import annotations

import altair as alt
import pandas as pd
from scipy import special

from trajectories.experiments.bias.scores import STEREOTYPED
from trajectories.figures import Figure, FigureContext, theme


def figures(context: FigureContext) -> list[Figure]:
    """One for each set that was shown."""
    if context.suite.source == "published":
        return []
    table = context.trajectories
    found = [f for part in STEREOTYPED for f in _pairs(table, part, context.settings.categories)]
    return [*found, *_coreference(table[table["metric"] == "coreference_effect"]), *_labour(context)]


def _pairs(table: pd.DataFrame, part: str, most: int) -> list[Figure]:
    data = table[(table["metric"] == "likelihood_difference") & (table["setting"] == part) & table["level"].isin(["all", "category"])]
    if data.empty:
        return []
    sizes = data.groupby("group")["n"].max().sort_values(ascending=False)
    chosen = list(sizes.index[: most + 1])
    data = data[data["group"].isin(chosen)].assign(panel=data["group"] + data["group"].map(lambda g: f" ({sizes[g]:.0f} pairs)"))
    data = pd.concat([data[data["group"] == g] for g in chosen])
    planted = part == "occupations"
    more = "with the pronoun that its occupation was planted with more often" if planted else "the stereotyping one"
    return [
        Figure(
            f"{part.replace('_', '-')}-difference",
            f"How much likelier is the stereotyping sentence? {STEREOTYPED[part]}",
            f"Mean difference of log-probabilities, in nats, between the two sentences of a pair, {more} first; 95 % intervals, over "
            f"{'occupations' if planted else 'pairs'}. Above 0 (dashed) the stereotype is preferred; the first step is the untrained "
            "model, so what matters is how a line leaves its start.",
            theme.trajectory(data, "log-probability difference (nats)", facet="panel", reference=0.0, columns=4 if planted else 3),
            steps_axis=True,
        )
    ]


def _coreference(table: pd.DataFrame) -> list[Figure]:
    data = table[table["group"] == "all sentences"]
    if data.empty:
        return []
    return [
        Figure(
            "winobias-effect",
            "Are pronouns resolved by stereotype? WinoBias over training",
            "How much a pronoun that fits the stereotype of the right person raises the log odds of naming that person, against the other "
            "pronoun, by prompt; 95 % intervals that allow for occupations in common. 0 (dashed) is no effect of the stereotype.",
            theme.trajectory(data, "effect on log odds (nats)", facet="setting", reference=0.0),
            steps_axis=True,
        )
    ]


def _labour(context: FigureContext) -> list[Figure]:
    table = context.optional("winogender")
    if table.empty:
        return []
    data = table.assign(x=special.logit(table["bls"].clip(0.5, 99.5) / 100))[["model", "occupation", "x", "bls", "value"]]
    models = [m.name for m in context.suite.models if m.name in set(data["model"])]
    x = alt.X("x:Q", title="log odds of women in the occupation (US labour statistics)", scale=alt.Scale(zero=False))
    tips = [
        alt.Tooltip("model:N"),
        alt.Tooltip("occupation:N"),
        alt.Tooltip("bls:Q", title="% women"),
        alt.Tooltip("value:Q", format=".2f"),
    ]
    base = alt.Chart(width=210, height=180).encode(x=x, y=alt.Y("value:Q", title="log odds of she to he", scale=alt.Scale(zero=False)))
    zero = alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(y=alt.datum(0))
    fit = base.transform_regression("x", "value", groupby=["model"]).mark_line(color="#a01a9c")
    layers = alt.layer(zero, base.mark_point(size=36, color="#00768f").encode(tooltip=tips), fit, data=data)
    return [
        Figure(
            "winogender-labour",
            "Pronouns against labour statistics: WinoGender at the last checkpoint",
            "Each point is an occupation: the share of women in it, as log odds, and the model's log odds of the sentence with she to that "
            "with he, where the pronoun stands for the occupation. Points below the dashed line prefer he; a line that rises follows the "
            "statistics.",
            layers.facet(alt.Facet("model:N", sort=models, title=None), columns=3),
        )
    ]
