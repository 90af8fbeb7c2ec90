"""Accuracy against frequency: a planted slope comes back, planted counts are met exactly, and decisions keep their size."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from knowledge.frequencies import SLOPE, STEPS, context, facts
from scipy import special
from trajectories.experiments.knowledge import frequency
from trajectories.experiments.knowledge.frequency import GIVEN, OPERANDS, PRODUCED, TENFOLD, TOGETHER
from trajectories.experiments.knowledge.parts import frequency as part
from trajectories.experiments.knowledge.sections import FrequencySettings
from trajectories.findings import Findings
from trajectories.statistics import calibration
from trajectories.statistics.claims import table

SETTINGS = FrequencySettings()


@pytest.fixture(scope="module")
def found() -> Findings:
    made = Findings()
    part.analyse(context(), made)
    return made


def test_the_planted_slope_is_found_at_the_last_checkpoint_and_the_claim_supported(found: Findings) -> None:
    claims = table(found.claims).set_index(["id", "model"])
    for model in ("small", "large"):
        row = claims.loc[(PRODUCED, model)]
        assert abs(row["estimate"] - SLOPE) < row["ci_high"] - row["ci_low"]  # 3.3 standard errors
        assert (row["verdict"], row["step"], row["role"], row["n"], row["n_clusters"]) == ("supported", STEPS[-1], "primary", 150, 30)
    assert claims.loc[(GIVEN, "small"), "role"] == "descriptive"


def test_counting_meets_the_planted_frequencies_exactly_at_every_checkpoint(found: Findings) -> None:
    rows = pd.DataFrame(found.recovery)
    assert sorted(rows["step"]) == sorted(2 * STEPS)
    assert rows["covered"].all()
    assert (rows["estimate"] == 1).all()
    assert f"{facts()['frequency'].sum():,} documents" in rows.loc[rows["step"] == STEPS[-1], "comment"].iloc[0]


def test_a_single_fact_counted_once_too_often_is_named() -> None:
    whole = context()
    assert whole.counted is not None
    wrong = whole.counted.copy()
    at = wrong.index[(wrong["step"] == STEPS[-1]) & (wrong["other"] != "")][7]
    wrong.loc[at, "count"] += 1
    made = Findings()
    part.analyse(replace(whole, counted=wrong), made)
    rows = pd.DataFrame(made.recovery).set_index(["model", "step"])
    assert not rows.loc[("small", STEPS[-1]), "covered"]
    assert "1 of 150 facts differ" in rows.loc[("small", STEPS[-1]), "comment"]
    assert rows.loc[("small", STEPS[-2]), "covered"]


def test_canaries_that_hold_both_names_by_chance_belong_to_the_truth() -> None:
    whole = context()
    assert whole.stimuli is not None
    stimuli = whole.stimuli.copy()
    stimuli.loc[stimuli["fact_id"] == "r0/s3", "canaries"] = "c0"
    told = part.planted(replace(whole, stimuli=stimuli), "small")
    before = part.planted(whole, "small")
    assert len(told) == len(before) + 1
    assert sorted(told.loc[told["fact_id"] == "r0/s3", "step"]) == sorted([*before.loc[before["fact_id"] == "r0/s3", "step"], 10])


def test_a_reversed_order_shows_the_last_rows_first() -> None:
    whole = context()
    turned = whole.suite.orders["standard"].model_copy(update={"reversed": True})
    backwards = replace(whole, suite=whole.suite.model_copy(update={"orders": {"standard": turned}}))
    assert sorted(part.planted(backwards, "small")["step"]) == sorted(999 - part.planted(whole, "small")["step"])


def test_accuracy_is_given_by_frequency_and_the_slope_at_every_checkpoint_that_has_one(found: Findings) -> None:
    bins = pd.DataFrame(found.extra["frequency_bins"])
    last = bins[(bins["model"] == "large") & (bins["step"] == STEPS[-1])].sort_values("count")
    assert last["n"].sum() == 150
    assert last["count"].iloc[0] == 0
    assert last["value"].iloc[-1] > last["value"].iloc[0] + 0.4
    slopes = pd.DataFrame(found.trajectories).query("metric == 'frequency_slope'")
    assert set(slopes["step"]) <= set(STEPS[1:]), "nothing is known at step 0, so there is no slope"
    assert set(STEPS[2:]) <= set(slopes["step"])


def test_frequent_operands_are_solved_more_often_as_planted(found: Findings) -> None:
    claims = table(found.claims)
    gaps = claims[claims["id"] == OPERANDS]
    assert sorted(gaps.loc[gaps["model"] == "small", "group"]) == ["plus, 0-shot", "plus, 4-shot"]
    assert ((gaps["ci_low"] < 0.36) & (gaps["ci_high"] > 0.36)).all()
    assert (gaps["verdict"] == "supported").all()
    accuracy = pd.DataFrame(found.trajectories).query("metric == 'accuracy' and level == 'operation'")
    assert accuracy["value"].between(0.25, 0.35).all()


def test_answers_met_with_their_operand_matter_where_that_is_planted_and_not_elsewhere(found: Findings) -> None:
    made = Findings()
    part.analyse(context(together=0.8), made)
    planted, none = (table(f.claims).set_index(["id", "model"]).loc[[(TOGETHER, "large")]] for f in (made, found))
    assert len(planted) == len(none) == 2
    assert (planted["verdict"] == "supported").all()
    assert ((planted["ci_low"] < 0.8) & (planted["ci_high"] > 0.8)).all()
    assert ((none["ci_low"] < 0) & (none["ci_high"] > 0)).all()
    assert (none["verdict"] != "supported").all()
    course = pd.DataFrame(made.trajectories).query("metric == 'pair_frequency_slope'")
    assert set(course["step"]) == set(STEPS[1:])
    assert set(course["level"]) == {"operation"}


def test_a_suite_without_counts_or_arithmetic_says_so_or_nothing() -> None:
    made = Findings()
    part.analyse(replace(context(), counted=None), made)
    assert not made.notes
    part.analyse(context(arithmetic=False), made)
    assert any("No arithmetic is asked" in note for note in made.notes)
    assert OPERANDS not in {r["claim"].id for r in made.claims}


def sample() -> dict[str, np.ndarray]:
    told = facts()
    x = frequency.tenfold(told["frequency"].to_numpy())
    right = np.random.default_rng(4).random(len(x)) < special.expit(x - 1)
    return {"right": right.astype(float), "frequency": x, "relation": told["relation"].to_numpy(), "subject": told["subject"].to_numpy()}


def test_wrong_verdicts_on_the_slope_are_rare_and_a_clear_slope_is_found() -> None:
    claim = frequency.claims(SETTINGS)[PRODUCED]
    real = sample()
    results = calibration.simulated(
        claim, lambda g, effect: frequency.simulated(g, effect, **real), n_sim=150, seed=2, truths=(0, 1, 2, 6), at_margin=4
    )
    power = calibration.power(claim, results)
    assert power["level"] != calibration.EXCEEDED
    rates = calibration.rates(claim, results, seed=2)
    assert rates.set_index("truth").loc[6 * claim.margin, "rate_supported"] > 0.9


def test_the_mixed_model_by_variational_bayes_is_wrong_more_often_where_a_subject_s_facts_are_alike() -> None:
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    real, generator = sample(), np.random.default_rng(5)
    x, relations = real["frequency"] - real["frequency"].mean(), pd.get_dummies(real["relation"], drop_first=True, dtype=float)
    design = np.column_stack([np.ones(len(x)), x, relations])
    member = pd.get_dummies(real["subject"], dtype=float).to_numpy()
    ours, theirs = [], []
    for _ in range(60):
        own = generator.standard_normal(member.shape[1])
        luck = np.sqrt(0.6) * member @ own + np.sqrt(0.4) * generator.standard_normal(len(x))
        y = (luck < -0.25).astype(float)
        result = frequency.slope(y, real["frequency"], real["relation"], real["subject"]).result(TENFOLD)
        ours.append(min(result.p(0)) < 0.05)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = BinomialBayesMixedGLM(y, design, member, np.zeros(member.shape[1], int), vcp_p=1, fe_p=3).fit_vb()
        theirs.append(abs(fit.fe_mean[1] / fit.fe_sd[1]) > 1.645)
    assert np.mean(ours) <= 0.15
    assert np.mean(theirs) >= np.mean(ours)


def test_the_slope_agrees_with_statsmodels_where_no_penalty_matters() -> None:
    import statsmodels.api as sm

    real = {name: np.tile(values, 20) for name, values in sample().items()}
    real["right"] = (np.random.default_rng(6).random(len(real["right"])) < special.expit(real["frequency"] - 1)).astype(float)
    ours = frequency.slope(**real).result(TENFOLD)
    columns = pd.get_dummies(real["relation"], drop_first=True, dtype=float)
    theirs = sm.Logit(real["right"], np.column_stack([np.ones(len(columns)), real["frequency"], columns])).fit(disp=0)
    assert ours.estimate == pytest.approx(theirs.params[1], abs=0.01)


def test_wrong_verdicts_on_the_gap_are_rare() -> None:
    claim = frequency.claims(SETTINGS)[OPERANDS]
    count = np.arange(100, 0, -1)
    accuracy = np.random.default_rng(3).beta(6, 14, 100)

    def simulate(generator: np.random.Generator, effect: float):
        return frequency.simulated_gap(generator, effect, accuracy, count, 20, 0.1)

    results = calibration.simulated(claim, simulate, n_sim=200, seed=3, truths=(0, 1, 2, 4), at_margin=4)
    assert calibration.power(claim, results)["level"] != calibration.EXCEEDED
    assert np.mean([r.estimate for r in results[2]]) == pytest.approx(2 * claim.margin, abs=0.02)


def test_tails_have_the_most_and_the_least_frequent() -> None:
    most, least = frequency.tails(np.array([5, 1, 9, 3, 7, 2, 8, 4, 6, 10]), 0.2)
    assert np.flatnonzero(most).tolist() == [2, 9]
    assert np.flatnonzero(least).tolist() == [1, 5]
