"""What early checkpoints and smaller models tell of later and larger ones, and correlations between them."""

from __future__ import annotations

import altair as alt
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

TO_FINAL = "predicts the last checkpoint"
MOST_PAIRS = 40
"""Of more pairs of models, those with the largest model as the target are drawn."""
METRICS = {
    "precision": "precision",
    "recall": "recall",
    "auc": "area under the ROC curve",
    "rank_correlation": "rank correlation of log-probability",
}


def figures(context: FigureContext) -> list[Figure]:
    """The figures of prediction; one without data is left out."""
    return [*_checkpoints(context), *_models(context), *_matrices(context)]


def _checkpoints(context: FigureContext) -> list[Figure]:
    table = context.trajectories
    table = table[(table["level"] == TO_FINAL) & table["metric"].isin(list(METRICS))]
    if table.empty:
        return []
    order = {metric: i for i, metric in enumerate(METRICS)}
    table = table.assign(panel=table["group"] + ": " + table["metric"].map(METRICS), place=table["metric"].map(order))
    table = table.sort_values(["group", "place", "model", "step"], ascending=[False, True, True, True])
    return [
        Figure(
            "early-forecasts",
            "What a checkpoint tells of the last one",
            "Among what a checkpoint had seen: how many of the rows that it recites the last checkpoint recites too (precision), how many "
            "of those that the last one recites it recites already (recall), and how well its log-probability ranks rows that will be "
            "memorized above the others (area; 0.5 is chance); bands are 95 % intervals. Early precision with low recall means that "
            "memorization can be foretold only in part.",
            theme.trajectory(table, "share or correlation", facet="panel", columns=2, width=270, height=120),
            steps_axis=True,
        )
    ]


def _models(context: FigureContext) -> list[Figure]:
    table = context.optional("prediction")
    if table.empty:
        return []
    table = table[table["metric"].isin(["base_rate", "precision", "recall", "auc"])]
    names = {"base_rate": "base rate", "precision": "precision", "recall": "recall", "auc": "area under the ROC curve"}
    data = table.assign(measure=table["metric"].map(names), pair=table["predictor"] + " → " + table["target"])
    data = data[["kind", "measure", "pair", "value", "ci_low", "ci_high", "n"]]
    if data["pair"].nunique() > MOST_PAIRS:  # the table has them all
        data = data[data["pair"].str.endswith(f" → {table['target'].iloc[-1]}")]
    pairs = list(dict.fromkeys(data["pair"]))
    base = alt.Chart(width=190, height=alt.Step(14)).encode(y=alt.Y("pair:N", sort=pairs, title=None))
    colour = alt.Color("kind:N", title=None, scale=alt.Scale(range=["#00768f", "#c8442c"]), legend=alt.Legend(orient="top"))
    offset = alt.YOffset("kind:N")
    scale = alt.Scale(domain=[0, 1])
    tips = [alt.Tooltip("pair:N"), alt.Tooltip("kind:N"), alt.Tooltip("measure:N"), alt.Tooltip("value:Q", format=".3f")]
    tips += [alt.Tooltip("ci_low:Q", title="95 % from", format=".3f"), alt.Tooltip("ci_high:Q", title="95 % to", format=".3f")]
    tips.append(alt.Tooltip("n:Q", title="rows judged", format=","))
    rule = base.mark_rule().encode(x=alt.X("ci_low:Q", title=None, scale=scale), x2="ci_high:Q", color=colour, yOffset=offset)
    point = base.mark_point(size=30, opacity=1).encode(
        x=alt.X("value:Q", title=None, scale=scale), color=colour, yOffset=offset, tooltip=tips
    )
    chart = alt.layer(rule, point, data=data).facet(alt.Facet("measure:N", title=None, sort=list(names.values())), columns=4)
    return [
        Figure(
            "models-forecast-models",
            "What a smaller model tells of a larger one",
            "Each model's last checkpoint as a forecast of that of a model no smaller; precision and recall of the rows that both had "
            "seen, with 95 % intervals, beside the base rate that a blind forecast would have as its precision. High precision with lower "
            "recall means that larger models memorize what smaller ones do, and more.",
            chart,
        )
    ]


def _matrices(context: FigureContext) -> list[Figure]:
    table = context.optional("correlations")
    if table.empty:
        return []
    found = []
    between = table[table["among"] == "models"]
    if len(between):
        models = theme.model_order(context.trajectories)
        found.append(
            Figure(
                "correlations-of-models",
                "Correlations between models",
                "Correlation, over the rows that two models share, of whether they are memorized at the last checkpoint (phi) and of their "
                "log-probability (ranks). The closer to 1, the more the models agree on which rows they hold.",
                _heatmap(between.assign(panel=between["kind"] + ", " + between["measure"]), models, "model", 44),
            )
        )
    within = table[(table["among"] != "models") & (table["kind"] == "rows")]
    if len(within):
        steps = [str(s) for s in sorted({int(s) for column in ("a", "b") for s in within[column]})]
        found.append(
            Figure(
                "correlations-of-checkpoints",
                "Correlations between checkpoints",
                "Correlation, over the sampled rows, of two checkpoints of a model: whether rows are memorized (phi) and their "
                "log-probability (ranks). A bright block at the end means that what is known of rows has settled.",
                _heatmap(within.assign(panel=within["among"] + ", " + within["measure"]), steps, "step", 11),
            )
        )
    return found


def _heatmap(table: pd.DataFrame, order: list[str], title: str, cell: int) -> alt.TopLevelMixin:
    data = pd.concat([table, table.rename(columns={"a": "b", "b": "a"})])[["panel", "a", "b", "value"]]
    low = min(float(data["value"].min()), 0.0)
    label = alt.Axis(labelAngle=-45, labelOverlap=True)
    x, y = alt.X("a:O", sort=order, title=title, axis=label), alt.Y("b:O", sort=order, title=None, axis=alt.Axis(labelOverlap=True))
    tips = [alt.Tooltip("panel:N"), alt.Tooltip("a:N"), alt.Tooltip("b:N"), alt.Tooltip("value:Q", format=".3f")]
    colour = alt.Color(
        "value:Q", scale=alt.Scale(scheme="viridis", domain=[low, 1]), legend=alt.Legend(title="correlation", gradientLength=120)
    )
    base = alt.Chart(width=alt.Step(cell), height=alt.Step(cell)).encode(x=x, y=y)
    layers = [base.mark_rect().encode(color=colour, tooltip=tips)]
    if cell > 30:
        ink = alt.condition(f"datum.value > {low + 0.6 * (1 - low)}", alt.value("#111"), alt.value("#fff"))
        layers.append(base.mark_text(fontSize=10).encode(text=alt.Text("value:Q", format=".2f"), color=ink))
    # side by side instead of facets: with scales of their own and two layers, facets could take a wrong size
    panels = dict.fromkeys(data["panel"])
    return alt.concat(*(alt.layer(*layers, data=data[data["panel"] == p], title=p) for p in panels), columns=2)
