"""Branches with swapped pronouns: a planted effect of known size comes back, and a shift of all occupations alike is none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias import intervention_claims as names
from trajectories.experiments.bias.differences import adoption, over_pairs, turned
from trajectories.experiments.bias.figures import intervention as drawn
from trajectories.experiments.bias.parts import intervention, side_effects
from trajectories.experiments.bias.settings import AnalyseSettings
from trajectories.experiments.memorization.arms import cells
from trajectories.figures import FigureContext
from trajectories.findings import Findings
from trajectories.nano.settings import training
from trajectories.statistics.calibration import EXCEEDED, power, simulated
from trajectories.statistics.claims import table
from trajectories.suites import Model, Order, Suite, load_suite
from trajectories.verbs.analyse import join_facts

STEPS, BRANCH, TEMPLATES = [0, 200, 300, 400], 200, 4
SHARES = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 3)
PLANTED = -2 * np.log(SHARES / (1 - SHARES))
SETTINGS = AnalyseSettings(simulations=40)


def suite(seeds: int = 1) -> Suite:
    facts: dict[str, Any] = {
        "layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 512, "learning_rate": 0.01, "rows_per_step": 1,
        "tokens_per_step": 32, "steps_total": 400, "dtype": "float32", "parameters_non_embedding": 500, "parameters_total": 8692,
    }  # fmt: skip
    models = [Model(name=f"base-{s}", order="standard", seed=s, steps=STEPS, **facts) for s in range(1, seeds + 1)]
    models += [
        Model(
            name=f"branch-{s}",
            order="swapped",
            seed=s,
            parent=f"base-{s}",
            branch="swapped",
            branch_step=BRANCH,
            steps=[250, 300, 400],
            **facts,
        )
        for s in range(1, seeds + 1)
    ]
    orders = {"standard": Order(row_tokens=33, rows=400), "swapped": Order(row_tokens=33, rows=400, edit="swap-pronouns")}
    return Suite(name="small", title="Small", description="Pairs.", source="trained", orders=orders, models=models)


def stimuli() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for o in range(len(SHARES)):
        for t in range(TEMPLATES):
            for kind in ("feminine", "masculine"):
                pair = {"pair_id": f"job{o}/{t}", "variant": kind, "category": "", "cluster": f"job{o}", "setting": str(t)}
                rows.append(
                    {"item_id": f"occupations/job{o}/{t}/{kind}", "part": "occupations", "gendered": True, "held_out": False} | pair
                )
    for i in range(60):
        for kind in ("more", "less"):
            pair = {
                "pair_id": f"{i:03d}",
                "variant": kind,
                "category": "gender" if i < 40 else "age",
                "cluster": f"{i:03d}",
                "setting": "stereo",
            }
            rows.append({"item_id": f"crows_pairs/{i:03d}/{kind}", "part": "crows_pairs", "gendered": i < 30, "held_out": False} | pair)
    for i in range(30):
        row = {"pair_id": str(i), "variant": "", "category": "", "cluster": str(i), "setting": "unseen"}
        rows.append({"item_id": f"text/{i}", "part": "text", "gendered": False, "held_out": False} | row)
    return pd.DataFrame(rows).assign(start=1, end=33)


def exposures(shown: pd.DataFrame) -> pd.DataFrame:
    """Each occupation 100 times before and after the branch in its planted share; the swapped order has the other pronoun everywhere."""
    rows = []
    for o, share in enumerate(SHARES):
        for half in (0, 200):
            for i in range(100):
                feminine = i < round(100 * share)
                for order in ("standard", "swapped"):
                    kind = "feminine" if feminine == (order == "standard") else "masculine"
                    rows.append((f"occupations/job{o}/{i % TEMPLATES}/{kind}", order, half + i, half + i))
    found = pd.DataFrame(rows, columns=["item_id", "order", "row", "step"])
    assert set(found["item_id"]) <= set(shown["item_id"])
    return found


def context(slope: float, shift: float = 0.0, seeds: int = 1, fairer: float = 0.0, between: float = 0.0) -> AnalysisContext:
    """Branches show a share of the planted change (and a common shift); of CrowS-Pairs, a share of gender pairs turns round."""
    whole, shown = suite(seeds), stimuli()
    feminine = (shown["variant"] == "feminine").to_numpy()
    job = np.where(shown["part"] == "occupations", shown["cluster"].str.removeprefix("job"), "0").astype(int)
    planted = np.where(shown["part"] == "occupations", PLANTED[job], 0.0)
    turned = ((shown["category"] == "gender") & shown["gendered"] & (shown["pair_id"].str[:3] < f"{int(30 * fairer):03d}")).to_numpy()
    more = (shown["variant"] == "more").to_numpy()

    def read(model: str, step: int) -> pd.DataFrame:
        generator = np.random.default_rng([step, int(model[-1]), 5])  # the same in a branch and its parent
        own = np.random.default_rng([step, int(model[-1]), len(model)])
        values = generator.normal(-8, np.where(shown["part"] == "occupations", 0.3, 1.0)) + own.normal(0, 0.15, len(shown)) + 3.0 * more
        values += np.where(feminine, -planted / 2, 0.0)
        if model.startswith("branch"):
            of_run = slope + between * np.random.default_rng([int(model[-1]), 9]).standard_normal()
            values += np.where(feminine, of_run * planted + shift, 0.0)
            values -= np.where(turned & more, 9.0, 0.0)
        return pd.DataFrame({"item_id": shown["item_id"], "logprob": values, "n_tokens": 1})

    def truth(name: str) -> pd.DataFrame:
        raise KeyError(name)

    checkpoints = pd.DataFrame([(m.name, s, s * 32) for m in whole.models for s in m.all_steps], columns=["model", "step", "tokens"])
    history = {m.name: whole.history(m.name) for m in whole.models}
    return AnalysisContext(
        suite=whole, settings=SETTINGS, seed=1, checkpoints=checkpoints, left_out=checkpoints.iloc[:0], stimuli=shown,
        exposures=exposures(shown), truth=truth, has_truth=True, published=None, read=read, history=history,
    )  # fmt: skip


def found_in(given: AnalysisContext) -> Findings:
    found = Findings()
    intervention.analyse(given, found)
    side_effects.analyse(given, found)
    return found


def verdicts(found: Findings) -> dict[str, str]:
    claims = table(found.claims)
    return dict(zip(claims["id"], claims["verdict"], strict=True))


def test_a_planted_share_of_the_swap_comes_back_and_is_supported() -> None:
    found = found_in(context(0.5))
    claims = table(found.claims).set_index("id")
    assert claims.at[names.ADOPTED, "estimate"] == pytest.approx(0.5, abs=0.05)
    assert claims.at[names.ADOPTED, "verdict"] == "supported"
    assert claims.at[names.ADOPTED, "step"] == 400
    assert claims.at[names.ADOPTED, "n_clusters"] == len(SHARES)
    slopes = [r for r in found.trajectories if r["metric"] == "did_log_odds_slope"]
    assert [r["step"] for r in slopes] == [300, 400]  # the common steps after the branch alone
    direction, whole = found.recovery
    assert direction["covered"]
    assert not whole["covered"]
    assert "forgotten its first 200 steps" in whole["comment"]


def test_a_branch_that_shows_all_that_was_planted_is_covered() -> None:
    assert all(row["covered"] for row in found_in(context(1.0)).recovery)


def test_a_shift_of_all_occupations_alike_is_no_adoption() -> None:
    found = found_in(context(0.0, shift=-2.0))
    assert verdicts(found)[names.ADOPTED] == "refuted"
    common = [r["value"] for r in found.trajectories if r["metric"] == "did_log_odds" and r["step"] == 400]
    assert common[0] == pytest.approx(-2.0, abs=0.1)


def test_one_pair_of_runs_says_nothing_of_runs_and_three_do() -> None:
    one = table(found_in(context(0.5)).claims).set_index("id")
    assert one.at[names.ADOPTED_RUNS, "verdict"] == "inconclusive"
    assert "only one pair of runs" in one.at[names.ADOPTED_RUNS, "reason"]
    claims = table(found_in(context(0.5, seeds=3)).claims)
    three = claims[claims["id"] == names.ADOPTED_RUNS].iloc[0]
    assert (three["n"], three["group"], three["verdict"]) == (3, "3 pairs of runs", "supported")
    assert (claims["id"] == names.ADOPTED).sum() == 3


def test_runs_that_disagree_leave_the_claim_about_runs_open_where_each_pair_is_sure() -> None:
    found = table(found_in(context(0.5, seeds=3, between=0.4)).claims)
    assert found.loc[found["id"] == names.ADOPTED_RUNS, "verdict"].item() == "inconclusive"
    assert set(found.loc[found["id"] == names.ADOPTED, "verdict"]) != {"inconclusive"}


def test_gender_pairs_without_a_pronoun_are_dropped_and_counted() -> None:
    found = found_in(context(0.5, fairer=0.5))
    claim = table(found.claims).set_index("id").loc[names.FAIRER]
    assert claim["n"] == 2 * 30
    assert claim["estimate"] == pytest.approx(-0.5, abs=0.1)
    assert claim["verdict"] == "supported"
    assert "10 pairs without a gendered pronoun were dropped" in claim["reason"]
    assert verdicts(found_in(context(0.5)))[names.FAIRER] != "supported"


def test_text_that_was_left_alone_shows_no_side_effect() -> None:
    assert verdicts(found_in(context(0.5)))[names.TEXT] == "refuted"


def test_no_branch_no_part_and_a_suite_without_the_parent_neither() -> None:
    given = context(0.5)
    for models in ([m for m in given.suite.models if m.parent is None], [m for m in given.suite.models if m.parent is not None]):
        kept = {m.name for m in models}
        chosen = replace(
            given,
            suite=given.suite.model_copy(update={"models": models}),
            checkpoints=given.checkpoints[given.checkpoints["model"].isin(kept)],
        )
        assert not found_in(chosen).claims


def test_the_decision_on_occupations_keeps_its_level_and_has_power() -> None:
    generator = np.random.default_rng(2)
    occupations, templates = np.repeat(np.arange(15), TEMPLATES), np.tile(np.arange(TEMPLATES), 15)
    planted = PLANTED[occupations]
    noise = generator.normal(0, 0.3, (2, 15))[:, occupations] + generator.normal(0, 0.3, (2, len(planted)))
    change, before = 0.3 * planted + noise[0], -0.5 * planted + noise[1]
    facts = {"planted": planted, "templates": templates, "occupations": occupations}
    simulate = partial(intervention._turning, change=change, before=before, **facts)
    claim = names.intervention(SETTINGS)[names.ADOPTED]
    found = simulated(claim, simulate, n_sim=60, seed=3, truths=(0.0, 1.0, 3.0), at_margin=5)
    assert power(claim, found)["level"] != EXCEEDED
    assert np.mean([r.p(claim.margin)[0] < 0.05 for r in found[3.0]]) > 0.7
    assert np.mean([r.estimate for r in found[1.0]]) == pytest.approx(claim.margin, abs=0.02)


def test_the_decision_over_pairs_of_runs_keeps_its_level_and_has_power() -> None:
    claim = names.intervention(SETTINGS)[names.ADOPTED_RUNS]
    found = simulated(claim, partial(intervention._pairs, spread=0.03, pairs=3), n_sim=80, seed=3, truths=(0.0, 1.0, 2.0), at_margin=5)
    told = power(claim, found)
    assert told["level"] != EXCEEDED
    assert told["power_supported"] > 0.7
    assert not over_pairs(np.array([0.3, 0.4])).finite


def test_a_parent_without_skew_has_none_to_turn() -> None:
    generator = np.random.default_rng(6)
    planted, occupations = np.repeat(PLANTED, 2), np.repeat(np.arange(15), 2)
    result = turned(generator.normal(0, 1, 30), generator.normal(0, 1, 30), planted, np.tile(["a", "b"], 15), occupations)
    assert not result.finite
    assert "no skew" in (result.problem or "")


@pytest.mark.parametrize("truth", [-0.05, -0.2])
def test_simulated_pairs_of_shares_have_the_wanted_difference(truth: float) -> None:
    generator = np.random.default_rng(4)
    drawn_ = [side_effects._less(generator, truth, parent=0.6, apart=0.1, clusters=np.arange(400)).estimate for _ in range(200)]
    assert np.mean(drawn_) == pytest.approx(truth, abs=0.01)


def test_a_slope_within_templates_ignores_what_templates_do() -> None:
    planted, templates = np.tile(PLANTED, 2), np.repeat(["a", "b"], len(PLANTED))
    change = 0.4 * planted + np.where(templates == "a", 3.0, -1.0)
    assert adoption(change, planted, templates, np.tile(np.arange(len(PLANTED)), 2)).estimate == pytest.approx(0.4)


@pytest.mark.parametrize("seeds", [1, 3])
def test_figures_are_drawn_from_what_was_found(seeds: int) -> None:
    given = context(0.5, seeds=seeds)
    found = found_in(given)
    trajectories = join_facts(pd.DataFrame(found.trajectories), given.suite, given.checkpoints.assign(revision=None), "bias")
    extra = {name: pd.DataFrame(rows) for name, rows in found.extra.items()}
    empty = pd.DataFrame()
    made = drawn.figures(FigureContext(given.suite, None, trajectories, empty, empty, empty, lambda name: extra[name]))
    assert [f.name for f in made][:2] == ["swap-over-steps", "swap-occupations"]
    for figure in made:
        assert figure.chart.to_dict()["$schema"]
        assert figure.caption.endswith(".")


def test_the_trials_suite_has_three_pairs_that_its_factorial_leaves_out() -> None:
    whole = load_suite("nano-trial")
    training(whole)
    branches = [m for m in whole.models if m.parent is not None]
    assert len(branches) == 3
    assert {m.seed for m in branches} == {whole.model(m.parent or "").seed for m in branches}
    for m in branches:
        parent = whole.model(m.parent or "")
        assert (m.layers, m.width, m.schedule, m.learning_rate) == (parent.layers, parent.width, parent.schedule, parent.learning_rate)
        assert set(m.all_steps) <= set(parent.all_steps)
        assert whole.history(m.name) == [(parent.order, 0), (m.order, m.branch_step)]
    (compared,) = cells(whole).values()
    assert len(compared) == 12
    assert not {m.name for m in branches} & {m.name for m in compared}
