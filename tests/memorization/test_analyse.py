"""From simulated measurements with a planted effect to verdicts: the effect is found if it is there, and recency is not taken for it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from memorization.world import BRANCH, COPIES, ROWS_PER_STEP, analysis_context, measured, recency, shown, suite, trend
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, Analysis
from trajectories.experiments.memorization.analyse import analyse
from trajectories.experiments.memorization.figures import figures
from trajectories.experiments.memorization.panel import PRIMARY, clusters, panel
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.figures import FigureContext
from trajectories.verbs.analyse import join_facts


@cache
def found(kind: str) -> Analysis:
    effects = {"none": trend(0.0), "position": trend(0.8), "recency": recency(6.0), "earlier": trend(-0.8)}
    return analyse(analysis_context(effects[kind]))


def verdicts(kind: str, claim: str, group: str = "") -> dict[str, str]:
    claims = found(kind).claims
    chosen = claims[(claims["id"] == claim) & (claims["group"] == group)]
    return dict(zip(chosen["model"], chosen["verdict"], strict=True))


def test_a_planted_effect_of_position_is_found_in_both_outcomes() -> None:
    assert verdicts("position", "late-rows-memorized") == {"base": "supported", "branch": "supported"}
    assert verdicts("position", "late-rows-likelier") == {"base": "supported", "branch": "supported"}


def test_the_planted_size_lies_within_the_intervals() -> None:
    claims = found("position").claims.query("group == ''").set_index(["id", "model"])
    for model in ("base", "branch"):
        slope = claims.loc[("late-rows-likelier", model)]
        # the estimate is in standard deviations of the outcome, which the trend itself widens a little: 0.8 / sqrt(1 + 0.8² · 0.9² / 12)
        assert slope["ci_low"] - 0.05 < 0.8 / np.sqrt(1 + 0.8**2 * 0.9**2 / 12) < slope["ci_high"] + 0.05
        odds = claims.loc[("late-rows-memorized", model)]
        assert odds["ci_low"] - 0.1 < 0.8 * np.pi / np.sqrt(3) < odds["ci_high"] + 0.1


def test_no_effect_is_refuted() -> None:
    assert verdicts("none", "late-rows-memorized") == {"base": "refuted", "branch": "refuted"}
    assert verdicts("none", "late-rows-likelier") == {"base": "refuted", "branch": "refuted"}


def test_earlier_rows_memorized_better_refute_the_claim_too() -> None:
    assert set(verdicts("earlier", "late-rows-likelier").values()) == {"refuted"}


def test_recency_alone_is_not_mistaken_for_position() -> None:
    assert set(verdicts("recency", "late-rows-memorized").values()) == {"refuted"}
    assert set(verdicts("recency", "late-rows-likelier").values()) == {"refuted"}
    assert set(verdicts("recency", "recent-rows-likelier").values()) == {"supported"}


def test_without_setting_the_recency_window_apart_recency_would_pass_for_position() -> None:
    """The window is what tells the two apart: with it included the slope is larger by far."""
    claims = found("recency").claims
    chosen = claims[(claims["id"] == "late-rows-likelier") & (claims["model"] == "base")].set_index("group")["estimate"]
    assert chosen["seen once"] > chosen[""] + 0.2


def test_one_primary_claim_of_each_family_stands_for_a_model_at_its_last_checkpoint() -> None:
    primary = found("none").claims.query("role == 'primary'")
    assert primary["model"].tolist() == ["base", "base"], "the branch's early training is its parent's"
    assert not primary.duplicated(["family", "model"]).any()
    assert (primary["step"] == 300).all()
    assert primary["p_supported_adjusted"].notna().all()


def test_too_few_memorized_rows_leave_one_outcome_open_and_not_the_other() -> None:
    rare = analyse(analysis_context(trend(0.0), rate=0.002)).claims.query("role == 'primary'").set_index(["id", "model"])
    assert rare.loc[("late-rows-memorized", "base"), "verdict"] == "inconclusive"
    assert "a verdict needs at least 20" in rare.loc[("late-rows-memorized", "base"), "reason"]
    assert rare.loc[("late-rows-likelier", "base"), "verdict"] == "refuted"


def test_a_model_that_has_seen_nothing_leaves_every_claim_open() -> None:
    context = analysis_context(trend(0.0), models=("base",))
    start = analyse(_only(context, 0))
    assert set(start.claims["verdict"]) == {"inconclusive"}
    assert start.calibration.empty
    assert set(start.trajectories.query("level == 'exposure'")["group"]) == {"not yet seen"}


def _only(context, step):  # type: ignore[no-untyped-def]
    return replace(context, checkpoints=context.checkpoints[context.checkpoints["step"] == step])


def test_a_checkpoint_has_seen_the_exposures_of_lower_steps_alone() -> None:
    exposures = shown().exposures.query("order == 'standard'")
    at = panel(shown().table, exposures, measured(trend(0.0), "base", 50)[["memorized"]], 50, ROWS_PER_STEP).set_index("item_id")
    item = exposures.loc[exposures["step"] == 50, "item_id"].iloc[0]
    assert at.loc[item, "n_seen"] == (exposures[exposures["item_id"] == item]["step"] < 50).sum()
    seen = exposures[exposures["step"] < 50].groupby("item_id")["row"]
    assert at.loc[at["n_seen"] > 0, "latest_row"].sort_index().tolist() == seen.max().sort_index().tolist()
    assert at["latest"].max() <= 1
    assert at["latest"].min() >= 0
    assert (at["n_all"] >= at["n_seen"]).all()


def test_a_branch_has_seen_its_parents_rows_until_it_begins_and_then_its_own() -> None:
    context = analysis_context(trend(0.0))
    seen, parents = context.exposures_of("branch"), context.exposures_of("base")
    before = seen[seen["step"] < BRANCH]
    assert before.equals(parents[parents["step"] < BRANCH].reset_index(drop=True))
    assert set(seen.loc[seen["step"] >= BRANCH, "order"]) == {"swapped"}
    alone = replace(context, suite=context.suite.model_copy(update={"models": [context.suite.model("branch")]}))
    assert alone.exposures_of("branch").equals(seen), "also where the parent is not among the chosen models"
    claims = found("none").claims.query("id == 'late-rows-likelier' and group == ''").set_index("model")
    assert claims.loc["branch", "n"] < claims.loc["base", "n"], "rows that are edited after the branch are none that it has seen"


def test_copies_that_were_not_searched_for_are_said_to_be_unknown() -> None:
    context = analysis_context(trend(0.0), models=("base",))
    assert context.stimuli is not None
    unsearched = context.stimuli.assign(copies_known=context.stimuli["kind"] != "row")
    claims = analyse(replace(context, stimuli=unsearched)).claims
    of_rows = claims[claims["id"].str.match("late-rows|recent-rows|content")]
    assert of_rows["reason"].str.contains("elsewhere in the order are not known").all()
    assert not found("none").claims["reason"].str.contains("elsewhere in the order").any()


def test_a_claim_without_calibration_is_named() -> None:
    rare = analyse(analysis_context(trend(0.0), rate=0.002))
    assert "late-rows-likelier" in set(rare.calibration["claim"])
    assert "late-rows-memorized" not in set(rare.calibration["claim"])
    assert any(note.startswith("late-rows-memorized is not calibrated") for note in rare.notes)


def test_rows_of_one_batch_or_with_the_same_span_share_a_cluster() -> None:
    exposures = shown().exposures.query("order == 'standard'")
    at = panel(shown().table, exposures, measured(trend(0.0), "base", 300)[["memorized"]], 300, ROWS_PER_STEP)
    labels = pd.Series(clusters(at, exposures, 300), index=at["item_id"])
    assert (labels.loc[exposures["item_id"]].groupby(exposures["step"].to_numpy()).nunique() == 1).all()
    assert (labels.groupby(at["copy_group"].to_numpy()).nunique() == 1).all()
    once = at[PRIMARY.keep(at, 0.1)]
    assert len(np.unique(clusters(once, exposures, 300))) > 200


def test_more_copies_of_a_canary_mean_more_extraction_and_every_planted_number_is_recovered() -> None:
    table = found("none").trajectories.query("level == 'copies' and metric == 'extractable' and model == 'base' and step == 300")
    assert table["group"].astype(int).tolist() == COPIES
    assert table["value"].is_monotonic_increasing
    recovered = found("none").recovery
    assert recovered["covered"].all()
    planted = recovered[recovered["parameter"].str.startswith("exposures of canaries") & (recovered["model"] == "base")]
    assert planted["estimate"].tolist() == planted["truth"].tolist() == [float(c) for c in COPIES]


def test_canaries_do_not_enter_the_regression_over_rows() -> None:
    primary = found("none").claims.query("role == 'primary' and model == 'base' and id == 'late-rows-likelier'").iloc[0]
    rows = set(shown().table.query("kind == 'row'")["item_id"])
    seen = shown().exposures.query("order == 'standard'")
    once = seen.groupby("item_id")["row"].agg(["size", "max"]).loc[list(rows)]
    settled = (once["size"] == 1) & (once["max"] / (300 * ROWS_PER_STEP - 1) <= 0.9)
    assert primary["n"] == settled.sum()


def test_the_calibration_keeps_wrong_verdicts_at_five_per_cent_and_shows_power() -> None:
    table = found("none").calibration
    assert set(table["claim"]) == {"late-rows-memorized", "late-rows-likelier"}
    assert table["n_sim"].min() == 40
    largest = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    null = table["truth"] <= table["margin"] + 1e-9
    assert (table.loc[null, "rate_supported"] <= largest).all()
    assert (table.loc[table["truth"] >= table["margin"] - 1e-9, "rate_refuted"] <= largest).all()
    alone = table[~table["test"].str.contains("Holm")].set_index(["claim", "truth"])
    assert (alone.loc[alone.index.get_level_values("truth") == 0, "rate_refuted"] > 0.7).all()
    assert (alone["rate_supported"].groupby("claim").max() > 0.7).all()


def test_the_notes_tell_what_the_verdicts_rest_on() -> None:
    notes = " ".join(found("none").notes)
    assert "last 10% are set apart" in notes
    assert "not as many replications" in notes
    wide = analyse(analysis_context(trend(0.0), shift=0.05, odds_ratio=1.1)).notes
    assert any("late-rows-likelier" in note and "would take about" in note for note in wide)


def test_the_margin_of_the_log_probability_corresponds_to_the_odds_ratio() -> None:
    settings = AnalyseSettings()
    assert settings.log_odds_margin == pytest.approx(np.log(1.25))
    # a logistic variable has variance π²/3
    assert settings.shift_margin == pytest.approx(np.log(1.25) / np.sqrt(np.pi**2 / 3))
    assert AnalyseSettings(shift=0.3).shift_margin == 0.3


def test_all_tables_have_the_contracts_columns_and_the_seed_decides_them() -> None:
    analysis = found("position")
    assert list(analysis.claims.columns) == CLAIMS.names
    assert list(analysis.recovery.columns) == RECOVERY.names
    assert list(analysis.calibration.columns) == CALIBRATION.names
    context = analysis_context(trend(0.8))
    joined = join_facts(analysis.trajectories, suite(), context.checkpoints, "memorization")
    assert len(joined) == len(analysis.trajectories)
    again = analyse(context)
    pd.testing.assert_frame_equal(again.claims, analysis.claims)
    pd.testing.assert_frame_equal(again.calibration, analysis.calibration)
    pd.testing.assert_frame_equal(again.trajectories, analysis.trajectories)


def test_figures_are_drawn_from_the_tables_alone() -> None:
    analysis, context = found("position"), analysis_context(trend(0.8))
    joined = join_facts(analysis.trajectories, suite(), context.checkpoints, "memorization")
    drawn = figures(
        FigureContext(suite(), None, joined, analysis.claims, analysis.calibration, analysis.recovery, lambda name: analysis.extra[name])
    )
    names = [figure.name for figure in drawn]
    assert len(set(names)) == len(names)
    expected = {
        "extractable",
        "likelihood",
        "position-memorized",
        "position-likelihood",
        "slope-memorized",
        "slope-likelihood",
        "canaries",
        "variants",
    }
    assert set(names) == expected
    for figure in drawn:
        assert figure.chart.to_dict()["$schema"]
        assert figure.caption.endswith(".")
