"""Steps of acquisition, agreement, claims and recovery on models whose learning is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from grammar.small import measured, paradigms, suite
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, Analysis, AnalysisContext
from trajectories.experiments.grammar import effects, hypotheses, simulations
from trajectories.experiments.grammar.analyse import analyse
from trajectories.experiments.grammar.settings import AnalyseSettings, unavailable
from trajectories.statistics.calibration import calibrate
from trajectories.statistics.claims import Claim, objection, p_values, verdict
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
    overall = found.extra["concordance"].set_index(["setting", "criterion", "group"]).loc[("planted", "midway", "all models")]
    assert overall["w"] > 0.9
    assert overall["ci_low"] <= overall["w"] <= overall["ci_high"]
    assert overall["p"] < 0.01
    pairs = found.extra["agreement"]
    assert len(pairs) == 2 * 3 * 9
    assert set(pairs["differs_in"]) == {"", "size", "nothing named"}


def test_larger_models_that_are_sooner_are_found_to_be_on_balance_sooner(found: Analysis) -> None:
    row = decided(found, hypotheses.SOONER, "b")
    assert row["estimate"] > 0.2
    assert row["n_events"] > 0.6 * row["n"]
    assert "Held against a. Left out of 12 paradigms: 1 that not both models acquire and" in row["reason"]
    assert row["verdict"] == "inconclusive"
    assert "a verdict needs at least 20 of each" in row["reason"]
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
    simulate = {
        hypotheses.SHARED: lambda truth: lambda g: simulations.orders(g, truth, ours=ours, clusters=clusters),
        hypotheses.SOONER: lambda truth: lambda g: simulations.signs(g, truth, clusters=clusters),
        hypotheses.EARLY: lambda truth: (
            lambda g: simulations.gains(g, truth, early=0.9 * gains + 0.02, final=gains, clusters=clusters, least=0.1)
        ),
    }[which]
    at_margin = rates(claim, simulate(claim.margin))
    assert at_margin["supported"] <= 0.085
    assert at_margin["refuted"] <= 0.085
    strong = {hypotheses.SHARED: 0.8, hypotheses.SOONER: 0.8, hypotheses.EARLY: 1.0}[which]
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


def steps_of_acquisition(kind: str, **ends: list[tuple[float, float]]) -> pd.DataFrame:
    """Table of acquisition with the (lower, upper] of each paradigm by model; each paradigm a phenomenon of its own."""
    return pd.DataFrame(
        [
            {
                "model": m,
                "setting": "s",
                "criterion": kind,
                "paradigm": f"p{i}",
                "phenomenon": f"q{i}",
                "lower_tokens": a,
                "upper_tokens": b,
            }
            for m, intervals in ends.items()
            for i, (a, b) in enumerate(intervals)
        ]
    )


def test_what_a_model_never_acquires_is_not_sooner_halfway_but_is_at_a_fixed_level() -> None:
    never = (80.0, np.inf)
    large = [(0.0, 10.0), (0.0, 10.0), (20.0, 30.0), never, (10.0, 20.0), (40.0, 50.0)]
    small = [(10.0, 20.0), never, never, (30.0, 40.0), (20.0, 30.0), (10.0, 20.0)]
    halfway = hypotheses.sooner(hypotheses.SOONER, steps_of_acquisition("isotonic", a=small, b=large), "s", "b", "a", 100)
    assert (halfway.result.n, halfway.result.n_events) == (3, 2)
    assert halfway.result.estimate == pytest.approx(1 / 3)
    assert "Left out of 6 paradigms: 3 that not both models acquire and 0 whose order cannot be told." in halfway.remark
    fixed = hypotheses.sooner(hypotheses.SOONER_FIXED, steps_of_acquisition("fixed", a=small, b=large), "s", "b", "a", 100)
    assert (fixed.result.n, fixed.result.n_events) == (6, 4)
    assert "not both" not in fixed.remark


@pytest.mark.parametrize(("claim", "kind"), [(hypotheses.SOONER, "isotonic"), (hypotheses.SOONER_FIXED, "fixed")])
def test_paradigms_whose_order_cannot_be_told_are_left_out_and_counted(claim: str, kind: str) -> None:
    large = [(0.0, 10.0)] * 5 + [(20.0, 30.0), (0.0, 10.0)]
    small = [(10.0, 20.0)] * 5 + [(25.0, 35.0), (0.0, 10.0)]
    finding = hypotheses.sooner(claim, steps_of_acquisition(kind, a=small, b=large), "s", "b", "a", 100)
    assert (finding.result.estimate, finding.result.n, finding.result.n_clusters) == (1.0, 5, 5)
    assert finding.remark.endswith("2 whose order cannot be told. Sooner (the events): 5, later: 0.")


def test_no_paradigm_whose_order_can_be_told_is_no_error() -> None:
    same = [(0.0, 10.0)] * 6
    finding = hypotheses.sooner(hypotheses.SOONER, steps_of_acquisition("isotonic", a=same, b=same), "s", "b", "a", 100)
    assert finding.result.n == 0
    assert not finding.result.finite


def test_few_paradigms_sooner_or_later_allow_no_verdict_in_the_data_nor_in_simulations(clusters: np.ndarray) -> None:
    result = effects.net_share(np.ones(40), clusters)
    assert result.n_events == 40
    assert str(objection(result)) == "There are no non-events among 40; a verdict needs at least 20 of each."
    assert objection(effects.net_share(np.r_[np.ones(20), -np.ones(20)], clusters)) is None
    claim = hypotheses.declared(AnalyseSettings())[hypotheses.SOONER]
    for times, some in ((1, False), (5, True)):
        simulate = partial(simulations.signs, clusters=np.concatenate([clusters + 10 * i for i in range(times)]))
        table = calibrate(claim, simulate, n_sim=40, seed=1, truths=(3,))
        assert (table["rate_supported"] > 0.8).all() == some
        assert some or (table["rate_supported"] < 0.1).all()


def test_calibration_shows_rates_alone_and_in_the_family_and_without_the_rule_on_events(found: Analysis) -> None:
    table = found.calibration[found.calibration["claim"] == hypotheses.SOONER]
    assert sorted(table["truth"].round(6).unique()) == [0.0, 0.1, 0.2, 0.4, 0.6, 0.8]
    tests = table["test"].unique()
    assert len(tests) == 2
    assert sum(test.endswith("; Holm over 2") for test in tests) == 1
    assert table["test"].str.contains("without the rule on events").all()
    assert table["rate_supported"].max() > 0
    assert any("larger-sooner is not calibrated, since no model allows a verdict" in note for note in found.notes)
    early = found.calibration[found.calibration["claim"] == hypotheses.EARLY]["test"].unique()
    assert sorted(test.endswith("; Holm over 3") for test in early) == [False, True]


def test_true_effects_above_one_are_not_simulated() -> None:
    assert simulations.truths(hypotheses.SOONER, 0.3) == (0.0, 0.5, 1.0, 2.0, 3.0)
    assert simulations.truths(hypotheses.EARLY, 0.9) == (0.75, 1.0, 1.25)


def test_simulated_gains_are_refused_below_the_least_gain_as_in_the_analysis(clusters: np.ndarray) -> None:
    low = np.full(40, 0.05)
    result = simulations.gains(np.random.default_rng(1), 0.8, early=low, final=low, clusters=clusters, least=0.1)
    assert "above chance" in str(result.problem)


def test_published_results_without_blimp_cannot_serve_the_experiment() -> None:
    assert "none on BLiMP" in str(unavailable(load_suite("pythia-published")))
    assert unavailable(load_suite("pythia-v0-published")) is None
    assert unavailable(load_suite("nano")) is None
