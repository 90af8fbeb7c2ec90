"""From content to one HTML file that opens offline: nothing in it is loaded from anywhere, and nothing in a table is ever run as code."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

import jinja2

from trajectories.figures import look
from trajectories.report import words

HASHED = 16


def packed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A list of rows by column, which is several times smaller: constants once, repeated words as codes into their list.

    Returns:
        ``n`` and ``columns``; a column is ``{"constant": v}``, ``{"levels": […], "codes": […]}`` or ``{"values": […]}``.
    """
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        if all(type(v) is type(values[0]) and v == values[0] for v in values):
            columns[name] = {"constant": values[0]}
        elif all(v is None or isinstance(v, str) for v in values):
            levels = list(dict.fromkeys(values))
            place = {level: i for i, level in enumerate(levels)}
            columns[name] = {"levels": levels, "codes": [place[v] for v in values]}
        else:
            columns[name] = {"values": values}
    return {"n": len(rows), "columns": columns}


def data(figures: dict[str, dict[str, Any]], models: list[str]) -> dict[str, Any]:
    """What the page's script reads.

    Args:
        figures: by id, each with ``spec`` and ``steps_axis``.
        models: names of the models that a reader can choose.
    """
    datasets: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    for key, figure in figures.items():
        spec = {k: v for k, v in figure["spec"].items() if k not in ("datasets", "config", "$schema")}
        names = {}
        for name, rows in figure["spec"].get("datasets", {}).items():
            table = packed(rows)
            names[name] = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:HASHED]
            datasets[names[name]] = table
        entries[key] = {"spec": spec, "datasets": names, "steps_axis": figure["steps_axis"]}
    config = {"light": look.config(), "dark": look.config(dark=True)}
    return {"models": models, "config": config, "figures": entries, "datasets": datasets}


def render(content: dict[str, Any], figures: dict[str, dict[str, Any]]) -> str:
    """The page.

    Args:
        content: from :func:`trajectories.report.content.gather`.
        figures: by id, each with ``spec`` and ``steps_axis``.
    """
    import vl_convert

    here = resources.files(__package__)
    read = {name: here.joinpath(name).read_text(encoding="utf-8") for name in ("report.html", "style.css", "report.js")}
    scripts = {"vega": vl_convert.javascript_bundle(), "script": read["report.js"]}  # type: ignore[call-arg]
    for name, text in scripts.items():
        if "</script" in text.lower() or "<!--" in text:
            raise ValueError(f"the script '{name}' cannot stand inside an HTML page")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        count=words.count,
        listed=words.listed,
        number=words.number,
        p_value=words.p_value,
        plural=words.plural,
        share=lambda value: f"{100 * value:.1f} %" if words.finite(value) else "–",
        size=words.size,
    )
    return environment.from_string(read["report.html"]).render(
        **content,
        style=read["style.css"],
        hashes=" ".join(_hash(text) for text in scripts.values()),
        data=words.for_script(data(figures, [m["facts"].name for m in content["models"]])),
        **scripts,
    )


def _hash(script: str) -> str:
    """The hash by which a Content-Security-Policy lets one script run and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
