"""One look for all figures: the configuration of light and dark pages, and a colour and a dash for each model.

The colours are ones that colour-blind readers tell apart, and a second channel (dash, shape) repeats what they say.
"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

alt.data_transformers.disable_max_rows()

FONT = "Arial, 'Liberation Sans', 'Helvetica Neue', sans-serif"
# matplotlib's "plasma" (van der Walt and Smith 2015) without its palest end: even steps of lightness, safe for colour-blind readers
RAMP = ["#2f0596", "#6a00a8", "#a01a9c", "#cb4679", "#e4695e", "#f58b47"]
DASHES = [[1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [1, 3]]
VERDICTS = {"supported": "#00768f", "refuted": "#c8442c", "inconclusive": "#80868b"}
SHAPES = {"supported": "circle", "refuted": "diamond", "inconclusive": "square"}
COVERED = {"covered": "#00768f", "not covered": "#c8442c"}
HOVER = "hover"
"""Style of the marks that only widen the area in which a tooltip shows; the static SVG goes without."""


def config(dark: bool = False) -> dict[str, Any]:
    """Vega-Lite's ``config`` for a light (and printed) or a dark page."""
    ink, soft, grid = ("#e6e8ea", "#aab1b7", "#33393f") if dark else ("#1c2024", "#565e66", "#e4e7ea")
    return {
        "background": "transparent" if dark else "white",
        "font": FONT,
        "view": {"stroke": None, "continuousWidth": 560, "continuousHeight": 300},
        "axis": {
            "labelColor": soft, "titleColor": ink, "domainColor": soft, "tickColor": soft, "gridColor": grid,
            "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8, "labelLimit": 320, "tickSize": 4,
        },
        "axisX": {"grid": False, "labelOverlap": True},
        "legend": {
            "labelColor": ink, "titleColor": soft, "labelFontSize": 12, "titleFontSize": 11, "titleFontWeight": "normal",
            "symbolStrokeWidth": 2.5, "symbolSize": 140, "labelLimit": 300, "rowPadding": 3,
        },
        "header": {"labelColor": ink, "titleColor": soft, "labelFontSize": 12, "labelFontWeight": "bold", "labelLimit": 320},
        "title": {"color": ink, "subtitleColor": soft, "anchor": "start", "fontSize": 14, "fontWeight": "bold", "offset": 10},
        "text": {"color": ink},
        "rule": {"color": soft},
        "line": {"strokeWidth": 2},
        "point": {"filled": True},
        "range": {"heatmap": {"scheme": "viridis"}, "ramp": {"scheme": "viridis"}},
    }  # fmt: skip


@alt.theme.register("trajectories", enable=True)
def _theme() -> alt.theme.ThemeConfig:
    return alt.theme.ThemeConfig({"config": config()})  # type: ignore[typeddict-item]


def nothing(text: str = "No data for this figure") -> alt.Chart:
    """A chart that says that there is nothing to draw."""
    return alt.Chart(pd.DataFrame({"text": [text]}), width=420, height=60).mark_text(fontSize=13, opacity=0.7).encode(text="text:N")


def model_order(table: pd.DataFrame) -> list[str]:
    """Names of the models, the smallest first; those of one size, or of unknown size, in the table's order."""
    models = table.drop_duplicates("model")
    if "parameters_non_embedding" in table:
        models = models.sort_values("parameters_non_embedding", kind="stable")
    return models["model"].astype(str).tolist()


def _mix(a: str, b: str, share: float) -> str:
    parts = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in parts)


def ramp(n: int) -> list[str]:
    """``n`` colours from :data:`RAMP`, evenly spaced, the darkest first."""
    if n == 1:
        return [RAMP[1]]
    places = [i * (len(RAMP) - 1) / (n - 1) for i in range(n)]
    return [_mix(RAMP[int(p)], RAMP[min(int(p) + 1, len(RAMP) - 1)], p % 1) for p in places]


def model_scales(table: pd.DataFrame) -> tuple[alt.Scale, alt.Scale]:
    """Scales of colour and of dash for the models of a table.

    A size has one hue, ordered from small to large; models of one size (seeds, branches, orders) share it, the later ones paler and dashed.

    Args:
        table: has ``model`` and, to know sizes, ``parameters_non_embedding``.
    """
    names = model_order(table)
    if "parameters_non_embedding" in table:
        size = table.drop_duplicates("model").set_index("model")["parameters_non_embedding"].to_dict()
    else:
        size = {name: i for i, name in enumerate(names)}
    hues = dict(zip(sorted(set(size.values())), ramp(len(set(size.values()))), strict=True))
    colours, dashes, met = [], [], dict.fromkeys(hues, 0)
    for name in names:
        nth = met[size[name]]
        met[size[name]] += 1
        colours.append(hues[size[name]] if nth == 0 else _mix(hues[size[name]], "#ffffff", 0.25))
        dashes.append(DASHES[nth % len(DASHES)])
    return alt.Scale(domain=names, range=colours), alt.Scale(domain=names, range=dashes)
