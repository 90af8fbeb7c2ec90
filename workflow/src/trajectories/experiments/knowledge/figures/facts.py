"""Figures of facts: by form over training and at its end, the gap between forms, and consistency."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

FORMS = ("seen", "paraphrase", "reversed", "reversed, told so", "second fact", "second hop", "second hop, told so")
_RULE = "Corrected for chance: 0 is guessing among the candidates, 100 % is always right; bands are 95 % intervals over clusters of facts."


def figures(context: FigureContext) -> list[Figure]:
    """None where the suite has no prompts about facts."""
    table = context.trajectories
    forms = table[(table["metric"] == "accuracy_beyond_chance") & (table["level"] == "form")]
    if forms.empty:
        return []
    found = [_forms(_ordered(forms)), _final(table)]
    gaps = table[table["metric"] == "gap"]
    if len(gaps):
        found.append(_gap(_ordered(gaps)))
    consistency = table[table["metric"].isin(["consistency", "consistently_right"])]
    if len(consistency):
        found.append(_consistency(consistency))
    return found


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the sequence of the forms, with a column ``form``."""
    rank = {form: i for i, form in enumerate(FORMS)}
    return table.assign(form=table["group"]).sort_values("group", key=lambda g: g.map(rank).fillna(len(rank)), kind="stable")


def _forms(table: pd.DataFrame) -> Figure:
    told = " 'Told so' are facts that training also states in just that form, so the form of the question is known." * bool(
        table["form"].str.endswith("told so").any()
    )
    return Figure(
        "facts-by-form",
        "Facts given, by the form in which they are asked",
        "Accuracy over training when a fact is asked as training tells it (seen), in other words (paraphrase), from its object (reversed), "
        f"or through a second fact (second hop).{told} {_RULE} A fact that is known whatever the form would rise alike in every panel.",
        theme.trajectory(table, "accuracy beyond chance", facet="form", columns=4, width=150, reference=0, percent=True),
        steps_axis=True,
    )


def _final(table: pd.DataFrame) -> Figure:
    accuracy = table[(table["metric"] == "accuracy") & (table["level"] == "form")]
    last = _ordered(accuracy[accuracy["step"] == accuracy.groupby("model")["step"].transform("max")])
    models = theme.model_order(last)
    forms = [form for form in FORMS if form in set(last["form"])]
    ranks = alt.Color("setting:N", title="ranks", scale=alt.Scale(domain=["raw", "adjusted"], range=["#c8442c", "#00768f"]))
    base = alt.Chart(width=170, height=alt.Step(22)).encode(
        y=alt.Y("form:N", sort=forms, title=None), yOffset=alt.YOffset("setting:N", sort=["raw", "adjusted"]), color=ranks
    )
    x = alt.X("value:Q", title="accuracy", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1]))
    tips = ["model:N", "form:N", "setting:N", alt.Tooltip("value:Q", format=".1%"), alt.Tooltip("n:Q", title="prompts")]
    layers = alt.layer(
        alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(x=alt.datum(0.1)),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("ci_low:Q", title="accuracy"), x2="ci_high:Q"),
        base.mark_point(size=50, opacity=1).encode(
            x=x,
            shape=alt.Shape("setting:N", title="ranks", scale=alt.Scale(domain=["raw", "adjusted"], range=["square", "circle"])),
            tooltip=tips,
        ),
        data=last[["model", "form", "setting", "value", "ci_low", "ci_high", "n"]],
    )
    return Figure(
        "facts-final",
        "Facts given at the end of training, raw and adjusted",
        "Share of prompts whose right candidate comes first at the last checkpoint. Raw: it is the likeliest candidate, what the model "
        "would say. Adjusted: it gains most from this subject rather than another, so that answers that are common anyway have no "
        "advantage. Lines are 95 % intervals; dashes mark guessing among ten. Where adjusted is far above raw, the fact is there but not "
        "said.",
        layers.facet(alt.Facet("model:N", title=None, sort=models), columns=4),
    )


def _gap(table: pd.DataFrame) -> Figure:
    return Figure(
        "facts-gap",
        "The gap between shallow and deep extraction",
        "Chance-corrected accuracy in the form seen in training less that in another form, on the same facts; by a second hop, less than "
        "where both facts are given one by one. Facts that training states in just that form are left out. Bands are 95 % intervals; "
        "dashes mark no gap.",
        theme.trajectory(table, "gap", facet="form", reference=0, percent=True),
        steps_axis=True,
    )


def _consistency(table: pd.DataFrame) -> Figure:
    names = {"consistency": "same answer", "consistently_right": "same answer, and right"}
    return Figure(
        "facts-consistency",
        "Do two phrasings of a fact get one answer?",
        "Share of pairs of phrasings of a fact to which the model gives the same answer, and to which both answers are right. Bands are "
        "95 % intervals over clusters of facts. A model that answers by the phrasing's habits can be consistent and wrong.",
        theme.trajectory(table.assign(answers=table["metric"].map(names)), "share of pairs", facet="answers", percent=True, width=260),
        steps_axis=True,
    )
