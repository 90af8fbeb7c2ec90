"""The plan: the sample that the claims take, and the power of the rows at hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from trajectories.experiments.memorization.hypotheses import claims
from trajectories.experiments.memorization.plan import plan
from trajectories.experiments.memorization.settings import Settings
from trajectories.plans import Plan, PlanContext
from trajectories.statistics.claims import Result, row, table
from trajectories.suites import load_suite


def context(name: str, result: Callable[[str], pd.DataFrame | None] = lambda name: None, **settings: dict[str, int]) -> PlanContext:
    suite = load_suite(name)
    settings["stimuli"] = {"rows": 6000, **settings.get("stimuli", {})}
    return PlanContext(suite, suite.models, {m.name: m.all_steps for m in suite.models}, Settings(**settings), result)


def number(cell: str) -> float:
    return float(cell.replace(",", "").removeprefix("at least "))


def test_without_results_assumed_rates_are_gone_through() -> None:
    found = plan(context("nano"))
    binary = found.table[found.table["claim"] == "late-rows-memorized"]
    assert binary["memorized"].tolist() == ["0.32%", "1.00%", "12.00%"]
    by_hand = [12 * (1.645 + 0.842) ** 2 / (math.log(1.25) ** 2 * p * (1 - p) * 0.9**3) for p in (0.0032, 0.01, 0.12)]
    assert np.allclose([number(v) for v in binary["rows to refute"]], by_hand, rtol=0.01)
    assert (binary["rows chosen"] == "6,000").all()
    assert any("no results" in note for note in found.notes)


def test_a_table_of_known_rows_makes_rare_events_affordable() -> None:
    rare = {name: plan(context(name)).table.iloc[0] for name in ("nano", "pythia")}
    assert number(rare["pythia"]["rows to refute"]) < 0.02 * number(rare["nano"]["rows to refute"])
    assert rare["pythia"]["rows chosen"] == "12,000"
    assert float(rare["pythia"]["power to refute"]) > 0.8 > float(rare["nano"]["power to refute"])
    assert plan(context("pythia", stimuli={"cases": 0})).table.iloc[0]["rows to refute"] == rare["nano"]["rows to refute"]


def measured(events: int, stderr: float) -> pd.DataFrame:
    """Claims of an analysis of 3,000 of 6,000 sampled rows."""
    declared = claims(Settings().analyse)
    rows = []
    for model in ("nano-s", "nano-m"):
        facts = {"n": 3000, "n_clusters": 900}
        problem = None if events else "none of 3000 units are events"
        rows.append(row(declared["late-rows-memorized"], Result(0.1, stderr, n_events=events, problem=problem, **facts), model, 1200))
        rows.append(row(declared["late-rows-likelier"], Result(0.1, 0.1, **facts), model, 1200))
    return table(rows)


def test_results_give_rates_design_effects_and_the_rows_that_enter() -> None:
    independent = 1 / math.sqrt(3000 * 0.05 * 0.95 * 0.81 / 12)
    found = plan(context("nano", {"claims": measured(150, independent * math.sqrt(2))}.get)).table
    line = found[(found["claim"] == "late-rows-memorized") & (found["model"] == "nano-m")].iloc[0]
    assert line["memorized"] == "5.00%"
    assert float(line["design effect"]) == pytest.approx(2.0, abs=0.02)
    assert number(line["clustered, to refute"]) == pytest.approx(2 * number(line["rows to refute"]), rel=0.02)
    # half of the sampled rows enter
    assert number(line["rows to refute"]) == pytest.approx(2 * 12 * 2.487**2 / (math.log(1.25) ** 2 * 0.0475 * 0.81), rel=0.01)
    assert set(found["model"]) == {"nano-s", "nano-m"}


def test_without_a_single_event_the_plan_says_how_many_rows_it_takes_at_least() -> None:
    found = plan(context("nano", {"claims": measured(0, math.nan)}.get)).table
    line = found[found["claim"] == "late-rows-memorized"].iloc[0]
    assert line["memorized"].startswith("at most 0.1")
    assert line["rows to refute"].startswith("at least")
    assert line["power to refute"].startswith("at most")
    assert line["design effect"] == "unknown"


def test_a_plan_is_printed_with_words_on_the_left_and_numbers_on_the_right() -> None:
    text = Plan(pd.DataFrame({"claim": ["a", "bcd"], "rows": ["5", "1,000"]}), ["A sentence."]).text()
    assert text.splitlines() == ["claim   rows", "-----  -----", "a          5", "bcd    1,000", "", "A sentence."]
    assert Plan(pd.DataFrame(), ["Nothing."]).text() == "Nothing."
