"""Steps of acquisition, agreement, claims and recovery on models whose learning is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from grammar.small import measured, paradigms, suite
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, Analysis, AnalysisContext
from trajectories.experiments.grammar import effects, hypotheses, simulations
from trajectories.experiments.grammar.analyse import analyse
from trajectories.experiments.grammar.settings import AnalyseSettings, unavailable
from trajectories.statistics.claims import Claim, p_values, verdict
from trajectories.suites import load_suite

Make = Callable[..., AnalysisContext]


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    """Phenomena of 40 paradigms."""
    return np.repeat(np.arange(10), [2, 7, 4, 5, 3, 2, 6, 2, 5, 4])


@pytest.fixture(scope="module")
def found(analysis_context: Make) -> Analysis:
    return analyse(analysis_context(160))


def decided(found: Analysis, claim: str, model: str) -> pd.Series:
    rows = found.claims[(found.claims["id"] == claim) & (found.claims["model"] == model)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_all_tables_keep_their_columns_and_branches_are_left_out_and_named(found: Analysis) -> None:
    assert found.claims.columns.tolist() == CLAIMS.names
    assert found.calibration.columns.tolist() == CALIBRATION.names
    assert found.recovery.columns.tolist() == RECOVERY.names
    assert set(found.claims["model"]) == {"a", "b", "c"}
    assert set(found.trajectories["model"]) == {"a", "b", "c", "a-branch"}
    assert any(note.startswith("a-branch: trained on from another") for note in found.notes)


def test_steps_of_acquisition_surround_the_true_ones(found: Analysis) -> None:
    table = found.extra["acquisition"]
    a = table[(table["model"] == "a") & (table["setting"] == "planted") & (table["criterion"] == "midway")].set_index("paradigm")
    true = dict(zip(paradigms()["paradigm"], 10 + 10 * np.arange(12), strict=True))
    learned = [p for p in true if a.loc[p, "censored"] == "none"]
    assert len(learned) >= 9
    inside = [a.loc[p, "ci_low_step"] <= true[p] <= a.loc[p, "ci_high_step"] for p in learned]
    assert np.mean(inside) >= 0.9
    assert a.iloc[-1]["censored"] == "right"
    assert a.iloc[-1]["upper_tokens"] == np.inf
    assert a.iloc[3]["upper_tokens"] == 100 * a.iloc[3]["upper_step"]


def test_models_that_share_an_order_are_found_to(found: Analysis) -> None:
    assert decided(found, hypotheses.SHARED, "a")["verdict"] == "supported"
    overall = found.extra["concordance"].set_index(["setting", "criterion"]).loc[("planted", "midway")]
    assert overall["w"] > 0.9
    assert overall["ci_low"] <= overall["w"] <= overall["ci_high"]
    assert overall["p"] < 0.01
    pairs = found.extra["agreement"]
    assert len(pairs) == 2 * 2 * 9


def test_larger_models_that_are_sooner_are_found_to_be_on_balance_sooner(found: Analysis) -> None:
    row = decided(found, hypotheses.SOONER, "b")
    assert row["estimate"] > 0.2
    assert "Held against a." in row["reason"]
    assert not ((found.claims["id"] == hypotheses.SOONER) & (found.claims["model"] == "a")).any()


def test_grammar_learned_over_half_of_training_is_not_learnt_early(found: Analysis) -> None:
    row = decided(found, hypotheses.EARLY, "a")
    assert row["verdict"] == "refuted"
    assert "Early is step 10 of 160" in row["reason"]


def test_without_an_early_checkpoint_there_is_no_verdict_on_early_learning(analysis_context: Make) -> None:
    context = analysis_context()
    late = context.checkpoints[~context.checkpoints["step"].between(1, 19)]
    row = decided(analyse(replace(context, checkpoints=late)), hypotheses.EARLY, "a")
    assert row["verdict"] == "inconclusive"
    assert "no sound checkpoint after step 0 up to step 16" in row["reason"]


def test_frequent_paradigms_that_come_sooner_are_found_to(found: Analysis) -> None:
    row = decided(found, hypotheses.FREQUENT, "a")
    assert row["estimate"] > 0.9
    assert row["verdict"] == "supported"


def test_models_without_a_common_order_are_not_found_to_have_one(analysis_context: Make) -> None:
    context = analysis_context(160)

    def read(model: str, step: int) -> pd.DataFrame:
        shown = context.stimuli
        assert shown is not None
        order = np.random.default_rng([3, ord(model[0])]).permutation(12)
        names = paradigms()["paradigm"].to_numpy()
        moved = shown.assign(paradigm=shown["paradigm"].map(dict(zip(names, names[order], strict=True))))
        return measured(moved, model, step)

    claims = analyse(replace(context, read=read)).claims
    assert "supported" not in set(claims[claims["id"] == hypotheses.SHARED]["verdict"])


def test_rules_that_are_mastered_are_covered_and_others_are_not(found: Analysis) -> None:
    final = found.recovery.set_index(["model", "parameter"])
    assert final.loc[("b", "rule of agreement_0"), "estimate"] > 0.9
    assert not final.loc[("b", "rule of gaps_0"), "covered"]
    assert (found.recovery["covered"] == (found.recovery["ci_high"] >= 1)).all()


def test_the_same_seed_gives_the_same_tables(analysis_context: Make) -> None:
    one, other = (analyse(analysis_context(20)) for _ in range(2))
    pd.testing.assert_frame_equal(one.claims, other.claims)
    pd.testing.assert_frame_equal(one.extra["acquisition"], other.extra["acquisition"])
    pd.testing.assert_frame_equal(one.calibration, other.calibration)


def test_two_checkpoints_or_one_model_are_enough_to_run(analysis_context: Make) -> None:
    context = analysis_context(20)
    one = context.checkpoints[(context.checkpoints["model"] == "a") & context.checkpoints["step"].isin([0, 160])]
    alone = analyse(replace(context, checkpoints=one, suite=context.suite.model_copy(update={"models": context.suite.models[:1]})))
    assert len(alone.extra["acquisition"])
    single = analyse(replace(context, checkpoints=context.checkpoints[context.checkpoints["step"] == 160]))
    assert single.extra["acquisition"].empty
    assert len(single.trajectories)


def test_a_model_is_held_against_the_smallest_of_its_order() -> None:
    models = suite().models
    small = hypotheses.reference(models[1], models)
    assert small is not None
    assert small.name == "a"
    assert hypotheses.reference(models[0], models) is None


def test_every_margin_can_be_set_and_every_claim_names_its_rival() -> None:
    claims = hypotheses.declared(AnalyseSettings(shared_order_margin=0.4, sooner_margin=0.15))
    assert claims[hypotheses.SHARED].margin == 0.4
    assert claims[hypotheses.SOONER].margin == 0.15
    assert all(c.rival and c.prediction for c in claims.values())


def rates(claim: Claim, simulate: Callable[[np.random.Generator], effects.Result], times: int = 400) -> dict[str, float]:
    random = np.random.default_rng(8)
    verdicts = [verdict(*p_values(claim, simulate(random))) for _ in range(times)]
    return {v: verdicts.count(v) / times for v in ("supported", "refuted", "inconclusive")}


@pytest.mark.parametrize("which", [hypotheses.SHARED, hypotheses.SOONER, hypotheses.EARLY])
def test_decisions_at_the_margin_err_at_most_at_their_nominal_rate_and_clear_effects_are_found(which: str, clusters: np.ndarray) -> None:
    claim = hypotheses.declared(AnalyseSettings())[which]
    ours = np.r_[np.zeros(12), np.arange(1.0, 20), np.full(9, np.inf)]
    gains = np.random.default_rng(9).normal(0.3, 0.1, 40)
    signs = np.r_[np.ones(20), -np.ones(12), np.zeros(8)]
    simulate = {
        hypotheses.SHARED: lambda truth: lambda g: simulations.orders(g, truth, ours=ours, clusters=clusters),
        hypotheses.SOONER: lambda truth: lambda g: simulations.signs(g, truth, signs=signs, clusters=clusters),
        hypotheses.EARLY: lambda truth: lambda g: simulations.gains(g, truth, early=0.9 * gains + 0.02, final=gains, clusters=clusters),
    }[which]
    at_margin = rates(claim, simulate(claim.margin))
    assert at_margin["supported"] <= 0.085
    assert at_margin["refuted"] <= 0.085
    strong = {hypotheses.SHARED: 0.8, hypotheses.SOONER: 0.7, hypotheses.EARLY: 1.0}[which]
    assert rates(claim, simulate(strong), 100)["supported"] > 0.8


def test_few_phenomena_allow_no_verdict() -> None:
    few = np.repeat([0, 1, 2], 4)
    order = np.arange(12.0)
    assert "3 phenomena" in str(effects.agreement(order, order[::-1], few).problem)
    assert "3 phenomena" in str(effects.net_share(np.ones(12), few).problem)


def test_a_net_share_of_one_keeps_an_interval_and_says_more_than_one_with_an_exception(clusters: np.ndarray) -> None:
    result = effects.net_share(np.ones(40), clusters)
    assert result.estimate == 1
    assert result.ci_high == 1
    # mid-p: half of p^n is 5 % at p = 0.1 ** (1 / n), n being 40 paradigms over their design effect
    effective = 40 / (1 + 0.3 * (np.square([2, 7, 4, 5, 3, 2, 6, 2, 5, 4]).sum() / 40 - 1))
    assert result.ci_low == pytest.approx(2 * 0.1 ** (1 / effective) - 1, abs=1e-6)
    alone = np.repeat(np.arange(18), 1)
    one_exception = effects.net_share(np.r_[np.ones(17), -1], alone)
    assert one_exception.p(0.2)[0] > effects.net_share(np.ones(18), alone).p(0.2)[0]


def test_published_results_without_blimp_cannot_serve_the_experiment() -> None:
    assert "none on BLiMP" in str(unavailable(load_suite("pythia-published")))
    assert unavailable(load_suite("pythia-v0-published")) is None
    assert unavailable(load_suite("nano")) is None
