"""From charts to files: specifications that carry only what they draw, and SVG that is the same, byte for byte, whenever it is drawn."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.sax.saxutils import escape

import altair as alt

from trajectories.figures.look import HOVER

DIGITS = 5
"""Significant digits of the numbers in a specification: more than a screen or a page can show."""
# what XML cannot hold, at which the renderer aborts the whole process; and line separators, which end a string in Vega's expressions
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def _renumbered(text: str, pattern: str) -> str:
    """Number the matches of ``pattern`` (its first group is the stem) from 1, in the order in which they appear."""
    found = dict.fromkeys(match[0] for match in re.finditer(pattern, text))
    new = {old: f"{re.sub('[0-9]+$', '', old)}{i}" for i, old in enumerate(found, 1)}
    return re.sub(pattern, lambda match: new[match[0]], text)


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """A chart as a Vega-Lite specification: unused columns dropped, numbers rounded, generated names numbered from 1.

    A column counts as used if its name occurs anywhere in the specification outside the data; ``model``, ``step`` and ``tokens`` always
    stay, since the report lets readers choose by them.
    """
    spec: dict[str, Any] = chart.to_dict(context={"pre_transform": False})
    datasets = spec.pop("datasets", {})
    text = json.dumps(spec)
    for stem in ("view", "param"):
        text = _renumbered(text, rf"\b{stem}_[0-9]+\b")
    used = {
        column
        for rows in datasets.values()
        for row in rows[:1]
        for column in row
        if column in text or column in ("model", "step", "tokens")
    }
    spec = _drawable(json.loads(text))
    spec["datasets"] = {
        name: [{k: _drawable(v) for k, v in row.items() if k in used} for row in rows] for name, rows in sorted(datasets.items())
    }
    return spec


def _drawable(value: Any) -> Any:
    """A value as a chart can hold it, at any depth: numbers rounded, and characters replaced that no drawing can show."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return _CONTROL.sub("\ufffd", value)
    if isinstance(value, dict):
        return {k: _drawable(v) for k, v in value.items()}
    return [_drawable(part) for part in value] if isinstance(value, list) else value


def _without_hover(node: Any) -> Any:
    """A copy without the layers that only widen the area of a tooltip, which would fill a static file with what nobody sees."""
    if isinstance(node, dict):
        kept = {k: _without_hover(v) for k, v in node.items()}
        if isinstance(kept.get("layer"), list):
            kept["layer"] = [part for part in kept["layer"] if not _is_hover(part)]
        return kept
    return [_without_hover(part) for part in node] if isinstance(node, list) else node


def _is_hover(layer: Any) -> bool:
    mark = layer.get("mark") if isinstance(layer, dict) else None
    return isinstance(mark, dict) and mark.get("style") == HOVER


def svg(spec: dict[str, Any], title: str, caption: str, provenance: dict[str, Any]) -> str:
    """Draw a specification as SVG.

    Args:
        spec: from :func:`specification`.
        title, caption: become the file's ``<title>`` and ``<desc>``, which screen readers speak.
        provenance: JSON-able; becomes its ``<metadata>``.

    Returns:
        The file's text; the same arguments give the same text, in whatever order figures are drawn.
    """
    import vl_convert

    datasets = spec.get("datasets", {})
    slim = {**_without_hover({k: v for k, v in spec.items() if k != "datasets"}), "datasets": datasets}
    drawn = _renumbered(vl_convert.vegalite_to_svg(slim), r"\b(?:clip|gradient_)[0-9]+\b")
    head, close, body = drawn.partition(">")
    record = json.dumps(provenance, sort_keys=True, ensure_ascii=False)
    parts = (("title", title), ("desc", caption), ("metadata", record))
    inside = "".join(f"<{tag}>{escape(_CONTROL.sub('', text))}</{tag}>" for tag, text in parts)
    return f"{head}{close}{inside}{body}\n"
