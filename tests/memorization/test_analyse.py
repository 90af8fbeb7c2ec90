"""The whole analysis, from measurements to tables and figures."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
from memorization.world import analysis_context, findings, suite, trend
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, Analysis
from trajectories.experiments.memorization.analyse import analyse
from trajectories.experiments.memorization.figures import figures
from trajectories.experiments.memorization.parts import order
from trajectories.figures import FigureContext
from trajectories.findings import calibration
from trajectories.statistics.claims import table
from trajectories.verbs.analyse import join_facts


@cache
def whole() -> Analysis:
    return analyse(analysis_context(trend(0.8), models=("base",)))


def test_all_tables_have_the_contracts_columns_and_the_seed_decides_them() -> None:
    analysis, context = whole(), analysis_context(trend(0.8), models=("base",))
    assert list(analysis.claims.columns) == CLAIMS.names
    assert list(analysis.recovery.columns) == RECOVERY.names
    assert list(analysis.calibration.columns) == CALIBRATION.names
    joined = join_facts(analysis.trajectories, suite(), context.checkpoints, "memorization")
    assert len(joined) == len(analysis.trajectories)
    again = analyse(context)
    pd.testing.assert_frame_equal(again.claims, analysis.claims)
    pd.testing.assert_frame_equal(again.calibration, analysis.calibration)
    pd.testing.assert_frame_equal(again.trajectories, analysis.trajectories)


def test_figures_are_drawn_from_the_tables_alone() -> None:
    analysis, context = whole(), analysis_context(trend(0.8), models=("base",))
    joined = join_facts(analysis.trajectories, suite(), context.checkpoints, "memorization")
    drawn = figures(
        FigureContext(suite(), None, joined, analysis.claims, analysis.calibration, analysis.recovery, analysis.extra.__getitem__)
    )
    names = [figure.name for figure in drawn]
    assert len(set(names)) == len(names)
    rows = {"extractable", "likelihood", "position-memorized", "position-likelihood"}
    of_order = {"slope-memorized", "slope-likelihood", "slope-reproduced", "trend-shape", "placebo", "variants", "power"}
    assert rows | of_order | {"exposure-age", "exposure-step", "exposure-cells"} <= set(names)
    for figure in drawn:
        assert figure.chart.to_dict()["$schema"]
        assert figure.caption.endswith(".")


def test_a_run_with_nothing_to_say_is_drawn_too() -> None:
    context = analysis_context(trend(0.0), models=("base",))
    start = analyse(replace(context, checkpoints=context.checkpoints[context.checkpoints["step"] == 0]))
    joined = join_facts(start.trajectories, suite(), context.checkpoints, "memorization")
    drawn = figures(FigureContext(suite(), None, joined, start.claims, start.calibration, start.recovery, start.extra.__getitem__))
    assert "power" not in {figure.name for figure in drawn}


def test_each_family_has_one_primary_claim_for_a_model_at_its_last_checkpoint() -> None:
    primary = whole().claims.query("role == 'primary'")
    assert {"late-rows-memorized", "late-rows-likelier"} <= set(primary["id"])
    assert not primary.duplicated(["family", "model"]).any()
    assert (primary["step"] == 300).all()
    assert primary["p_supported_adjusted"].notna().all()


def test_a_branch_carries_no_primary_claim() -> None:
    primary = table(findings(analysis_context(trend(0.0)), order).claims).query("role == 'primary'")
    assert set(primary["model"]) == {"base"}, "the branch's early training is its parent's"


def test_a_model_that_has_seen_nothing_leaves_every_claim_open() -> None:
    context = analysis_context(trend(0.0), models=("base",))
    start = analyse(replace(context, checkpoints=context.checkpoints[context.checkpoints["step"] == 0]))
    assert set(start.claims["verdict"]) == {"inconclusive"}
    assert start.calibration.empty
    assert set(start.trajectories.query("level == 'exposure'")["group"]) == {"not yet seen"}


def test_too_few_memorized_rows_leave_one_outcome_open_and_not_the_other_and_say_that_it_is_not_calibrated() -> None:
    context = analysis_context(trend(0.0), rate=0.002, models=("base",))
    rare = findings(context, order)
    decided = table(rare.claims).query("role == 'primary'").set_index("id")
    assert decided.loc["late-rows-memorized", "verdict"] == "inconclusive"
    assert "a verdict needs at least 20" in decided.loc["late-rows-memorized", "reason"]
    assert decided.loc["late-rows-likelier", "verdict"] == "refuted"
    calibrated = set(calibration(rare, context)["claim"])
    assert "late-rows-likelier" in calibrated
    assert "late-rows-memorized" not in calibrated
    assert any(note.startswith("The whole decision of late-rows-memorized is not calibrated") for note in rare.notes)


def test_the_calibration_keeps_wrong_verdicts_at_five_per_cent_and_shows_power() -> None:
    decided, power = whole().calibration, whole().extra["power"].set_index(["claim", "test"])
    assert {"late-rows-memorized", "late-rows-likelier", "late-rows-reproduced", "content-drifts", "traces-fade"} <= set(decided["claim"])
    ours = decided[
        decided["claim"].str.match("late-rows-(memorized|likelier|reproduced)|recent-rows") & ~decided["test"].str.contains("Holm")
    ]
    largest = 0.05 + 3 * np.sqrt(0.05 * 0.95 / ours["n_sim"])
    assert (ours["rate_supported"] <= largest)[ours["truth"] <= ours["margin"] + 1e-9].all()
    assert (ours["rate_refuted"] <= largest)[ours["truth"] >= ours["margin"] - 1e-9].all()
    at_margin = ours[np.isclose(ours["truth"], ours["margin"]) & (ours["claim"] == "late-rows-likelier")]
    assert (at_margin["n_sim"] >= 160).all()
    for claim in ("late-rows-memorized", "late-rows-likelier"):
        rows = power.loc[claim]
        assert (rows["power_refuted"] > 0.6).all()
        assert (rows["needed_refuted"] < 2 * rows["n"]).all()
        assert (rows["level"] != "exceeded").all()
    assert "content held fixed" in power.loc["late-rows-likelier"].index
    assert any(note.startswith("Calibration: ") for note in whole().notes)
