"""Canaries of known truth: effects of their place, at the last checkpoint and at equal age, and of their copies; their design recovered."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from memorization.world import COPIES, STEPS, World, analysis_context, trend, world
from trajectories.experiments.memorization.effects import Block, by_mix, effect, mix
from trajectories.experiments.memorization.fresh import fresh as fresh_of
from trajectories.experiments.memorization.parts import canaries
from trajectories.experiments.memorization.planted_canaries import design, monotone
from trajectories.experiments.memorization.regressions import LOGPROB, MEMORIZED
from trajectories.experiments.memorization.run import Run, runs
from trajectories.findings import Findings
from trajectories.nano.canaries import design as drawn
from trajectories.nano.settings import training
from trajectories.statistics.claims import table
from trajectories.suites import load_suite


@cache
def base() -> Run:
    return next(runs(analysis_context(trend(0.0), models=("base",))))


@cache
def found() -> Findings:
    findings = Findings()
    canaries.analyse(base(), analysis_context(trend(0.0)), findings)
    return findings


def _made(run: Run, slope: float, forgetting: float, period: float = 0.0) -> Run:
    """The run with outcomes that follow the place and the age of each canary, and the time of the checkpoint."""
    generator = np.random.default_rng(2)
    seen = run.exposures.groupby("item_id")
    place = seen["row"].mean().reindex(run.items["item_id"]).to_numpy() / (STEPS * 16 - 1)
    last = seen["step"].max().reindex(run.items["item_id"]).to_numpy()
    age = np.maximum(run.steps[None, :] - 1 - last[:, None], 0) / STEPS
    y = slope * place[:, None] - forgetting * age + 0.2 * generator.standard_normal((len(place), len(run.steps)))
    y = np.where(last[:, None] < run.steps[None, :], y, 0.2 * generator.standard_normal(y.shape)) + period * run.steps[None, :] / STEPS
    return Run(run.model, run.steps, run.window, True, run.items, run.exposures, run.outcomes | {"logprob": y})


def test_a_planted_effect_of_the_place_is_found_at_the_last_checkpoint() -> None:
    verdicts = {}
    for slope in (0.0, 1.0):
        findings = Findings()
        canaries.analyse(_made(base(), slope, 0.0), analysis_context(trend(0.0)), findings)
        verdicts[slope] = table(findings.claims).set_index("id")["verdict"]
    assert verdicts[1.0]["late-canaries-likelier"] == verdicts[1.0]["fresh-canaries-likelier"] == "supported"
    assert verdicts[0.0]["late-canaries-likelier"] != "supported"


def test_forgetting_shows_at_the_last_checkpoint_and_not_at_equal_age() -> None:
    run = _made(base(), slope=0.0, forgetting=3.0)
    late, fresh = canaries.regress(canaries.placed(run)), canaries.regress(fresh_of(run))
    assert late is not None
    assert fresh is not None
    assert late[LOGPROB].result().ci_low > 0.5
    assert fresh[LOGPROB].result().ci_low < 0 < fresh[LOGPROB].result().ci_high


def test_an_effect_of_the_place_shows_at_equal_age_whatever_is_forgotten() -> None:
    fresh = canaries.regress(fresh_of(_made(base(), slope=1.0, forgetting=3.0)))
    assert fresh is not None
    result, unit = fresh[LOGPROB].result(), fresh[LOGPROB].unit
    assert result.ci_low - 0.1 < 1.0 / unit < result.ci_high + 0.1


def _with_never(run: Run) -> Run:
    """The run as if every fourth canary had never been planted."""
    unplanted = run.items.loc[run.items["kind"] == "canary", "item_id"].sort_values().iloc[::4]
    return replace(run, exposures=run.exposures[~run.exposures["item_id"].isin(unplanted)].reset_index(drop=True))


def _of(run: Run, claim: str) -> pd.Series:
    findings = Findings()
    canaries.analyse(run, analysis_context(trend(0.0)), findings)
    return table(findings.claims).set_index("id").loc[claim]


def test_what_the_period_does_to_any_canary_is_taken_out_at_equal_age() -> None:
    plain = _made(base(), slope=0.0, forgetting=0.0, period=3.0)
    without, with_ = (_of(run, "fresh-canaries-likelier") for run in (plain, _made(_with_never(base()), 0.0, 0.0, period=3.0)))
    assert without["ci_low"] > 1
    assert "too few canaries are never planted" in without["reason"]
    assert with_["ci_low"] < 0 < with_["ci_high"]
    assert "variance between never-planted canaries added" in with_["method"]
    assert "too few canaries are never planted" not in with_["reason"]
    effect_too = _of(_made(_with_never(base()), 1.0, 0.0, period=3.0), "fresh-canaries-likelier")
    assert effect_too["verdict"] == "supported"


def test_the_interval_holds_the_error_of_the_never_planted_canaries_mean() -> None:
    generator, found_ = np.random.default_rng(1), []
    place = np.linspace(0, 1, 150)
    x = np.column_stack([np.ones(150), place])
    for _ in range(200):
        never = generator.standard_normal((25, 1)) * place + 0.1 * generator.standard_normal((25, 150))
        y = 0.5 * generator.standard_normal(150) - never.mean(axis=0)
        found_.append(effect(LOGPROB, [Block(y[:, None], x, ("intercept", "position"), np.arange(150), True, never)], scale=1.0))
    spread = np.std([r.estimate for r in found_])
    assert np.mean([r.stderr for r in found_]) == pytest.approx(spread, rel=0.15)
    covered = np.mean([r.ci_low < 0 < r.ci_high for r in found_])
    assert 0.84 < covered < 0.96


def test_slopes_of_few_and_many_copies_stand_beside_the_average() -> None:
    generator = np.random.default_rng(3)
    copies, place = np.tile([1, 4, 16, 64], 50), generator.random(200)
    y = np.where(copies > 4, 1.0, -1.0) * place + 0.3 * generator.standard_normal(200)
    sample = pd.DataFrame({"n_seen": copies, "place": place, "logprob": y, "memorized": generator.random(200) < 0.5})
    fitted = canaries.regress(sample)
    assert fitted is not None
    parts = by_mix(canaries.block(sample, fitted[LOGPROB]), copies)
    assert [name for name, _ in parts] == ["at most 4 copies", "more than 4 copies"]
    assert parts[0][1].ci_high < 0 < parts[1][1].ci_low
    unit = fitted[LOGPROB].unit
    assert [result.estimate * unit for _, result in parts] == pytest.approx([-1.0, 1.0], abs=0.15)
    assert "depends on the mix of their copies" in mix(parts)
    assert mix(by_mix(canaries.block(sample, fitted[LOGPROB]), np.ones(200))) == ""
    assert "depends on the mix of their copies" in _of(base(), "late-canaries-likelier")["reason"]


def test_the_unit_does_not_grow_with_the_spread_of_copies() -> None:
    generator = np.random.default_rng(4)
    copies, place = np.tile([1, 4, 16, 64], 100), generator.random(400)
    y = 5 * np.log2(copies) + 0.5 * place + 0.5 * generator.standard_normal(400)
    sample = pd.DataFrame({"n_seen": copies, "place": place, "logprob": y, "memorized": generator.random(400) < 0.5})
    fitted = canaries.regress(sample)
    assert fitted is not None
    result = effect(LOGPROB, [canaries.block(sample, fitted[LOGPROB])])
    assert result.ci_low < 1.0 < result.ci_high
    assert result.estimate == pytest.approx(fitted[LOGPROB].result().estimate)


def test_places_that_cover_a_part_of_training_give_no_verdict_on_all_of_it() -> None:
    run = _made(base(), slope=1.0, forgetting=0.0)
    late = replace(run, exposures=run.exposures[run.exposures["step"] > 2 * STEPS // 3].reset_index(drop=True))
    for claim in ("late-canaries-likelier", "fresh-canaries-likelier", "fresh-canaries-memorized"):
        found_ = _of(late, claim)
        assert found_["verdict"] == "inconclusive"
        if claim != "fresh-canaries-memorized":  # which has too few events besides
            assert "of training, and the claim is about all of it" in found_["reason"]


def test_a_canary_at_equal_age_is_measured_at_the_first_checkpoint_after_its_last_copy() -> None:
    run = base()
    table_ = fresh_of(run).set_index("item_id")
    last = run.exposures.groupby("item_id")["step"].max()
    for item, row in table_.iterrows():
        after = run.steps[run.steps > last[item]]
        assert row["step"] == after[0]
        assert row["age"] == pytest.approx((after[0] - 1 - last[item]) / run.final)
    assert (table_["age"] >= 0).all()
    items = run.items.set_index("item_id").index
    example = table_.index[0]
    column = int(np.flatnonzero(run.steps == table_.loc[example, "step"])[0])
    assert table_.loc[example, "logprob"] == run.outcomes["logprob"][items.get_loc(example), column]


def test_the_slope_does_not_hang_on_how_often_canaries_were_planted() -> None:
    """Places are drawn within each number of copies, so levels of copies take up their own effect whatever its shape."""
    run = base()
    sample = canaries.placed(run)
    sample = sample[sample["n_seen"] > 0]
    bent = sample.assign(logprob=np.where(sample["n_seen"] >= 8, 5.0, 0.0) + 0.01 * np.random.default_rng(0).standard_normal(len(sample)))
    fitted = canaries.regress(bent)
    assert fitted is not None
    assert abs(fitted[LOGPROB].result().estimate) * fitted[LOGPROB].unit < 0.01
    assert fitted[MEMORIZED].names[:2] == ("intercept", "position")


def test_more_copies_are_found_to_make_memorization_likelier_by_what_was_planted() -> None:
    result = canaries.doublings(canaries.placed(base()))
    # the world plants 1.5 in the log odds of each doubling; other noise in the odds draws the slope towards 0 a little
    assert result.ci_low - 0.3 < 1.5 < result.ci_high + 0.3
    assert table(found().claims).set_index("id").loc["more-copies-memorized", "verdict"] == "supported"


def test_canaries_with_one_number_of_copies_tell_nothing_about_copies() -> None:
    sample = canaries.placed(base())
    assert canaries.doublings(sample[sample["n_seen"] == 4]).problem is not None
    assert canaries.regress(sample.head(5)) is None


def test_the_design_is_recovered_and_a_broken_one_is_not() -> None:
    run, planted = base(), world().canaries
    rows = pd.DataFrame(design(run, planted)).set_index("parameter")
    assert rows["covered"].all()
    assert {f"exposures of canaries with {c} copies" for c in COPIES} < set(rows.index)
    assert abs(rows.loc["correlation of a canary's place with its number of copies", "estimate"]) < 0.2
    broken = planted.assign(
        repetitions=planted["repetitions"] + 1, window_end=planted["window_start"] + 2, incidental_grams=np.arange(len(planted))
    )
    rows = pd.DataFrame(design(run, broken)).set_index("parameter")
    assert not rows.loc[[f"exposures of canaries with {c + 1} copies" for c in COPIES], "covered"].any()
    assert not rows.loc["steps from a canary's first to its last copy", "covered"]
    assert not rows.loc["pieces of canaries outside their planted copies", "covered"]


def test_places_that_follow_the_copies_are_no_randomization() -> None:
    made: World = world()
    order = made.canaries.sort_values("repetitions")["canary_id"].tolist()
    shown = base().exposures.copy()
    rank = base().items.set_index("item_id")["canary_id"].map({name: i for i, name in enumerate(order)})
    where = shown["item_id"].map(rank)
    shown["step"] = np.where(where.notna(), where.fillna(0) / len(order) * (STEPS - 1), shown["step"]).astype(int)
    run = base()
    rows = pd.DataFrame(design(Run(run.model, run.steps, run.window, True, run.items, shown, run.outcomes), made.canaries))
    rows = rows.set_index("parameter")
    assert not rows.loc["correlation of a canary's place with its number of copies", "covered"]


def test_extraction_that_falls_with_copies_is_not_covered() -> None:
    panel = pd.DataFrame({"n_all": np.repeat([1, 2], 60), "memorized": np.repeat([True, False], 60)})
    (row,) = monotone(panel, "m", 1)
    assert row["estimate"] == 1.0
    assert not row["covered"]
    (row,) = monotone(panel.assign(memorized=~panel["memorized"]), "m", 1)
    assert row["covered"]


def test_the_designs_rows_stand_once_for_each_order() -> None:
    findings = Findings()
    context = analysis_context(trend(0.0))
    for run in runs(context):
        canaries.analyse(run, context, findings)
    rows = pd.DataFrame(findings.recovery)
    assert not rows.duplicated(["parameter", "model"]).any()
    assert set(rows.loc[rows["parameter"].str.startswith("mean place"), "model"]) == {"base", "branch"}, "each has an order of its own"


def test_the_trials_canaries_are_more_where_extraction_begins_than_nanos() -> None:
    counts = {name: training(load_suite(name)).canaries.counts for name in ("nano", "nano-trial")}
    assert all(training(load_suite(name)).canaries.never >= canaries.LEAST_CANARIES for name in counts)
    assert sum(counts["nano-trial"].values()) > sum(counts["nano"].values())
    assert all(counts["nano-trial"][c] > counts["nano"][c] for c in (8, 16, 32))
    plan = training(load_suite("nano-trial"))
    table_, copies = drawn(plan)
    assert copies["canary_id"].value_counts().reindex(table_["canary_id"], fill_value=0).tolist() == table_["repetitions"].tolist()
