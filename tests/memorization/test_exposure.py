"""What an exposure leaves, by its step and age: found in panels of known truth, with rows never seen or only not yet seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from memorization.world import analysis_context, findings, recency
from trajectories.experiments.memorization.cells import (
    BETWEEN,
    LEAST_CELLS,
    WITHIN,
    Cells,
    cells_of,
    effects,
    even_steps,
    judged,
    linear_part,
    simulation,
)
from trajectories.experiments.memorization.parts import exposure
from trajectories.experiments.memorization.run import runs
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.statistics.claims import objection, p_values, table

SETTINGS = AnalyseSettings()
STEPS = np.linspace(0.1, 1, 10)


def cells(
    generator: np.random.Generator,
    step: float = 0.0,
    age: float = 0.0,
    never: int = 300,
    exposed: int = 900,
    until: float = 1.0,
    product: float = 0.0,
) -> Cells:
    """Rows of random content, learnt in batches of 3: at once by 0.5 + step · exposure step, of which age · age is lost.

    To that comes product · exposure step · age, so that the two need not add up.
    """
    n = exposed + never
    when = np.r_[np.repeat((np.arange(exposed // 3) + 0.5) / (exposed // 3), 3) * until, np.full(never, np.nan)]
    ages = STEPS[None, :] - when[:, None]
    ages = np.where(ages >= 0, ages, np.nan)
    seen = np.isfinite(ages)
    labels = np.r_[np.arange(exposed) // 3, exposed // 3 + np.arange(never)]
    content = generator.normal(size=(n, 1))
    noise = 0.3 * generator.normal(size=(n, len(STEPS))) + 0.2 * generator.normal(size=(labels.max() + 1, 1))[labels] * seen
    period = np.log(STEPS)[None, :]
    left = np.where(seen, 0.5 + step * np.nan_to_num(when)[:, None] - age * np.nan_to_num(ages), 0.0)
    left += product * np.nan_to_num(when[:, None] * ages)
    facts = content + generator.normal(size=(n, 1))
    return Cells(content + period + left + noise, when, ages, facts, labels, None)


@pytest.mark.parametrize("comparison", [WITHIN, BETWEEN])
@pytest.mark.parametrize("never", [300, 0])
def test_linear_parts_are_told_apart_with_rows_never_seen_and_with_rows_not_yet_seen(comparison: str, never: int) -> None:
    """Exposure step and age are one thing at each checkpoint; the period, which unseen rows carry, tells them apart."""
    panel = cells(np.random.default_rng(1), step=0.6, age=0.8, never=never)
    for claim, truth in (("late-exposures-stronger", 0.6), ("traces-fade", -0.8)):
        fit = linear_part(panel, claim, SETTINGS, comparison)
        error = np.sqrt(fit.covariance[0, 0])
        assert fit.coefficients[0] == pytest.approx(truth, abs=4 * error)
        assert error < (0.1 if comparison == WITHIN else 0.4)


def test_where_nothing_is_unseen_the_linear_parts_cannot_be_told_apart() -> None:
    panel = cells(np.random.default_rng(2), step=0.6, age=0.8, never=0, until=0.05)
    everything = np.isfinite(panel.age)
    assert everything.all()
    # all exposures come before the first checkpoint: only changes with age are left, and the periods take their linear part
    fit = linear_part(panel, "traces-fade", SETTINGS, WITHIN)
    assert fit.problem is not None or np.sqrt(fit.covariance[0, 0]) > 1


def test_content_is_no_trouble_within_rows() -> None:
    generator = np.random.default_rng(3)
    panel = cells(generator)
    shifted = replace(panel, outcome=panel.outcome + 2 * np.nan_to_num(panel.exposed)[:, None])
    within, between = (linear_part(shifted, "late-exposures-stronger", SETTINGS, c).coefficients[0] for c in (WITHIN, BETWEEN))
    assert abs(within) < 0.2
    assert between > 1


def test_effects_by_exposure_step_and_age_are_the_planted_ones() -> None:
    panel = cells(np.random.default_rng(4), age=0.4)
    found = pd.DataFrame(effects(panel, WITHIN, SETTINGS))
    by_age = found[found["by"] == "age"]
    assert by_age["age_high"].is_monotonic_increasing
    middle = by_age[by_age["age_low"] >= 0.125]
    truth = np.array(
        [
            0.5 - 0.4 * np.nanmean(np.where((panel.age >= r.age_low) & (panel.age < r.age_high), panel.age, np.nan))
            for r in middle.itertuples()
        ]
    )
    assert (np.abs(middle["estimate"] * middle["unit"] - truth) < 4 * middle["stderr"] * middle["unit"]).all()
    steps = found[found["by"] == "exposure step"]
    assert len(steps) == SETTINGS.order.exposure_bins
    assert np.ptp(steps["estimate"]) < 6 * steps["stderr"].max(), "no exposure step is better than another"
    both = found[found["by"] == "both"]
    assert (both["cells"] >= LEAST_CELLS).all()
    assert (both["estimate"] > -3 * both["stderr"]).all()
    assert (both["estimate"] > 0).mean() > 0.8


def test_seen_cells_too_few_for_an_effect_of_their_own_do_not_pass_for_unseen_ones() -> None:
    panel = cells(np.random.default_rng(7))
    late = np.flatnonzero(panel.exposed > 0.95)  # their only seen cells are at the last checkpoint
    lifted = panel.outcome.copy()
    lifted[late, -1] += 50.0
    few = replace(panel, outcome=lifted)
    found, plain = (pd.DataFrame(effects(p, WITHIN, replace_bins(20))).query("by == 'age' and age_low >= 0.25") for p in (few, panel))
    assert found["estimate"].to_numpy() * found["unit"].iloc[0] == pytest.approx(
        plain["estimate"].to_numpy() * plain["unit"].iloc[0], abs=0.3
    )


def replace_bins(steps: int) -> AnalyseSettings:
    """Exposure steps in so many bins."""
    return SETTINGS.model_copy(update={"order": SETTINGS.order.model_copy(update={"exposure_bins": steps})})


def test_at_the_margin_the_whole_decision_is_wrong_at_most_five_per_cent_of_the_time() -> None:
    panel = cells(np.random.default_rng(5), exposed=450, never=150)
    generator = np.random.default_rng(6)
    for claim in exposure.claims(SETTINGS).values():
        sign = -1 if claim.sided == "less" else 1
        simulate = simulation(panel, claim, SETTINGS)
        p = np.array([p_values(claim, simulate(generator, sign * claim.margin)) for _ in range(60)])
        assert (p < 0.05).mean(axis=0).max() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
        twice = np.array([p_values(claim, simulate(generator, sign * 4 * claim.margin)) for _ in range(20)])
        assert (twice[:, 0] < 0.05).mean() > 0.5


def test_a_slope_that_exceeds_the_margin_at_some_ages_alone_is_neither_ruled_out_nor_found() -> None:
    """Old traces of late exposures are much stronger; over all ages the straight part alone would be called refuted."""
    panel = cells(np.random.default_rng(8), step=-0.4, product=2.0)
    claim = exposure.claims(SETTINGS)["late-exposures-stronger"]
    fit = linear_part(panel, claim.id, SETTINGS)
    assert p_values(claim, fit.result(fit.names[0], panel.unit))[1] < 0.05, "the trap"
    result, told = judged(panel, claim, SETTINGS)
    assert "do not add up" in (objection(result) or "")
    assert told.p < 0.001
    low, high = told.slopes
    assert low < claim.margin < high
    again = simulation(panel, claim, SETTINGS)(np.random.default_rng(9), 0.0)
    assert "do not add up" in (objection(again) or ""), "the calibration tries the whole decision"


@pytest.mark.parametrize("product", [0.0, 0.3])
def test_where_all_ages_lie_on_one_side_of_the_margin_there_is_a_verdict(product: float) -> None:
    panel = cells(np.random.default_rng(8), step=1.0, age=1.0, product=product)
    for name, claim in exposure.claims(SETTINGS).items():
        result, told = judged(panel, claim, SETTINGS)
        assert objection(result) is None
        assert p_values(claim, result)[0] < 0.05
        assert f"p = {told.p:.2g}" in told.sentence()
        assert name == told.claim.id


def test_checkpoints_are_taken_evenly_over_training() -> None:
    logarithmic = np.r_[0, 2 ** np.arange(10), np.arange(1000, 144000, 1000)]
    chosen = even_steps(logarithmic, 24)
    assert len(chosen) == 24
    assert chosen[-1] == 143000
    assert np.ptp(np.diff(chosen)) <= 1000
    assert even_steps(np.array([0, 1, 50, 150, 300]), 24).tolist() == [1, 50, 150, 300]


def test_a_model_gets_its_table_and_claims_and_a_branch_none() -> None:
    context = analysis_context(recency(6.0))
    found = findings(context, exposure)
    assert {row["model"] for row in found.extra["exposure"]} == {"base"}
    assert {row["outcome"] for row in found.extra["exposure"]} == {"logprob", "score", "memorized"}
    decided = table(found.claims)
    assert set(decided["role"]) == {"descriptive"}
    assert set(decided["group"]) == {"", BETWEEN}
    assert decided["reason"].str.contains("product of exposure step and age has p = ").all()
    assert all("adds up" in c.note for c in found.calibrands)
    assert any("not yet seen carry the period's effect" in note for note in found.notes)


def test_rows_seen_more_than_once_and_panels_without_unseen_rows_are_left_out() -> None:
    run = next(runs(analysis_context(recency(6.0), models=("base",))))
    panel = cells_of(run, even_steps(run.steps, 24), "logprob")
    assert panel is not None
    once = run.exposures.groupby("item_id").size() == 1
    rows = run.items.loc[run.items["kind"] == "row", "item_id"]
    assert len(panel.outcome) == once.reindex(rows).fillna(False).sum()
    assert np.isfinite(panel.age[:, -1]).all(), "the last checkpoint has seen them all"
    assert cells_of(run, run.steps[-1:], "logprob") is None
    assert cells_of(run, run.steps, "unknown") is None
