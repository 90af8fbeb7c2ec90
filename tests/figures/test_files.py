"""Figures on disk: the same bytes each time, no more than what is drawn, and nothing left from before."""

from __future__ import annotations

import json
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest
from trajectories import experiments, tables
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, TRAJECTORIES, empty
from trajectories.cli import Machine
from trajectories.figures import Figure, theme
from trajectories.figures.files import specification, svg
from trajectories.layout import Layout
from trajectories.recipes import Settings
from trajectories.suites import Suite
from trajectories.verbs import figures

SVG = "{http://www.w3.org/2000/svg}"


def chart():
    rows = [{"model": m, "step": s, "tokens": s, "value": s / 7, "unused": "x" * 50, "n": 3} for m in ("a", "b") for s in (0, 1, 2, 8)]
    return theme.trajectory(pd.DataFrame(rows), "value")


def test_a_specification_holds_only_columns_that_are_used():
    data = pd.DataFrame({"x": [1], "y": [2.0], "left": ["over"], "model": ["a"], "step": [3]})
    spec = specification(alt.Chart(data).mark_point().encode(x="x:Q", y="y:Q"))
    (rows,) = spec["datasets"].values()
    assert set(rows[0]) == {"x", "y", "model", "step"}


def test_numbers_are_rounded_and_what_is_not_finite_is_null():
    data = pd.DataFrame({"x": [1 / 3, float("nan"), float("inf")], "tokens": [299_892_736_000] * 3})
    (rows,) = specification(alt.Chart(data).mark_point().encode(x="x:Q"))["datasets"].values()
    assert [row["x"] for row in rows] == [0.33333, None, None]
    assert rows[0]["tokens"] == 299_892_736_000


def test_the_same_chart_gives_the_same_bytes_whatever_was_drawn_before():
    first = json.dumps(specification(chart()))
    still = svg(json.loads(first), "t", "c", {"code": "1"})
    theme.trajectory(pd.DataFrame({"model": ["z"], "step": [1], "value": [2.0]}), "other").to_dict()
    again = specification(chart())
    assert json.dumps(again) == first
    assert svg(again, "t", "c", {"code": "1"}) == still


def test_an_svg_carries_title_caption_and_provenance_whatever_they_say():
    record = {"code": "c0de", "inputs": {"a<b>&.parquet": "ff"}}
    root = ElementTree.fromstring(svg(specification(chart()), "A & <b>\x00", "</desc><script/>", record))
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == "A & <b>"
    assert root.findtext(f"{SVG}desc") == "</desc><script/>"
    assert json.loads(root.findtext(f"{SVG}metadata")) == record
    assert root.find(f".//{SVG}script") is None


def test_a_static_file_has_no_marks_that_only_serve_the_pointer():
    spec = specification(chart())
    assert "hover" in json.dumps(spec)
    root = ElementTree.fromstring(svg(spec, "t", "c", {}))
    symbols = [g for g in root.iter(f"{SVG}g") if "mark-symbol" in (g.get("class") or "") and "role-mark" in (g.get("class") or "")]
    assert len(symbols) == 1


@pytest.fixture
def drawing(tmp_path, monkeypatch):
    """A function that lets an experiment draw the given figures, and returns the layout."""
    model = {"name": "m", "layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 64, "learning_rate": 0.1, "rows_per_step": 1}
    model |= {
        "parameters_total": 1124,
        "parameters_non_embedding": 100,
        "tokens_per_step": 8,
        "steps": [0],
        "steps_total": 1,
        "dtype": "float32",
    }
    suite = Suite.model_validate({"name": "s", "title": "S", "description": "", "source": "published", "models": [model]})
    layout = Layout(tmp_path / "s")
    for kind, schema in {"trajectories": TRAJECTORIES, "claims": CLAIMS, "calibration": CALIBRATION, "recovery": RECOVERY}.items():
        tables.write_table(empty(schema), getattr(layout, kind)("x"), {}, schema)
    monkeypatch.setattr(experiments, "settings", lambda *_: SimpleNamespace())

    def draw(*drawn):
        module = ModuleType("x")
        module.figures = drawn[0] if callable(drawn[0]) else lambda context: list(drawn)
        monkeypatch.setattr(experiments, "part", lambda name, part: getattr(module, part))
        figures.run(Settings(suite, {}, 0, {}, "c0de"), layout, Machine(), "x")
        return layout

    return draw


def test_figures_that_are_no_longer_drawn_are_removed(drawing):
    drawing(Figure("one", "One", "First.", chart()), Figure("two", "Two", "Second.", chart(), steps_axis=True))
    layout = drawing(Figure("two", "Two", "Second.", chart(), steps_axis=True))
    assert [p.name for p in layout.figures("x").iterdir()] == ["two.svg"]
    content = tables.read_json(layout.figures_json("x"))
    assert [(f["name"], f["title"], f["caption"], f["steps_axis"]) for f in content["figures"]] == [("two", "Two", "Second.", True)]
    assert content["provenance"]["code"] == "c0de"
    assert set(content["provenance"]["inputs"]) == {f"{kind}/x.parquet" for kind in ("trajectories", "claims", "calibration", "recovery")}


def test_a_static_chart_takes_the_place_of_the_interactive_one_in_print(drawing):
    layout = drawing(Figure("one", "One", "First.", chart(), static=theme.nothing("only in print")))
    assert "only in print" in (layout.figures("x") / "one.svg").read_text(encoding="utf-8")
    assert "only in print" not in layout.figures_json("x").read_text(encoding="utf-8")


@pytest.mark.parametrize("names", [("one", "one"), ("../one",), ("a b",), ("",)])
def test_names_that_are_no_plain_or_unique_file_names_are_refused(drawing, names):
    with pytest.raises(ValueError, match="plain and unique"):
        drawing(*(Figure(name, "T", "C", chart()) for name in names))


def test_further_tables_count_as_inputs_once_read(drawing):
    def draw(context):
        context.extra("ranks")
        with pytest.raises(KeyError, match="no table called 'absent'"):
            context.extra("absent")
        return []

    def prepare(layout):
        tables.write_table(pd.DataFrame({"a": [1]}), layout.trajectories("x.ranks"), {})

    layout = drawing(Figure("one", "One", "First.", chart()))
    prepare(layout)
    drawing(draw)
    assert "trajectories/x.ranks.parquet" in tables.read_json(layout.figures_json("x"))["provenance"]["inputs"]
