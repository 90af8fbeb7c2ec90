"""Charts of metrics: over training steps, over scale, and as a table of colours.

Every chart carries tooltips, a legend that can be clicked, and prints well as static SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from trajectories.figures.look import HOVER, model_scales, nothing, ramp


def log_ticks(low: int, high: int) -> list[int]:
    """Round tick values for a logarithmic axis: powers of ten, with 2 and 5 times these where the range spans less than three decades."""
    start = max(low, 1)
    factors = (1, 2, 5) if high < 1000 * start else (1,)
    return [0] * (low <= 0) + [f * 10**k for k in range(len(str(high))) for f in factors if start <= f * 10**k <= high]


def step_axis(steps: pd.Series, title: str = "training step") -> alt.X:
    """The x encoding of training steps: logarithmic, symmetrically so where there is a step 0; the report can turn it linear."""
    low, high = (int(steps.min()), max(int(steps.max()), 1)) if len(steps) else (0, 1)
    scale = alt.Scale(type="symlog", constant=1, domain=[0, high], nice=False)
    if 0 < low < high:
        scale = alt.Scale(type="log", domain=[low, high], nice=False, padding=6)
    return alt.X(
        "step:Q", title=title, scale=scale, axis=alt.Axis(values=log_ticks(low, high), labelExpr="format(datum.value, '~s')", grid=False)
    )


def panels_per_row(n: int, most: int) -> int:
    """How many of ``n`` panels stand side by side: at most ``most``, or one fewer where that leaves no gap in the last row."""
    fewer = max(most - 1, 1)
    return n if n <= most else fewer if n % most and n % fewer == 0 else most


def _sentence(column: str) -> str:
    return column.replace("_", " ")


def trajectory(
    table: pd.DataFrame,
    y_title: str,
    *,
    facet: str | None = None,
    choose: str | None = None,
    columns: int = 3,
    width: int | None = None,
    height: int | None = None,
    domain: Sequence[float] | None = None,
    reference: float | str | None = None,
    independent: bool = False,
    percent: bool = False,
    band: bool = True,
    scale: str = "linear",
    header: str | None = None,
    tooltip: Sequence[str] = (),
) -> alt.TopLevelMixin:
    """A metric over training: a line and an interval's band per model.

    Args:
        table: rows with the columns of trajectories (at least ``model, step, value``); one line per model, and per ``facet`` or ``choose``.
        y_title: what the y axis shows.
        facet: column to make small multiples of; the order of panels is that of first appearance.
        choose: column to choose one value of from a menu (interactive only; give the figure a ``static`` chart beside it).
        columns: most panels side by side.
        width, height: of one panel, in pixels.
        domain: y range, or that of the data.
        reference: height of a dashed line (chance, for instance), or the column that holds it, where panels differ.
        independent: panels have y axes of their own.
        percent: y as percentage of shares between 0 and 1.
        band: draw ``ci_low`` to ``ci_high``.
        scale: type of the y scale, for instance ``log``.
        header: what the facets or the menu's entries are.
        tooltip: further columns for the tooltip.
    """
    wanted = ["model", "parameters_non_embedding", "step", "tokens", "value", "ci_low", "ci_high", "n", facet, choose, *tooltip]
    wanted += [reference] if isinstance(reference, str) else []
    kept = [c for c in dict.fromkeys(wanted) if c is not None and c in table]
    data = table[kept].dropna(subset=["value"])
    if data.empty:
        return nothing()
    has_band = band and {"ci_low", "ci_high"} <= set(data) and bool(data["ci_low"].notna().any())
    colours, dashes = model_scales(data)
    chosen = alt.selection_point(fields=["model"], bind="legend", name="legend_model")
    y_format = ".0%" if percent else "~g"
    y_scale = alt.Scale(zero=False, type=scale, **({"domain": list(domain)} if domain else {}))  # type: ignore[arg-type]
    x = step_axis(data["step"])
    y = alt.Y("value:Q", title=y_title, scale=y_scale, axis=alt.Axis(format=y_format, tickCount=5))
    number = ".1%" if percent else ".4~g"
    legend = alt.Legend(title="model", columns=1, symbolType="stroke", symbolOpacity=1, symbolSize=260) if len(colours.domain) > 1 else None
    colour = alt.Color("model:N", scale=colours, sort=None, legend=legend)
    tips = [
        alt.Tooltip("model:N"),
        *(alt.Tooltip(f"{c}:N", title=_sentence(c)) for c in (facet, choose) if c),
        alt.Tooltip("step:Q", format=","),
    ]
    tips += [alt.Tooltip("tokens:Q", title="tokens seen", format=".3~s")] if "tokens" in data else []
    tips += [alt.Tooltip("value:Q", title=y_title, format=number)]
    if {"ci_low", "ci_high"} <= set(data):
        tips += [alt.Tooltip(f"{c}:Q", title=t, format=number) for c, t in (("ci_low", "95 % from"), ("ci_high", "95 % to"))]
    tips += [alt.Tooltip("n:Q", format=",")] if "n" in data else []
    tips += [alt.Tooltip(c, title=_sentence(c)) for c in tooltip if c in data]
    width = width or (190 if facet else 560)
    height = height or (130 if facet else 300)

    base = alt.Chart(width=width, height=height).encode(x=x)
    layers: list[alt.Chart] = []
    if reference is not None:
        level = alt.Y(f"mean({reference}):Q", title=y_title) if isinstance(reference, str) else alt.datum(reference)
        layers.append(alt.Chart().mark_rule(strokeDash=[4, 3], opacity=0.7).encode(y=level))
    if has_band:
        shade = alt.condition(chosen, alt.value(0.16), alt.value(0.02))
        layers.append(
            base.mark_area(strokeWidth=0).encode(
                y=alt.Y("ci_low:Q", title=y_title, scale=y_scale), y2="ci_high:Q", color=colour, opacity=shade
            )
        )
    strength = alt.condition(chosen, alt.value(1), alt.value(0.12))
    dash = alt.StrokeDash("model:N", scale=dashes, sort=None, legend=legend)
    layers.append(base.mark_line(clip=True).encode(y=y, color=colour, strokeDash=dash, opacity=strength).add_params(chosen))
    if data.groupby("model")["step"].nunique().max() <= 40:
        layers.append(base.mark_point(size=16, clip=True).encode(y=y, color=colour, opacity=strength))
    layers.append(base.mark_point(size=140, opacity=0, style=HOVER, clip=True).encode(y=y, tooltip=tips))
    chart: Any = alt.layer(*layers, data=data)
    if choose:
        options = list(dict.fromkeys(data[choose].astype(str)))
        menu = alt.param(name="choice", value=options[0], bind=alt.binding_select(options=options, name=f"{header or _sentence(choose)}: "))
        chart = chart.add_params(menu).transform_filter(f"datum[{choose!r}] == choice")
    if facet:
        order = list(dict.fromkeys(data[facet].astype(str)))
        head = alt.Header(title=header, labelExpr="datum.label")
        chart = chart.facet(alt.Facet(f"{facet}:N", sort=order, title=header, header=head), columns=panels_per_row(len(order), columns))
        chart = chart.resolve_scale(y="independent") if independent else chart
    return chart


def scaling(
    table: pd.DataFrame, y_title: str, *, colour: str | None = None, percent: bool = False, header: str | None = None
) -> alt.TopLevelMixin:
    """A metric against the model's size (non-embedding parameters), with intervals; one line per value of ``colour``."""
    columns = ["model", "parameters_non_embedding", "step", "value", "ci_low", "ci_high", colour]
    data = table[[c for c in columns if c is not None and c in table]].dropna(subset=["value"])
    if data.empty:
        return nothing()
    number = ".1%" if percent else ".4~g"
    x = alt.X(
        "parameters_non_embedding:Q",
        title="non-embedding parameters",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(format="~s", tickCount=6),
    )
    y = alt.Y("value:Q", title=y_title, scale=alt.Scale(zero=False), axis=alt.Axis(format=".0%" if percent else "~g"))
    tips = [alt.Tooltip(f"{c}:N") for c in ("model", colour) if c] + [
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("value:Q", title=y_title, format=number),
    ]
    base = alt.Chart(data).encode(x=x)
    if colour:
        base = base.encode(
            color=alt.Color(f"{colour}:N", title=header or _sentence(colour), scale=alt.Scale(range=ramp(max(data[colour].nunique(), 1))))
        )
    layers = [base.mark_line(opacity=0.5, strokeWidth=1.2).encode(y=y), base.mark_point(size=45).encode(y=y, tooltip=tips)]
    if {"ci_low", "ci_high"} <= set(data):
        layers.insert(0, base.mark_rule().encode(y=alt.Y("ci_low:Q", title=y_title, scale=alt.Scale(zero=False)), y2="ci_high:Q"))
    return alt.layer(*layers)


def heatmap(
    table: pd.DataFrame,
    x: str,
    y: str,
    value: str = "value",
    *,
    value_title: str | None = None,
    x_title: str | None = None,
    y_title: str | None = None,
    domain: Sequence[float] | None = None,
    percent: bool = False,
    label: bool = False,
    cell: int = 18,
    sort_x: Sequence[Any] | None = None,
    sort_y: Sequence[str] | None = None,
) -> alt.TopLevelMixin:
    """Cells coloured by a value: groups against steps or models, or models against models.

    Args:
        table: rows with the columns ``x``, ``y`` and ``value``.
        domain: range of the colours, or that of the data.
        label: write the value into its cell.
        cell: size of a cell in pixels.
        sort_x, sort_y: order of columns and rows, or that of first appearance (steps: ascending).
    """
    data = table[list(dict.fromkeys([x, y, value, *(["model"] if "model" in table else [])]))].dropna(subset=[value])
    if data.empty:
        return nothing()
    number = ".0%" if percent else ".2~f"
    columns = list(sort_x) if sort_x is not None else sorted(data[x].unique()) if x == "step" else list(dict.fromkeys(data[x]))
    rows = list(sort_y) if sort_y is not None else list(dict.fromkeys(data[y]))
    scale = alt.Scale(scheme="viridis", **({"domain": list(domain)} if domain else {}))
    wide = max(cell, 34) if label else cell
    base = alt.Chart(data, width=alt.Step(wide), height=alt.Step(cell)).encode(
        x=alt.X(
            f"{x}:O",
            title=x_title or _sentence(x),
            sort=columns,
            axis=alt.Axis(
                labelAngle=-45 if len(columns) > 6 or x == "model" else 0, format="~s" if x == "step" else "", labelOverlap=x == "step"
            ),
        ),
        y=alt.Y(f"{y}:O", title=y_title, sort=rows),
    )
    tips = [alt.Tooltip(f"{c}:N", title=_sentence(c)) for c in dict.fromkeys([y, x])] + [
        alt.Tooltip(f"{value}:Q", title=value_title or value, format=".3~f")
    ]
    cells = base.mark_rect().encode(
        color=alt.Color(f"{value}:Q", scale=scale, legend=alt.Legend(title=value_title or value, format=number, gradientLength=120)),
        tooltip=tips,
    )
    if not label:
        return cells
    low, high = (domain[0], domain[1]) if domain else (float(data[value].min()), float(data[value].max()))
    ink = alt.condition(f"datum[{value!r}] > {low + 0.6 * (high - low)}", alt.value("#111"), alt.value("#fff"))
    return cells + base.mark_text(fontSize=10).encode(text=alt.Text(f"{value}:Q", format=number), color=ink)
