"""Memorized rows along the order: whether neighbours cluster, with and without copies, each row at its own place."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from memorization.world import ROWS_PER_STEP, K, L, Rows, analysis_context, measured, shown, stimuli_context, trend, world
from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.figures import process as drawn
from trajectories.experiments.memorization.parts import process
from trajectories.experiments.memorization.run import Run, runs
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.experiments.memorization.stimuli import stimuli
from trajectories.figures import FigureContext
from trajectories.findings import Findings
from trajectories.statistics.calibration import calibrate
from trajectories.statistics.claims import table
from trajectories.suites import MemorizedRows

SETTINGS = {"process": {"margin": 0.3, "replicates": 199, "widths": [2, 5, 20], "quantile_width": 50}}


def context(rate: float = 0.15, clustered: bool = False, models: tuple[str, ...] = ("base",)) -> AnalysisContext:
    """The world with memorized rows spread at random, or with all of them in a few batches."""

    def read(model: str, step: int) -> pd.DataFrame:
        found = measured(trend(0.0), model, step, rate)
        if clustered:
            exposures = shown().exposures.query("own and order == 'standard'").drop_duplicates("item_id").set_index("item_id")
            batch = found["item_id"].map(exposures["step"]).fillna(-1).astype(int)
            hot = np.random.default_rng(1).random(400) < 0.2
            memorized = hot[batch] & (np.random.default_rng(2).random(len(found)) < 0.7)
            found["matched"], found["memorized"] = np.where(memorized, 8, 2), memorized
        return found

    return replace(analysis_context(trend(0.0), rate, models, **SETTINGS), read=read)


@cache
def found(clustered: bool) -> Findings:
    given, gathered = context(clustered=clustered, models=("base", "branch")), Findings()
    finals = []
    for run in runs(given):
        process.analyse(run, given, gathered)
        finals.append(run.last())
    process.compare(finals, given, gathered)
    return gathered


def claims(clustered: bool) -> pd.DataFrame:
    return table(found(clustered).claims).set_index(["model", "group"])


def run_of(given: AnalysisContext) -> Run:
    return next(runs(given))


def test_memorized_rows_at_random_are_not_called_clusters() -> None:
    decided = claims(False)
    assert "supported" not in set(decided["verdict"])
    assert decided.loc[("base", ""), "verdict"] == "refuted"


def test_few_memorized_rows_do_not_show_homogeneity_and_the_claim_says_why() -> None:
    given, gathered = analysis_context(trend(0.0), 0.03, ("base",), process={"replicates": 199, "widths": [5]}), Findings()
    process.analyse(run_of(given), given, gathered)
    process.compare([], given, gathered)
    primary = table(gathered.claims).query("role == 'primary'").iloc[0]
    assert primary["n_events"] >= 20
    assert primary["verdict"] == "inconclusive"
    assert "pairs of them in one bin" in primary["reason"]
    assert "that takes more than 600 events" in primary["reason"]
    single = table(gathered.claims).query("group == 'rows without copies'").iloc[0]
    told = any("clusters that copies make cannot be told from others" in note for note in gathered.notes)
    assert told == (single["n_events"] < 20)


def test_memorized_batches_are_found_to_cluster_with_and_without_copies() -> None:
    decided = claims(True).loc["base"]
    assert set(decided["verdict"]) == {"supported"}
    assert decided.loc["", "estimate"] > 0.5
    assert len(decided) == 4


def test_a_model_has_one_primary_claim_and_a_branch_has_none() -> None:
    decided = claims(False).reset_index()
    assert decided.query("role == 'primary'")[["model", "group", "step"]].to_numpy().tolist() == [["base", "", 300]]
    assert [c.model for c in found(False).calibrands] == ["base", "base"]
    assert [c.test is None for c in found(False).calibrands] == [True, False]


def test_the_margin_and_the_width_are_those_of_the_configuration() -> None:
    claim = process.claims(AnalyseSettings.model_validate({"process": {"margin": 0.2, "width": 8}}))[process.CLAIM]
    assert claim.margin == 0.2
    assert "among 8 successive rows" in claim.prediction
    assert "1.2 times" in claim.prediction


def test_rows_without_copies_are_fewer_and_are_told_by_the_whole_order() -> None:
    run = run_of(context())
    rows = process.sampled(run, context())
    times = shown().exposures.query("order == 'standard'").groupby("item_id").size()
    names = run.items.loc[rows["item"], "item_id"]
    assert ((times[names].to_numpy() > 1) == rows["copies"].to_numpy()).all()
    assert 0 < rows["copies"].sum() < len(rows) / 4


def test_a_row_stands_where_it_was_sampled_and_not_where_its_copies_stand() -> None:
    given = context()
    run = run_of(given)
    rows = process.sampled(run, given)
    assert rows["row"].is_unique
    assert rows["row"].is_monotonic_increasing
    own = shown().exposures.query("own and order == 'standard'").set_index("item_id")["row"]
    assert (own[run.items.loc[rows["item"], "item_id"]].to_numpy() == rows["row"].to_numpy()).all()


def test_exposures_tell_the_sampled_row_from_its_copies_also_where_the_order_is_reversed() -> None:
    orders = {"standard": Rows(world().standard), "reversed": Rows(world().standard[::-1])}
    chosen = stimuli(replace(stimuli_context(rows=600), orders=orders))
    rows = chosen.table[chosen.table["kind"] == "row"].set_index("item_id")["input_ids"]
    own = chosen.exposures[chosen.exposures["own"] & chosen.exposures["item_id"].isin(rows.index)]
    at = {order: own[own["order"] == order].groupby("item_id")["row"].agg(set) for order in orders}
    assert (at["standard"].map(len) == 1).all()
    assert set(at["standard"].index) == set(rows.index)
    for item, (row,) in at["standard"].items():
        assert (world().standard[row, : K + L] == rows[item]).all()
        assert len(world().standard) - 1 - row in at["reversed"][item]
    assert (at["reversed"].map(len) == 1).mean() > 0.98, "two rows with the same tokens at the same place cannot be told apart there"
    assert len(chosen.exposures) > len(own), "copies are exposures too"


def test_where_the_own_exposure_is_unknown_each_row_of_a_text_gets_another_one_of_its_places() -> None:
    items = pd.DataFrame({"item_id": ["a", "b", "c", "d"], "copy_group": [0, 0, 1, 2]}, index=[3, 5, 7, 9])
    exposures = pd.DataFrame({"item_id": ["a"] * 3 + ["b"] * 3 + ["c"], "row": [10, 20, 30, 10, 20, 30, 40]})
    places = process.own_places(items, exposures, np.random.default_rng(1))
    assert set(places.loc[[3, 5], "row"]) < {10, 20, 30}
    assert places["row"].nunique() == 3
    assert places.loc[7].tolist() == [40, 1]
    assert places["n_all"].tolist() == [3, 3, 1, 0]
    assert np.isnan(places.loc[9, "row"])
    known = exposures.assign(own=[True, False, False, False, True, True, True])
    places = process.own_places(items, known, np.random.default_rng(1))
    assert places.loc[3, "row"] == 10
    assert places.loc[5, "row"] in (20, 30)


def test_a_checkpoint_has_only_the_rows_that_it_has_seen_as_trials() -> None:
    given = context()
    run = run_of(given)
    rows = process.sampled(run, given)
    column = run.steps.tolist().index(150)
    everything, settled = (process.process_of(run, rows, column, process.Trials("", True, recent), 0.1) for recent in (True, False))
    assert everything.n == (rows["row"] < 150 * ROWS_PER_STEP).sum()
    assert settled.n == (rows["row"] <= 0.9 * (150 * ROWS_PER_STEP - 1)).sum()


def test_canaries_and_never_seen_rows_are_no_trials() -> None:
    given = context()
    run = run_of(given)
    rows = process.sampled(run, given)
    assert set(run.items.loc[rows["item"], "kind"]) == {"row"}


def test_rows_that_were_drawn_because_they_are_memorized_are_thinned_to_the_others_chance() -> None:
    given = context()
    run = run_of(given)
    listed = MemorizedRows(repository="owner/name", split="a")
    orders = {name: order.model_copy(update={"memorized": listed}) for name, order in given.suite.orders.items()}
    case = (np.arange(len(run.items)) % 2 == 0) & (run.items["kind"] == "row").to_numpy()
    weighted = replace(run, items=run.items.assign(weight=np.where(case, 1.0, 20.0)))
    with_cases = replace(given, suite=given.suite.model_copy(update={"orders": orders}))
    rows = process.sampled(weighted, with_cases)
    kept = case[rows["item"]].sum() / case.sum()
    assert 0.02 < kept < 0.09
    assert (~case[rows["item"]]).sum() == (~case & (run.items["kind"] == "row").to_numpy()).sum()
    assert len(process.sampled(weighted, given)) == len(process.sampled(run, given)), "weights alone thin nothing"


def test_the_index_is_a_trajectory_over_checkpoints_with_enough_memorized_rows() -> None:
    rows = pd.DataFrame(found(False).trajectories)
    assert set(rows["metric"]) == {"dispersion_index"}
    assert set(rows.query("model == 'base'")["step"]) == {50, 150, 300}
    assert set(rows["group"]) == {"all rows seen", "rows without copies"}
    assert not rows.duplicated(["model", "step", "group"]).any()
    assert (rows["ci_low"] < rows["value"]).all()


def test_tables_have_every_model_subset_and_width() -> None:
    extra = {name: pd.DataFrame(rows) for name, rows in found(True).extra.items()}
    assert set(extra) == {"process", "process_checks", "process_counts", "process_gaps", "process_autocorrelation", "process_trend"}
    assert not extra["process"].duplicated(["model", "subset", "width"]).any()
    assert set(extra["process"]["width"]) == {2, 5, 20}
    assert extra["process"].query("deciding")["width"].unique().tolist() == [5]
    checks = extra["process_checks"].set_index(["model", "subset"]).loc[("base", "all rows seen")]
    assert checks["gap_p"] < 0.05
    assert checks["gap_deviation"] > 0


@pytest.mark.parametrize("law", [0, 1], ids=["beta-binomial", "rare clusters"])
def test_the_calibration_plants_the_index_that_it_says_and_keeps_wrong_verdicts_rare(law: int) -> None:
    chosen = found(False).calibrands[law]
    estimates = [chosen.simulate(np.random.default_rng(i), 0.2).estimate for i in range(60)]
    assert np.mean(estimates) == pytest.approx(0.2, abs=4 * np.std(estimates) / np.sqrt(60))
    rates = calibrate(chosen.claim, chosen.simulate, n_sim=100, seed=1, truths=(0.0, 1.0))
    assert rates["rate_supported"].max() <= 0.12
    assert rates["rate_refuted"].iloc[1] <= 0.12
    assert rates["rate_refuted"].iloc[0] > 0.1


def test_too_few_memorized_rows_leave_the_claim_open() -> None:
    given, gathered = context(rate=0.002), Findings()
    process.analyse(run_of(given), given, gathered)
    primary = table(gathered.claims).query("role == 'primary'").iloc[0]
    assert primary["verdict"] == "inconclusive"
    assert "a verdict needs at least 20" in primary["reason"]
    assert gathered.calibrands[0].objection is not None
    assert set(gathered.extra) <= {"process"}


def test_a_model_that_has_seen_nothing_leaves_every_claim_open() -> None:
    given, gathered = context(), Findings()
    given = replace(given, checkpoints=given.checkpoints[given.checkpoints["step"] == 0])
    process.analyse(run_of(given), given, gathered)
    assert set(table(gathered.claims)["verdict"]) == {"inconclusive"}
    assert not gathered.trajectories


def figure_context(gathered: Findings) -> FigureContext:
    tables = {name: pd.DataFrame(rows) for name, rows in gathered.extra.items()}
    trajectories = pd.DataFrame(gathered.trajectories, columns=["model", "step", "metric", "group", "value", "ci_low", "ci_high", "n"])
    given: Any = {"suite": None, "settings": None, "calibration": None, "recovery": None}
    return FigureContext(
        **given,
        trajectories=trajectories.assign(parameters_non_embedding=500, tokens=trajectories["step"] * 512),
        claims=table(gathered.claims),
        extra=lambda name: tables[name],
    )


def test_figures_show_widths_counts_gaps_autocorrelation_and_trend() -> None:
    figures = drawn.figures(figure_context(found(True)))
    assert [f.name.removeprefix("process-") for f in figures] == [
        "widths", "counts", "gaps", "autocorrelation", "trend", "training", "variants",
    ]  # fmt: skip
    for figure in figures:
        assert figure.caption.endswith(".")
        assert figure.chart.to_dict()


def test_without_memorized_rows_there_is_nothing_to_draw() -> None:
    given, gathered = context(rate=0.0005), Findings()
    process.analyse(run_of(given), given, gathered)
    assert drawn.figures(figure_context(gathered)) == []
