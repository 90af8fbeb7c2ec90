"""A trial of known truth: four arms, three seeds each, canaries at random places and natural rows whose content depends on the place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization import analyse
from trajectories.experiments.memorization.arms import base_order, cells, trials
from trajectories.experiments.memorization.effects import Block, effect, simulation
from trajectories.experiments.memorization.figures.trial import figures
from trajectories.experiments.memorization.parts import trial
from trajectories.experiments.memorization.regressions import LOGPROB, MEMORIZED
from trajectories.experiments.memorization.run import Run, Window
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.figures import FigureContext
from trajectories.findings import Findings
from trajectories.statistics.calibration import calibrate
from trajectories.statistics.claims import table
from trajectories.statistics.order_regression import design
from trajectories.suites import Model, Order, Suite, load_suite

STEPS, ROWS_PER_STEP, SPAN = 400, 16, 20
CHECKPOINTS = np.arange(40, STEPS + 1, 40)
ROWS = STEPS * ROWS_PER_STEP
CANARIES, NATURAL, NEVER = 300, 2400, 40
LAST = "trial-canaries-likelier"


@dataclass(frozen=True)
class Truth:
    """Effects in nats: of the place, of the age (per share of training), of the place of natural rows, of their content along the order.

    ``odds`` is the place's in log odds, ``between`` the spread of its effect over runs, ``period`` what the whole of training does to any
    canary, met or not.
    """

    place: float = 0.0
    forgetting: float = 0.0
    rows: float = 0.0
    content: float = 0.0
    odds: float = 0.0
    between: float = 0.0
    period: float = 0.0


def suite(seeds: int = 3) -> Suite:
    facts: dict[str, Any] = {
        "layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 512, "learning_rate": 0.01, "rows_per_step": ROWS_PER_STEP,
        "tokens_per_step": ROWS_PER_STEP * 32, "steps_total": STEPS, "dtype": "float32", "parameters_non_embedding": 500,
        "parameters_total": 8692, "steps": CHECKPOINTS.tolist(),
    }  # fmt: skip
    models = [
        Model(name=f"{order}-{schedule}-{seed}", order=order, schedule=schedule, seed=seed, **facts)
        for order in ("standard", "reversed")
        for schedule in ("cosine", "constant")
        for seed in range(1, seeds + 1)
    ]
    orders = {"standard": Order(row_tokens=33, rows=ROWS), "reversed": Order(row_tokens=33, rows=ROWS, reversed=True)}
    return Suite(name="small", title="Small", description="A trial.", source="trained", orders=orders, models=models)


@cache
def shown() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items, and their exposures in the standard order."""
    generator = np.random.default_rng(3)
    names = [f"canary-{i}" for i in range(CANARIES)] + [f"row-{i}" for i in range(NATURAL)] + [f"never-{i}" for i in range(NEVER)]
    kind = np.repeat(["canary", "row", "canary"], [CANARIES, NATURAL, NEVER])
    found = []
    copies = np.repeat([4, 8, 16], CANARIES // 3)
    for i, start in enumerate(generator.integers(0, STEPS - SPAN + 1, CANARIES)):
        found += [(names[i], r) for r in generator.integers(start * ROWS_PER_STEP, (start + SPAN) * ROWS_PER_STEP, copies[i])]
    found += list(zip(names[CANARIES : CANARIES + NATURAL], generator.choice(ROWS, NATURAL, replace=False), strict=True))
    exposures = pd.DataFrame(found, columns=["item_id", "row"]).drop_duplicates()
    items = pd.DataFrame({"item_id": names, "kind": kind, "copy_group": np.arange(len(names)), "weight": 1.0, "copies_known": True})
    for name in ("zlib_bits", "distinct"):
        items[name] = generator.standard_normal(len(items))
    return items.assign(repeating=False, counting=False), exposures


def run_of(model: Model, truth: Truth) -> Run:
    items, exposures = shown()
    exposures = exposures.assign(order=model.order)
    if model.order == "reversed":
        exposures["row"] = ROWS - 1 - exposures["row"]
    exposures["step"] = exposures["row"] // ROWS_PER_STEP
    generator = np.random.default_rng([model.seed or 0, *model.name.encode()])
    content = np.random.default_rng(11).standard_normal(len(items))
    seen = exposures.groupby("item_id")
    place = seen["row"].mean().reindex(items["item_id"]).to_numpy() / (ROWS - 1)
    straight = place if model.order == "standard" else 1 - place
    canary = (items["kind"] == "canary").to_numpy()
    latest = seen["step"].max().reindex(items["item_id"]).to_numpy()
    slope = truth.place + truth.between * generator.standard_normal()
    logprob = np.empty((len(items), len(CHECKPOINTS)))
    for t, step in enumerate(CHECKPOINTS):
        age = np.maximum(step - 1 - latest, 0) / STEPS
        effects = np.where(canary, slope * place - truth.forgetting * age, truth.rows * place + truth.content * straight)
        logprob[:, t] = np.where(latest < step, effects, 0.0) + content + 0.3 * generator.standard_normal(len(items))
        logprob[:, t] += np.where(canary, truth.period * step / STEPS, 0.0)
    odds = truth.odds * (place - 0.5) + 0.7 * content[:, None].T
    memorized = generator.random(logprob.shape) < 1 / (1 + np.exp(-np.where(canary, odds, -2.0))).T
    outcomes = {"memorized": memorized, "matched": memorized * 1.0, "logprob": logprob}
    return Run(model, CHECKPOINTS, Window(32, 32, 0), True, items, exposures, outcomes)


@cache
def found(truth: Truth, seeds: int = 3) -> Findings:
    whole, findings = suite(seeds), Findings()
    context = AnalysisContext(
        suite=whole, settings=AnalyseSettings(simulations=40), seed=1, checkpoints=pd.DataFrame(), left_out=pd.DataFrame(), stimuli=None,
        exposures=None, truth=lambda name: pd.DataFrame(), has_truth=True, published=None, read=lambda model, step: pd.DataFrame(),
    )  # type: ignore[arg-type]  # fmt: skip
    runs = [run_of(model, truth) for model in whole.models]
    for run in runs:
        trial.analyse(run, context, findings)
    trial.compare([run.last() for run in runs], context, findings)
    return findings


def claims(truth: Truth, claim: str, seeds: int = 3) -> pd.DataFrame:
    decided = table(found(truth, seeds).claims)
    return decided[decided["id"] == claim].set_index("group")


ARMS = ["standard, cosine", "standard, constant", "reversed, cosine", "reversed, constant"]


def test_a_planted_effect_of_the_place_is_supported_in_every_arm_and_its_size_is_found() -> None:
    truth = Truth(place=1.0)
    of_arms = claims(truth, LAST).loc[ARMS]
    assert (of_arms["verdict"] == "supported").all()
    assert (of_arms["role"] == "primary").all()
    # given the place, a canary's content and noise have variance 1 + 0.09
    expected = 1 / np.sqrt(1 + 0.09)
    assert ((of_arms["ci_low"] - 0.05 < expected) & (expected < of_arms["ci_high"] + 0.05)).all()
    assert of_arms["method"].str.contains("variance between runs added").all()
    assert set(claims(truth, "trial-fresh-likelier").loc[ARMS, "verdict"]) == {"supported"}


def test_forgetting_alone_raises_the_slope_at_the_last_checkpoint_and_not_at_equal_age() -> None:
    truth = Truth(forgetting=2.0)
    assert set(claims(truth, LAST).loc[ARMS, "verdict"]) == {"supported"}
    fresh = claims(truth, "trial-fresh-likelier").loc[ARMS]
    assert "supported" not in set(fresh["verdict"])
    assert (fresh["estimate"].abs() < 0.3).all()
    assert (fresh["ci_low"] < 0).all()
    assert (fresh["ci_high"] > 0).all()


def test_what_the_period_does_to_any_canary_is_no_effect_of_the_place_at_equal_age() -> None:
    fresh = claims(Truth(period=3.0), "trial-fresh-likelier").loc[ARMS]
    assert "supported" not in set(fresh["verdict"])
    assert (fresh["estimate"].abs() < 0.5).all(), "without never-planted canaries it would be about 3"
    assert fresh["method"].str.contains("variance between never-planted canaries added").all()
    assert fresh["reason"].str.contains("depends on the mix of their copies").all()


def test_the_place_changes_the_odds_of_being_memorized_as_planted() -> None:
    of_arms = claims(Truth(odds=3.0), "trial-canaries-memorized").loc[ARMS]
    assert set(of_arms["verdict"]) == {"supported"}
    assert ((of_arms["ci_low"] < 3.0) & (of_arms["ci_high"] + 0.5 > 3.0)).all()


def test_content_that_follows_the_order_misleads_the_regression_and_not_the_crossover() -> None:
    truth = Truth(rows=0.0, content=0.8)
    crossed = claims(truth, "trial-rows-likelier")
    assert set(crossed["verdict"]) == {"refuted"}
    assert crossed["estimate"].abs().max() < 0.05
    differs = claims(truth, "trial-observation-differs").loc[ARMS]
    assert set(differs["verdict"]) == {"supported"}
    assert np.sign(differs["estimate"]).tolist() == [1, 1, -1, -1], "what is late in one order is early in the other"


def test_without_such_content_the_regression_finds_what_the_crossover_finds() -> None:
    truth = Truth(rows=0.8)
    crossed = claims(truth, "trial-rows-likelier")
    assert set(crossed["verdict"]) == {"supported"}
    expected = 0.8 / np.sqrt(1 + 0.09 + 0.8**2 / 12)
    assert crossed["estimate"].to_numpy() == pytest.approx(expected, abs=0.05)
    differs = claims(truth, "trial-observation-differs").loc[ARMS]
    assert "supported" not in set(differs["verdict"])
    assert (differs["estimate"].abs() < 0.2).all()


def test_rows_are_not_judged_against_canaries_on_another_scale() -> None:
    differs = claims(Truth(rows=0.8), "trial-observation-differs")
    assert sorted(differs.index) == sorted(ARMS)


def test_contrasts_of_the_arms_are_nothing_where_the_arms_are_alike() -> None:
    for claim in ("trial-schedule-likelier", "trial-order-likelier"):
        contrasts = claims(Truth(place=1.0), claim)
        assert len(contrasts) == 2, "at the last checkpoint and at equal age"
        assert "supported" not in set(contrasts["verdict"])
        assert (contrasts["role"] == "descriptive").all()


def test_runs_that_differ_from_one_another_widen_the_interval() -> None:
    alike, apart = (claims(Truth(place=1.0, between=b), LAST).loc[ARMS] for b in (0.0, 1.0))
    assert ((apart["ci_high"] - apart["ci_low"]).median() > 2 * (alike["ci_high"] - alike["ci_low"]).median()).all()


def test_with_two_seeds_the_inference_is_conditional_on_the_runs_and_says_so() -> None:
    two = claims(Truth(place=1.0), LAST, seeds=2).loc[ARMS]
    assert two["method"].str.contains("conditional on these runs").all()
    assert any("conditional on these runs" in note for note in found(Truth(place=1.0), 2).notes)


def test_claims_about_an_arm_stand_under_a_model_of_the_suite() -> None:
    names = {m.name for m in suite().models}
    decided = table(found(Truth(place=1.0)).claims)
    assert set(decided["model"]) <= names
    primary = decided[decided["role"] == "primary"]
    assert not primary.duplicated(["family", "model"]).any()


def test_every_primary_claim_that_allows_a_verdict_can_be_calibrated() -> None:
    findings = found(Truth(place=1.0))
    primary = table(findings.claims).query("role == 'primary'")
    assert {c.claim.id for c in findings.calibrands} == set(primary["id"])
    generator = np.random.default_rng(0)
    for calibrand in findings.calibrands:
        if calibrand.objection is None:
            assert calibrand.simulate(generator, calibrand.claim.margin).finite


@pytest.mark.parametrize(
    "claim", [LAST, "trial-rows-likelier", "trial-observation-differs", "trial-canaries-memorized", "trial-fresh-likelier"]
)
def test_wrong_verdicts_on_simulated_trials_stay_at_five_per_cent(claim: str) -> None:
    calibrand = next(c for c in found(Truth(odds=1.0)).calibrands if c.claim.id == claim)
    assert calibrand.objection is None
    n = 40
    wide = replace(calibrand.claim, margin=4 * calibrand.claim.margin)  # this small sample can decide about margins as wide as that
    rates = calibrate(wide, calibrand.simulate, n_sim=n, seed=1).set_index("truth")
    largest = 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)
    assert (rates.loc[rates.index <= wide.margin, "rate_supported"] <= largest).all()
    assert (rates.loc[rates.index >= wide.margin, "rate_refuted"] <= largest).all()
    assert rates.loc[2 * wide.margin, "rate_supported"] > 0.3


def test_simulated_effects_are_those_that_were_planted() -> None:
    generator = np.random.default_rng(5)
    place = generator.random(400)
    x, names = design(place)
    likely = 3 * place[:, None] + generator.standard_normal((400, 3))
    recited = (generator.random((400, 3)) < 1 / (1 + np.exp(1 - 2 * place[:, None]))).astype(float)
    for outcome, y, truth in ((LOGPROB, likely, 0.5), (MEMORIZED, recited, 1.0)):
        block = Block(y, x, names, np.arange(400))
        simulate = simulation(outcome, [block], correlation=0.1)
        estimates = [simulate(generator, truth).estimate for _ in range(40)]
        assert np.mean(estimates) == pytest.approx(truth, abs=0.15)
        assert np.isfinite(effect(outcome, [block]).stderr)


def test_few_canaries_with_an_event_allow_no_verdict_however_many_runs_there_are() -> None:
    place = np.linspace(0, 1, 100)
    x, names = design(place)
    y = np.zeros((100, 5))
    y[5::10] = 1
    result = effect(MEMORIZED, [Block(y, x, names, np.arange(100))])
    assert result.problem == "only 10 clusters have an event in any run, and a verdict needs 20"


def test_a_suite_whose_models_differ_in_size_and_seed_alone_has_no_trial() -> None:
    assert not cells(load_suite("nano"))
    whole = suite()
    one_arm = whole.model_copy(update={"models": [m for m in whole.models if m.order == "standard" and m.schedule == "cosine"]})
    assert not cells(one_arm)
    assert not list(trials([run_of(m, Truth()) for m in one_arm.models], one_arm))


def test_the_trials_suite_has_three_seeds_of_each_order_and_schedule() -> None:
    whole = load_suite("nano-trial")
    (models,) = cells(whole).values()
    arms = pd.Series([(m.order, m.schedule) for m in models]).value_counts()
    assert len(arms) == 4
    assert arms.min() >= 3
    assert base_order(whole, "reversed") == "standard"
    assert base_order(whole, "unseen") == "unseen"


def test_figures_show_arms_and_runs_and_none_are_drawn_without_a_trial() -> None:
    findings = found(Truth(odds=1.0))
    tables = {name: pd.DataFrame(rows) for name, rows in findings.extra.items()}
    empty = pd.DataFrame()
    context = FigureContext(suite(), None, empty, table(findings.claims), empty, empty, lambda name: tables[name])
    drawn = figures(context)
    assert [figure.name for figure in drawn] == ["trial-canaries", "trial-memorized", "trial-rows"]
    for figure in drawn:
        assert figure.chart.to_dict()["$schema"]
        assert figure.caption.endswith(".")
    assert figures(replace(context, extra=lambda name: {}[name])) == []


def test_branches_of_a_trials_runs_are_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def runs(_: object, without: list[str]) -> list[Run]:
        asked.append(without)
        return []

    monkeypatch.setattr(analyse, "runs", runs)
    monkeypatch.setattr(analyse, "ACROSS_MODELS", ())
    for name in ("nano-trial", "nano"):
        analyse._measured(SimpleNamespace(suite=load_suite(name)), Findings())  # type: ignore[arg-type]
    assert asked == [["swapped-cosine-1", "swapped-cosine-2", "swapped-cosine-3"], []]
