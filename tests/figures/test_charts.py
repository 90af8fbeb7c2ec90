"""The shared charts: one look, readable for all, and honest about what is missing."""

from __future__ import annotations

from itertools import pairwise

import altair as alt
import numpy as np
import pandas as pd
import pytest
from trajectories.analysis import CALIBRATION, RECOVERY
from trajectories.figures import charts, decisions, look, theme
from trajectories.figures.files import specification
from trajectories.statistics import claims as deciding


def table(models=None, steps=(0, 1, 10, 100)):
    sizes = models or {"large": 5000, "little": 100, "large-b": 5000}
    rows = [
        {
            "model": m,
            "parameters_non_embedding": n,
            "step": s,
            "tokens": s * 64,
            "group": g,
            "value": 0.5 + s / 300,
            "ci_low": 0.4,
            "ci_high": 0.9,
            "n": 10,
        }
        for m, n in sizes.items()
        for s in steps
        for g in ("b", "a")
    ]
    return pd.DataFrame(rows)


def nodes(spec):
    """All dictionaries of a specification."""
    if isinstance(spec, dict):
        yield spec
        for value in spec.values():
            yield from nodes(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from nodes(value)


def luminance(colour):
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_models_are_ordered_by_size_and_those_of_one_size_as_they_come():
    assert theme.model_order(table({"z": 50, "a": 10, "b": 50})) == ["a", "z", "b"]


def test_models_of_one_size_share_a_hue_and_differ_in_dash():
    colours, dashes = theme.model_scales(table())
    little, large, other = colours.range
    assert little == theme.ramp(2)[0]
    assert large == theme.ramp(2)[1]
    assert other == look._mix(large, "#ffffff", 0.25)
    assert len({tuple(d) for d in dashes.range[1:]}) == 2


@pytest.mark.parametrize("n", [1, 2, 3, 8, 16])
def test_colours_of_sizes_differ_in_lightness_so_that_grey_print_tells_them_apart(n):
    found = [luminance(c) for c in theme.ramp(n)]
    assert all(b - a > 40 / n for a, b in pairwise(found))


def test_step_zero_has_a_place_on_the_axis_and_a_run_without_it_is_logarithmic():
    assert charts.step_axis(pd.Series([0, 1, 1000])).to_dict()["scale"]["type"] == "symlog"
    later = charts.step_axis(pd.Series([1500, 71500])).to_dict()
    assert later["scale"] == {"type": "log", "domain": [1500, 71500], "nice": False, "padding": 6}
    assert later["axis"]["values"] == [2000, 5000, 10000, 20000, 50000]


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0, 143000, [0, 1, 10, 100, 1000, 10000, 100000]), (0, 600, [0, 1, 2, 5, 10, 20, 50, 100, 200, 500])]
)
def test_ticks_are_round_and_lie_in_range(low, high, ticks):
    assert charts.log_ticks(low, high) == ticks


@pytest.mark.parametrize(("n", "most", "columns"), [(2, 3, 2), (4, 3, 2), (6, 3, 3), (7, 3, 3), (13, 3, 3), (12, 4, 4), (1, 3, 1)])
def test_panels_leave_few_gaps(n, most, columns):
    assert charts.panels_per_row(n, most) == columns


def test_panels_keep_the_order_of_the_table():
    spec = theme.trajectory(table(), "accuracy", facet="group").to_dict()
    assert spec["facet"]["sort"] == ["b", "a"]


def test_tooltips_tell_model_step_tokens_and_interval():
    spec = theme.trajectory(table(), "accuracy", facet="group").to_dict()
    hover = next(n for n in nodes(spec) if isinstance(n.get("mark"), dict) and n["mark"].get("style") == look.HOVER)
    assert {t["field"] for t in hover["encoding"]["tooltip"]} == {"model", "group", "step", "tokens", "value", "ci_low", "ci_high", "n"}


def test_a_table_without_intervals_has_no_band():
    bare = table().assign(ci_low=np.nan, ci_high=np.nan)
    marks = [n["mark"]["type"] for n in nodes(theme.trajectory(bare, "accuracy").to_dict()) if isinstance(n.get("mark"), dict)]
    assert "area" not in marks
    assert "line" in marks


def test_the_menu_offers_every_group_and_filters_by_it():
    spec = theme.trajectory(table(), "accuracy", choose="group").to_dict()
    menu = next(p for p in spec["params"] if p["name"] == "choice")
    assert menu["bind"]["options"] == ["b", "a"]
    assert spec["transform"] == [{"filter": "datum['group'] == choice"}]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: theme.trajectory(table().iloc[:0], "accuracy"),
        lambda: theme.scaling(table().iloc[:0], "accuracy"),
        lambda: theme.heatmap(table().iloc[:0], "step", "group"),
        lambda: theme.forest(deciding.table([])),
        lambda: theme.calibration(CALIBRATION.empty_table().to_pandas()),
        lambda: theme.recovery(RECOVERY.empty_table().to_pandas()),
    ],
)
def test_nothing_to_draw_is_said_in_words(draw):
    spec = draw().to_dict()
    assert spec["mark"]["type"] == "text"


def claim(**changes):
    facts = {
        "id": "c",
        "experiment": "e",
        "family": "f",
        "statement": "S.",
        "prediction": "P.",
        "rival": "R.",
        "metric": "m",
        "margin": np.log(2),
    }
    return deciding.Claim(**(facts | {"scale": "log odds ratio"} | changes))


def forest_rows(rows, **options):
    spec = specification(decisions.forest(deciding.table(rows), **options))
    return spec, [row for rows in spec["datasets"].values() for row in rows if "verdict" in row]


def test_a_forest_shows_odds_ratios_with_their_margin():
    spec, rows = forest_rows([deciding.row(claim(), deciding.Result(np.log(3), 0.1, n=50), "m1", 10)])
    assert rows[0]["estimate"] == pytest.approx(3, rel=1e-4)
    assert (rows[0]["margin_from"], rows[0]["margin_to"]) == (0.5, 2.0)
    assert {n["type"] for n in nodes(spec) if n.get("type") == "log"} == {"log"}


def test_a_forest_keeps_estimates_without_a_finite_interval():
    result = deciding.Result(0.4, ci_low=-np.inf, ci_high=np.inf, n=50)
    _, rows = forest_rows([deciding.row(claim(scale="difference"), result, "m1", 10)])
    assert rows[0]["estimate"] == 0.4
    assert rows[0]["from"] is None
    assert rows[0]["verdict"] == "inconclusive"


def test_a_forest_leaves_descriptive_rows_out_and_keeps_the_order_of_models():
    result = deciding.Result(0.4, 0.1, n=50)
    rows = [deciding.row(claim(), result, m, 10) for m in ("z", "a")] + [deciding.row(claim(), result, "z", 5, role="descriptive")]
    _, drawn = forest_rows(rows, models=["z", "a"])
    assert [row["label"] for row in drawn] == ["z", "a"]
    _, every = forest_rows(rows, primary_only=False)
    assert len(every) == 3
    assert len({row["label"] for row in every}) == 3


def test_a_forest_shows_the_zones_other_half_only_where_an_effect_points_that_way():
    def reach(estimate):
        spec, _ = forest_rows([deciding.row(claim(scale="share", margin=0.8), deciding.Result(estimate, 0.02, n=50), "m1", 10)])
        return next(n["domain"] for n in nodes(spec) if n.get("nice") is False)

    assert reach(0.9)[0] > -0.1
    assert reach(-0.1)[0] < -0.8


def test_recovery_tells_covered_from_missed_and_from_unknown():
    facts = {
        "parameter": ["a", "b", "c"],
        "model": "m",
        "step": 1,
        "truth": [1.0, 2, 3],
        "estimate": [1.1, 3, 3],
        "method": "",
        "comment": "",
        "n": 5,
    }
    data = pd.DataFrame(facts | {"ci_low": [0.9, 2.5, np.nan], "ci_high": [1.2, 3.5, np.inf], "covered": [True, False, None]})
    spec = specification(theme.recovery(data))
    rows = [row for rows in spec["datasets"].values() for row in rows if "parameter" in row]
    assert [row["result"] for row in rows] == ["covered", "not covered", "no interval"]
    assert rows[2]["ci_low"] is None


def test_calibration_shows_each_verdicts_rate():
    facts = {"claim": "c", "test": "t", "scale": "s", "truth": [0.0, 1.0], "margin": 0.5, "n": 10, "n_clusters": 2, "n_sim": 100, "seed": 1}
    data = pd.DataFrame(facts | {"rate_supported": [0.0, 0.9], "rate_refuted": [0.7, 0.0], "rate_inconclusive": [0.3, 0.1]})
    rows = [row for rows in specification(theme.calibration(data))["datasets"].values() for row in rows]
    assert {(row["truth"], row["verdict"]): row["rate"] for row in rows}[(1.0, "supported")] == 0.9
    assert len(rows) == 6


def test_a_heat_map_orders_steps_by_number():
    spec = theme.heatmap(table(steps=(100, 2, 30)).query("group == 'a'"), "step", "model", label=True, domain=[0, 1]).to_dict()
    assert spec["layer"][0]["encoding"]["x"]["sort"] == [2, 30, 100]
    assert isinstance(theme.scaling(table(), "accuracy", colour="group"), alt.LayerChart)
