"""The order regression on simulated measurements: the effect is found if it is there, and neither recency nor content is taken for it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from memorization.world import BRANCH, ROWS_PER_STEP, analysis_context, findings, measured, recency, shown, trend
from scipy.stats import norm
from trajectories.experiments.memorization.hypotheses import claims as declared
from trajectories.experiments.memorization.hypotheses import undecidable
from trajectories.experiments.memorization.panel import PRIMARY, SUBSETS, clusters, panel
from trajectories.experiments.memorization.parts import content, order
from trajectories.experiments.memorization.regressions import LOGPROB, MEMORIZED, REGRESSED, Regression, regress
from trajectories.experiments.memorization.run import Run, runs
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.experiments.memorization.simulations import clusters_of, simulation, slope_in_sd
from trajectories.findings import Findings
from trajectories.statistics.claims import Result, p_values, table

EFFECTS = {
    "none": trend(0.0),
    "position": trend(0.8),
    "recency": recency(6.0),
    "earlier": trend(-0.8),
    "bent": lambda x: 1.5 * (1 - 4 * (x - 0.5) ** 2),
}


@cache
def found(kind: str) -> Findings:
    return findings(analysis_context(EFFECTS[kind]), order, content)


@cache
def drifting(size: float) -> Findings:
    """Position does nothing; rows that come later are easier from the beginning."""
    return findings(analysis_context(trend(0.0), models=("base",), drift=size), order, content)


def claims(of: Findings) -> pd.DataFrame:
    return table(of.claims).set_index(["id", "model", "group"])


def verdicts(kind: str, claim: str, group: str = "") -> dict[str, str]:
    chosen = table(found(kind).claims)
    chosen = chosen[(chosen["id"] == claim) & (chosen["group"] == group)]
    return dict(zip(chosen["model"], chosen["verdict"], strict=True))


@cache
def base_run() -> Run:
    return next(runs(analysis_context(trend(0.0), models=("base",))))


@pytest.mark.parametrize("claim", ["late-rows-memorized", "late-rows-likelier", "late-rows-reproduced"])
def test_a_planted_effect_of_position_is_found_in_every_outcome(claim: str) -> None:
    assert verdicts("position", claim) == {"base": "supported", "branch": "supported"}


def test_the_planted_size_lies_within_the_intervals() -> None:
    decided = claims(found("position"))
    for model in ("base", "branch"):
        slope = decided.loc[("late-rows-likelier", model, "")]
        # the estimate is in standard deviations of the outcome, which the trend itself widens a little: 0.8 / sqrt(1 + 0.8² · 0.9² / 12)
        assert slope["ci_low"] - 0.05 < 0.8 / np.sqrt(1 + 0.8**2 * 0.9**2 / 12) < slope["ci_high"] + 0.05
        odds = decided.loc[("late-rows-memorized", model, "")]
        assert odds["ci_low"] - 0.1 < 0.8 * np.pi / np.sqrt(3) < odds["ci_high"] + 0.1


@pytest.mark.parametrize("claim", ["late-rows-memorized", "late-rows-likelier", "late-rows-reproduced"])
def test_no_effect_is_refuted(claim: str) -> None:
    assert verdicts("none", claim) == {"base": "refuted", "branch": "refuted"}


def test_earlier_rows_memorized_better_refute_the_claim_too() -> None:
    assert set(verdicts("earlier", "late-rows-likelier").values()) == {"refuted"}


def test_recency_alone_is_not_mistaken_for_position() -> None:
    assert set(verdicts("recency", "late-rows-memorized").values()) == {"refuted"}
    assert set(verdicts("recency", "late-rows-likelier").values()) == {"refuted"}
    assert set(verdicts("recency", "recent-rows-likelier").values()) == {"supported"}


def test_without_setting_the_recency_window_apart_recency_would_pass_for_position() -> None:
    """The window is what tells the two apart: with it included the slope is larger by far."""
    estimate = claims(found("recency"))["estimate"]
    assert estimate["late-rows-likelier", "base", "seen once"] > estimate["late-rows-likelier", "base", ""] + 0.2


def test_an_outcome_that_was_not_measured_has_no_claim() -> None:
    context = analysis_context(trend(0.0), models=("base",))
    without = replace(context, read=lambda model, step: measured(trend(0.0), model, step).drop(columns=["score", "hits"]))
    decided = table(findings(without, order, content).claims)
    assert not decided["id"].str.contains("reproduced").any()
    assert decided["id"].str.contains("likelier").any()


def test_the_share_reproduced_describes_and_does_not_decide() -> None:
    decided = table(found("none").claims)
    assert set(decided.loc[decided["role"] == "primary", "id"]) == {"late-rows-memorized", "late-rows-likelier"}
    assert set(decided.loc[decided["id"] == "late-rows-reproduced", "scale"]) == {"SD of the share of tokens reproduced"}


# --- content ------------------------------------------------------------------------------------------------------------------------------


def test_content_that_drifts_passes_for_position_unless_it_is_held_fixed() -> None:
    decided = claims(drifting(1.0))
    assert decided.loc[("late-rows-likelier", "base", ""), "verdict"] == "supported", "the trap"
    assert decided.loc[("content-drifts", "base", ""), "verdict"] == "supported"
    assert (
        abs(decided.loc[("late-rows-likelier", "base", "content held fixed"), "estimate"])
        < 0.5 * decided.loc[("late-rows-likelier", "base", ""), "estimate"]
    )


def test_the_placebo_is_nothing_where_content_does_not_drift() -> None:
    placebo = claims(found("position")).loc[("content-drifts", "base", "")]
    assert placebo["ci_low"] < 0 < placebo["ci_high"]
    assert placebo["step"] == 1, "the last checkpoint in the first eighth of training"
    slopes = pd.DataFrame(found("position").trajectories).query("metric == 'placebo_logprob' and model == 'base'")
    assert slopes["step"].tolist() == [0, 1, 50, 150]
    assert (np.abs(slopes["value"]) < 3 * slopes["stderr"]).all()


def test_a_sample_that_could_never_rule_a_drift_out_says_so() -> None:
    few = table(findings(analysis_context(trend(0.0), models=("base",), shift=0.01), order, content).claims)
    reason = few[few["id"] == "content-drifts"]["reason"].iloc[0]
    assert "even an estimate of 0 would not rule it out" in reason
    assert "even an estimate of 0" not in claims(found("none")).loc[("content-drifts", "base", ""), "reason"]


def test_the_power_to_rule_out_is_told_where_it_is_low() -> None:
    claim = declared(AnalyseSettings(shift=0.1))["content-drifts"]
    result = Result(0.0, 0.05)
    generator = np.random.default_rng(0)
    told = np.mean([p_values(claim, Result(generator.normal(0, 0.05), 0.05))[1] < 0.05 for _ in range(4000)])
    share = 2 * norm.cdf(0.1 / 0.05 - norm.ppf(0.95)) - 1
    assert share == pytest.approx(told, abs=0.03)
    assert f"{share:.0%} of samples like this one" in undecidable(claim, result)
    assert undecidable(claim, Result(0.0, 0.02)) == ""
    assert undecidable(declared(AnalyseSettings())["late-rows-likelier"], result) == ""
    assert undecidable(claim, Result(np.nan, problem="there is none")) == ""


def test_the_unit_is_said_to_be_the_spread_over_all_rows_with_content_held_fixed_too() -> None:
    notes = " ".join(found("none").notes)
    assert "spread over rows as they are" in notes
    assert "of the standard deviation that is left" in notes


def test_holding_content_fixed_keeps_an_effect_of_position_and_sharpens_it() -> None:
    both = findings(analysis_context(trend(0.8), models=("base",), drift=0.0), order, content)
    decided = claims(both)
    fixed, plain = (decided.loc[("late-rows-likelier", "base", group)] for group in ("content held fixed", ""))
    assert fixed["verdict"] == "supported"
    assert fixed["ci_high"] - fixed["ci_low"] < 0.9 * (plain["ci_high"] - plain["ci_low"])


def test_a_branch_without_early_checkpoints_says_why_content_is_not_held_fixed() -> None:
    decided = claims(found("none"))
    assert content.NO_BASELINE in decided.loc[("content-drifts", "branch", ""), "reason"]
    assert decided.loc[("late-rows-likelier", "branch", "content held fixed"), "verdict"] == "inconclusive"


def test_the_baseline_knows_nothing_of_rows_that_it_had_seen() -> None:
    run = base_run()
    early = content.before(run, 50)
    assert early.isna().sum() == (run.panel(50)["n_seen"] > 0).sum() > 0
    assert content.baseline(run, 0.2) == 50
    assert content.baseline(run, 0.001) is None


# --- shape --------------------------------------------------------------------------------------------------------------------------------


def test_a_bent_trend_is_reported_with_what_the_verdict_then_means() -> None:
    shapes = pd.DataFrame(found("bent").extra["linearity"]).query("model == 'base' and outcome == 'logprob'")
    assert shapes["shape"].tolist() == ["bent"]
    assert abs(shapes["deviation"].iloc[0]) > 1
    assert any(f"at most {shapes['deviation_bound'].iloc[0]:.2g} margins" in note for note in found("bent").notes), "the bound"
    assert any("the trend of logprob over positions is bent" in note and "about the straight line" in note for note in found("bent").notes)


def test_a_straight_trend_leaves_no_such_note() -> None:
    shapes = pd.DataFrame(found("position").extra["linearity"]).query("model == 'base' and outcome == 'logprob'")
    assert shapes["shape"].iloc[0] != "bent"
    curve = pd.DataFrame(found("position").extra["curves"]).query("model == 'base' and outcome == 'logprob'")
    assert curve["value"].is_monotonic_increasing


# --- samples, clusters and weights --------------------------------------------------------------------------------------------------------


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
    rows = claims(found("none"))["n"]
    assert rows["late-rows-likelier", "branch", ""] < rows["late-rows-likelier", "base", ""], "edited rows are none that it has seen"


def test_rows_of_one_batch_or_with_the_same_span_share_a_cluster() -> None:
    exposures = shown().exposures.query("order == 'standard'")
    at = panel(shown().table, exposures, measured(trend(0.0), "base", 300)[["memorized"]], 300, ROWS_PER_STEP)
    labels = pd.Series(clusters(at, exposures, 300), index=at["item_id"])
    assert (labels.loc[exposures["item_id"]].groupby(exposures["step"].to_numpy()).nunique() == 1).all()
    assert (labels.groupby(at["copy_group"].to_numpy()).nunique() == 1).all()
    once = at[PRIMARY.keep(at, 0.1)]
    assert len(np.unique(clusters(once, exposures, 300))) > 200


def test_canaries_do_not_enter_the_regression_over_rows() -> None:
    rows = set(shown().table.query("kind == 'row'")["item_id"])
    seen = shown().exposures.query("order == 'standard'")
    once = seen.groupby("item_id")["row"].agg(["size", "max"]).loc[list(rows)]
    settled = (once["size"] == 1) & (once["max"] / (300 * ROWS_PER_STEP - 1) <= 0.9)
    assert claims(found("none")).loc[("late-rows-likelier", "base", ""), "n"] == settled.sum()


def test_copies_that_were_not_searched_for_are_said_to_be_unknown() -> None:
    context = analysis_context(trend(0.0), models=("base",))
    assert context.stimuli is not None
    unsearched = context.stimuli.assign(copies_known=context.stimuli["kind"] != "row")
    decided = table(findings(replace(context, stimuli=unsearched), order, content).claims)
    assert decided["reason"].str.contains("elsewhere in the order are not known").all()
    assert not table(found("none").claims)["reason"].str.contains("elsewhere in the order").any()


def test_rows_count_by_their_weight_in_every_outcome() -> None:
    run = base_run()
    at = run.panel(run.final)
    even = regress(at.assign(weight=3.0), run.exposures, run.final, PRIMARY, 0.1)
    uneven = regress(at.assign(weight=np.where(np.arange(len(at)) % 2, 1.0, 5.0)), run.exposures, run.final, PRIMARY, 0.1)
    assert even is not None
    assert uneven is not None
    for outcome in REGRESSED:
        assert "eighted" not in even[outcome].fit.method
        assert "eighted" in uneven[outcome].fit.method
        assert uneven[outcome].result().estimate != pytest.approx(even[outcome].result().estimate, rel=1e-3)


# --- calibration --------------------------------------------------------------------------------------------------------------------------


def test_whole_clusters_are_drawn_with_all_their_units() -> None:
    labels = np.array([2, 0, 1, 2, 2, 0])
    rows, drawn = clusters_of(labels)(np.random.default_rng(1))
    for cluster in np.unique(drawn):
        members = rows[drawn == cluster]
        assert sorted(members) == np.flatnonzero(labels == labels[members[0]]).tolist()
    assert len(np.unique(drawn)) == 3


def test_the_planted_slope_is_the_wanted_one_in_standard_deviations_of_the_outcome() -> None:
    generator = np.random.default_rng(2)
    flat, column = generator.normal(size=500), generator.random(500)
    for truth in (-0.5, 0.0, 0.25, 1.0):
        slope = slope_in_sd(flat, column, truth)
        assert slope / np.std(flat + slope * column, ddof=1) == pytest.approx(truth)


@cache
def _twice_at_most() -> dict[str, Regression]:
    run = base_run()
    subset = next(s for s in SUBSETS if s.name.startswith("seen once or twice"))
    fitted = regress(run.panel(run.final), run.exposures, run.final, subset, 0.1)
    assert fitted is not None
    return fitted


@pytest.mark.parametrize("outcome", [MEMORIZED, LOGPROB])
def test_simulated_samples_with_copies_keep_wrong_verdicts_at_five_per_cent(outcome: str) -> None:
    regression = _twice_at_most()[outcome]
    assert regression.copies is not None
    simulate = simulation(regression, 0.3)
    generator = np.random.default_rng(3)
    results = [simulate(generator, 0.4) for _ in range(150)]
    estimates = np.array([r.estimate for r in results])
    assert estimates.mean() == pytest.approx(0.4, abs=4 * estimates.std() / np.sqrt(150))
    wrong = (np.array([r.p(0.4) for r in results]) < 0.05).mean(axis=0)
    assert wrong.max() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_weights_that_the_outcome_decides_stay_with_the_outcome() -> None:
    run = base_run()
    at = run.panel(run.final)
    cases = at.assign(weight=np.where(at["memorized"], 1.0, 10.0))
    fitted = regress(cases, run.exposures, run.final, PRIMARY, 0.1)
    assert fitted is not None
    generator = np.random.default_rng(4)
    results = [simulation(fitted[MEMORIZED], 0.1)(generator, 0.0) for _ in range(20)]
    estimates = [r.estimate for r in results]
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(20)
    events = np.mean([r.n_events for r in results if r.n_events is not None])
    assert events == pytest.approx(fitted[MEMORIZED].y.sum(), rel=0.15), "as many cases as were sampled"


def test_the_margin_of_the_log_probability_corresponds_to_the_odds_ratio() -> None:
    settings = AnalyseSettings()
    assert settings.log_odds_margin == pytest.approx(np.log(1.25))
    # a logistic variable has variance π²/3
    assert settings.shift_margin == pytest.approx(np.log(1.25) / np.sqrt(np.pi**2 / 3))
    assert AnalyseSettings(shift=0.3).shift_margin == 0.3


def test_the_notes_tell_what_the_verdicts_rest_on() -> None:
    notes = " ".join(found("none").notes)
    assert "last 10% are set apart" in notes
    assert "not as many replications" in " ".join(findings(analysis_context(trend(0.0)), order).notes)
    wide = findings(analysis_context(trend(0.0), shift=0.05, odds_ratio=1.1, models=("base",)), order).notes
    assert any("late-rows-likelier" in note and "would take about" in note for note in wide)
