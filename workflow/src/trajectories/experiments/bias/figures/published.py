"""Published results over training: CrowS-Pairs by category, how far categories have come, and WinoBias."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

ENGLISH = "english"
PROMPTS = {"all": "mean of both prompts", "What does p stand for": "“what does … stand for?”", "refers_to": "“what does … refer to?”"}


def figures(context: FigureContext) -> list[Figure]:
    """None on suites with checkpoints of their own."""
    if context.suite.source != "published":
        return []
    branches = {m.name for m in context.suite.models if m.parent is not None}
    whole = context.trajectories[~context.trajectories["model"].isin(branches)]
    preferred = whole[(whole["metric"] == "stereotype_preferred") & (whole["setting"] == ENGLISH)]
    found = []
    if len(preferred):
        found.append(_preferred(preferred))
    changes = context.optional("categories")
    if len(changes):
        found.append(_changes(changes, theme.model_order(whole)))
    found += _wino(whole)
    return found


def _preferred(table: pd.DataFrame) -> Figure:
    sizes = table.groupby("group")["n"].median()
    order = sizes.sort_values(ascending=False).index
    table = table.assign(panel=table["group"] + table["group"].map(lambda g: f" ({sizes[g]:.0f} pairs)"))
    table = table[table["group"].map(sizes) >= 40].set_index("group").loc[[g for g in order if sizes[g] >= 40]].reset_index()
    return Figure(
        "published-preferred",
        "CrowS-Pairs over training, published",
        "Share of CrowS-Pairs' English pairs whose stereotyping sentence a model finds likelier, by category, the largest first; lines "
        "above the dashed one, 50 %, prefer stereotypes. Bands are 95 % intervals over pairs. Step 0 is the untrained model: lengths and "
        "words alone decide there, and what matters is how a line moves away from it.",
        theme.trajectory(table, "stereotype preferred", facet="panel", reference=0.5, percent=True, header="category"),
        steps_axis=True,
    )


def _changes(changes: pd.DataFrame, order: list[str]) -> Figure:
    data = changes[changes["told"]][["model", "category", "change", "ci_low", "ci_high", "n"]]
    data = data.assign(category=data["category"] + data["n"].map(lambda n: f" ({n:.0f} pairs)"))
    models = [m for m in order if m in set(data["model"])]
    ends = [float(data["ci_low"].min()), float(data["ci_high"].max())]
    scale = alt.Scale(domain=ends, nice=True)
    title = "change of log odds"
    base = alt.Chart().encode(y=alt.Y("model:N", sort=models, title=None))
    tips = [alt.Tooltip("model:N"), alt.Tooltip("category:N")]
    tips += [alt.Tooltip(f"{c}:Q", title=t, format=".2f") for c, t in (("change", title), ("ci_low", "95 % from"), ("ci_high", "95 % to"))]
    layers = alt.layer(
        alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x=alt.datum(0, scale=scale)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("ci_low:Q", title=title, scale=scale), x2="ci_high:Q", color=alt.value("#00768f")),
        base.mark_point(size=45, opacity=1).encode(x=alt.X("change:Q", title=title, scale=scale), color=alt.value("#00768f"), tooltip=tips),
        data=data.sort_values("n", ascending=False),
    ).properties(width=190, height=13 * len(models))
    panels = list(dict.fromkeys(data.sort_values("n", ascending=False)["category"]))
    return Figure(
        "published-categories",
        "How far each category has come",
        "Change of the log odds of preferring the stereotype, from the untrained model to the last checkpoint, for every category of at "
        "least 40 pairs, with 95 % intervals of independent samples. At one rate for all categories a "
        "model's points would stand at one place in every panel, but for what samples of pairs do.",
        layers.facet(alt.Facet("category:N", sort=panels, title=None), columns=3),
    )


def _wino(whole: pd.DataFrame) -> list[Figure]:
    right = whole[whole["metric"] == "exact_match"]
    gaps = whole[whole["metric"] == "exact_match_gap"]
    if right.empty:
        return []
    right = right.assign(panel=right["group"] + ", " + right["setting"].replace(PROMPTS))
    gaps = gaps.assign(panel=gaps["setting"].map(PROMPTS).fillna(gaps["setting"]), rank=np.where(gaps["setting"] == "all", 0, 1))
    return [
        Figure(
            "published-winobias",
            "WinoBias over training, published",
            "Share of generated answers that name exactly the person for whom a pronoun stands, in pro- and anti-stereotypical "
            "sentences, under both prompts; bands are 95 % intervals over sentences. Low values may mean that a model does not answer "
            "in that form.",
            theme.trajectory(right, "exact match", facet="panel", percent=True, columns=4, width=150, header="sentences and prompt"),
            steps_axis=True,
        ),
        Figure(
            "published-winobias-gap",
            "How much better WinoBias' stereotypical sentences are answered",
            "Exact match in pro- less anti-stereotypical sentences, the mean of both types; above the dashed line the stereotype helps. "
            "Bands are 95 % intervals with independent errors, which are too wide as far as the same sentences are hard in both versions.",
            theme.trajectory(
                gaps.sort_values(["rank", "panel"]), "difference of exact match", facet="panel", reference=0.0, header="prompt"
            ),
            steps_axis=True,
        ),
    ]
