"""Figures of what stands in a model's layers: the logit lens by layer and step, fact by fact, and probes with their controls."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from trajectories.figures import Figure, FigureContext, theme

MOST_MODELS = 4
NEVER = "never"


def figures(context: FigureContext) -> list[Figure]:
    """The figures of layers and probes, as far as they were measured."""
    table = context.trajectories
    lens = table[(table["metric"] == "lens_beyond_chance") & (table["setting"] == "seen")]
    probes = table[(table["metric"] == "probe_beyond_chance") & (table["level"] == "chosen layer")]
    found = []
    if len(lens):
        found.append(_lens(lens))
        read = context.optional("read_from")
        if len(read):
            found.append(_read(read[read["form"] == "seen"], lens))
    if len(probes):
        found.append(_probes(probes))
    return found


def _models(table: pd.DataFrame) -> list[str]:
    """At most so many models, of as many sizes as there are."""
    own = table[table["branch"].isna()] if "branch" in table else table
    sizes = own.drop_duplicates("parameters_non_embedding") if "parameters_non_embedding" in own else own
    names = theme.model_order(sizes)
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, MOST_MODELS).round().astype(int))]


def _lens(table: pd.DataFrame) -> Figure:
    high = max(float(table["value"].max()), 0.05)
    panels = [
        theme.heatmap(
            table[table["model"] == name].assign(layer=lambda t: t["group"].astype(int)),
            "step",
            "layer",
            value_title="accuracy beyond chance",
            x_title="training step",
            y_title="layer",
            domain=(0, high),
            percent=True,
            sort_y=sorted(table.loc[table["model"] == name, "group"].astype(int).unique(), reverse=True),
        ).properties(title=name)
        for name in _models(table)
    ]
    return Figure(
        "lens-by-layer",
        "From which layer facts can be read, and from when on",
        "Facts asked as training tells them, read from each layer by the logit lens (as if the layer were the last): chance-corrected "
        "accuracy among the candidates. Layer 0 is the embedding of the last word, the same for every subject: its candidates tie, "
        "and ties count as wrong. The top row is the model's own output. Colour that spreads downwards over "
        "training would mean that facts come to be settled in earlier layers.",
        alt.hconcat(*panels).resolve_scale(color="shared"),
    )


def _read(read: pd.DataFrame, lens: pd.DataFrame) -> Figure:
    last = lens[lens["step"] == lens.groupby("model")["step"].transform("max")].assign(layer=lambda t: t["group"].astype(int))
    parts = []
    for name in _models(lens):
        inner = last[(last["model"] == name) & (last["layer"] > 0) & (last["layer"] < last.loc[last["model"] == name, "layer"].max())]
        if inner.empty:
            continue
        best = int(inner.loc[inner["value"].idxmax(), "layer"])
        own = read[(read["model"] == name) & (read["layer"] == best)]
        counts = own.groupby(["step", "output_step"], dropna=False).size().rename("facts").reset_index()
        parts.append(counts.assign(panel=f"{name}, layer {best}"))
    cells = pd.concat(parts, ignore_index=True)
    cells = cells[np.isfinite(cells["step"]) | np.isfinite(cells["output_step"])]
    steps = sorted({int(s) for s in [*cells["step"], *cells["output_step"]] if np.isfinite(s)})
    order = [*map(str, steps), NEVER]
    for column in ("step", "output_step"):
        cells[column] = [str(int(s)) if np.isfinite(s) else NEVER for s in cells[column]]
    x = alt.X("output_step:O", sort=order, title="step from which on the model gives the fact", scale=alt.Scale(domain=order))
    y = alt.Y("step:O", sort=order[::-1], title="step from which on the layer gives it", scale=alt.Scale(domain=order[::-1]))
    base = alt.Chart(width=alt.Step(20), height=alt.Step(20))
    chart = alt.layer(
        base.mark_point(shape="square", filled=False, size=260, opacity=0.25, color="#80868b")
        .encode(x=alt.X("step:O", sort=order), y=alt.Y("step:O", sort=order[::-1]))
        .transform_filter("isValid(datum.step)"),
        base.mark_circle(color="#00768f", opacity=0.85).encode(
            x=x, y=y, size=alt.Size("facts:Q", scale=alt.Scale(range=[20, 320])), tooltip=["facts:Q", "step:O", "output_step:O"]
        ),
        data=cells,
    )
    return Figure(
        "lens-first",
        "Is a fact readable from a layer before the model gives it?",
        "Facts by the checkpoint from which on the output (across) and the best intermediate layer (upwards, by the logit lens) are right; "
        "those that neither ever gives are left out. Squares mark equal times: facts below them are in the layer first, above them in the "
        "output first. Single facts are right by luck now and then; the claim times all facts together.",
        chart.facet(alt.Facet("panel:N", title=None), columns=2),
    )


def _probes(table: pd.DataFrame) -> Figure:
    names = {"probe": "probe", "control": "control task", "selectivity": "probe less control"}
    shown = table.assign(what=table["group"].map(names))
    colour = alt.Color(
        "what:N",
        legend=alt.Legend(title=None, symbolOpacity=1),
        sort=list(names.values()),
        scale=alt.Scale(domain=list(names.values()), range=["#00768f", "#80868b", "#c8442c"]),
    )
    dashes = alt.Scale(domain=list(names.values()), range=[[1, 0], [4, 2], [1, 2]])
    dash = alt.StrokeDash("what:N", title=None, sort=list(names.values()), scale=dashes)
    base = alt.Chart(width=190, height=130).encode(x=theme.step_axis(shown["step"]), color=colour)
    y = alt.Y("value:Q", title="accuracy beyond chance", axis=alt.Axis(format=".0%"))
    chart = alt.layer(
        alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(y=alt.datum(0)),
        base.mark_area(opacity=0.14).encode(y=alt.Y("ci_low:Q", title="accuracy beyond chance"), y2="ci_high:Q"),
        base.mark_line().encode(y=y, strokeDash=dash),
        base.mark_point(size=24).encode(y=y, tooltip=["model:N", "what:N", "step:Q", alt.Tooltip("value:Q", format=".1%")]),
        data=shown[shown["model"].isin(_models(table))][["model", "step", "what", "setting", "value", "ci_low", "ci_high"]],
    )
    return Figure(
        "probes",
        "What a linear probe finds in the hidden states, against its control",
        "Chance-corrected accuracy of a linear probe for a fact's object, in the layer that does best on other relations, tested on "
        "facts or on phrasings that it was not trained on. The control task is the same probe with objects dealt anew among facts: what "
        "it reaches is learnt by the probe itself, so only the difference tells of the model, and only as far as it exceeds that at step "
        "0. Bands are 95 % intervals.",
        chart.facet(row=alt.Row("model:N", title=None, sort=_models(table)), column=alt.Column("setting:N", title=None)),
        steps_axis=True,
    )
