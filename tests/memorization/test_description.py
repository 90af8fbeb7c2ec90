"""Weighted shares and means, kinds of memorization, doubtful labels."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from memorization.world import analysis_context, trend
from scipy.special import expit
from trajectories.experiments.memorization.panel import clusters
from trajectories.experiments.memorization.parts import description, labels, taxonomy
from trajectories.experiments.memorization.parts.description import independent, mean, share
from trajectories.experiments.memorization.run import Run, runs
from trajectories.experiments.memorization.sample import either
from trajectories.findings import Findings
from trajectories.statistics.order_regression import design, firth_logistic

POPULATION, CONTROLS, CASES = 60_000, 3_000, 1_200


@cache
def base() -> Run:
    return next(iter(runs(analysis_context(trend(0.0), models=("base",)))))


def population(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows by their place, those that a larger model recites (a table lists them), and those that the model in question recites."""
    x = generator.random(POPULATION)
    larger = generator.random(POPULATION) < expit(-3.8 + 1.6 * x)
    # it recites a part of what the larger one does, less of the late rows, and a little that the larger one does not
    memorized = np.where(larger, generator.random(POPULATION) < expit(0.6 - 1.2 * x), generator.random(POPULATION) < 0.002)
    return x, larger, memorized


def two_phases(larger: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows drawn at random and cases drawn from the list, each once, with their weights."""
    first = generator.choice(POPULATION, CONTROLS, replace=False)
    listed = np.flatnonzero(larger)
    rows = np.union1d(first, generator.choice(listed, CASES, replace=False))
    return rows, 1 / either(np.full(len(rows), CONTROLS / POPULATION), larger[rows] * CASES / len(listed))


def test_weighted_shares_and_slopes_of_a_sample_with_cases_are_unbiased_and_unweighted_ones_are_not() -> None:
    generator = np.random.default_rng(1)
    x, larger, memorized = population(generator)
    columns, names = design(x)
    truth = firth_logistic(memorized, columns, np.arange(POPULATION), names).coefficients[1]
    found = []
    for _ in range(120):
        rows, weights = two_phases(larger, generator)
        y, ids = memorized[rows], np.arange(len(rows))
        weighted, plain = share(y, ids, weights), share(y, ids)
        slopes = [firth_logistic(y, columns[rows], ids, names, w).coefficients[1] for w in (weights, None)]
        found.append([weighted["value"], weighted["ci_low"] <= memorized.mean() <= weighted["ci_high"], plain["value"], *slopes])
    weighted, covered, plain, slope, plain_slope = np.mean(found, axis=0)
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert abs(weighted - memorized.mean()) < 3.5 * error[0]
    assert plain > 3 * memorized.mean(), "cases are overrepresented"
    assert covered > 0.89
    assert abs(slope - truth) < 3.5 * error[3] + 0.02
    assert abs(plain_slope - truth) > 6 * error[4], "what the list selects for depends on the place too"


def test_equal_weights_change_nothing_and_their_scale_does_not_matter() -> None:
    generator = np.random.default_rng(2)
    events, groups = generator.random(500) < 0.3, generator.integers(0, 80, 500)
    weights = generator.uniform(1, 5, 500)
    assert share(events, groups, np.full(500, 7.0)) == pytest.approx(share(events, groups))
    for statistic in (share, mean):
        assert statistic(events, groups, weights)["ci_low"] == pytest.approx(statistic(events, groups, 1000 * weights)["ci_low"])
        assert statistic(events, groups, weights)["value"] == pytest.approx(np.average(events, weights=weights))
        assert "weighted" in statistic(events, groups, weights)["method"]
        assert "weighted" not in statistic(events, groups)["method"]


def test_unequal_weights_widen_the_interval_of_a_share_without_events() -> None:
    none, ids = np.zeros(400, bool), np.arange(400)
    heavy = np.where(ids < 40, 20.0, 1.0)
    assert share(none, ids, heavy)["ci_high"] > 3 * share(none, ids)["ci_high"]


def test_batches_and_copies_are_the_clusters_until_they_chain_nearly_all_rows() -> None:
    panel = base().panel(base().final)
    once = panel[panel["n_seen"] == 1]
    found, how = independent(once, base().exposures, base().final)
    assert how == ""
    assert np.array_equal(found, clusters(once, base().exposures, base().final))
    chained = pd.DataFrame({"item_id": once["item_id"].iloc[:40], "copy_group": np.arange(40) // 2})
    everywhere = pd.DataFrame({"item_id": np.repeat(chained["item_id"].to_numpy(), 2), "step": (np.arange(80) + 1) // 2})
    found, how = independent(chained, everywhere, base().final)
    assert how == "copy groups as clusters"
    assert len(np.unique(found)) == 20


def test_every_group_of_rows_has_every_outcome_that_was_measured() -> None:
    found = Findings()
    context = analysis_context(trend(0.0), models=("base",))
    description.analyse(base(), context, found)
    table = pd.DataFrame(found.trajectories)
    last = table[table["step"] == base().final]
    assert set(last["group"]) == {"seen once", "just seen once", "seen more than once"}
    assert set(last["metric"]) == {"extractable", "matched", "score", "logprob"}
    assert set(table.loc[table["step"] == 0, "group"]) == {"not yet seen"}
    assert not table.duplicated(["step", "metric", "level", "group", "setting"]).any()
    assert (table["ci_low"] <= table["value"] + 1e-12).all()


def of_kinds(memorized: tuple[int, int, int], of: int = 100) -> pd.DataFrame:
    """A panel of three kinds of rows, so many of each memorized."""
    parts = []
    for kind, (copies, repeating, count) in enumerate(zip((9, 2, 5), (True, True, False), memorized, strict=True)):
        rows = {"n_all": copies, "n_seen": 1, "repeating": repeating, "counting": False, "memorized": np.arange(of) < count, "weight": 1.0}
        parts.append(pd.DataFrame(rows).assign(item_id=[f"{kind}-{i}" for i in range(of)], copy_group=kind * of + np.arange(of)))
    return pd.concat(parts, ignore_index=True)


def kinds(panel: pd.DataFrame) -> pd.DataFrame:
    exposures = pd.DataFrame({"item_id": panel["item_id"], "step": np.arange(len(panel))})
    found = pd.DataFrame(taxonomy.by_category(panel, exposures, 10_000, 5))
    return found.set_index(["metric", "group"])["value"].unstack()


def test_recited_reconstructed_and_recollected_rows_are_told_apart() -> None:
    found = kinds(of_kinds((60, 30, 10)))
    assert found.loc["composition", ["recite", "reconstruct", "recollect"]].tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert found.loc["extractable", ["recite", "reconstruct", "recollect"]].tolist() == pytest.approx([0.6, 0.3, 0.1])


def test_many_copies_are_recited_even_if_they_repeat_and_the_threshold_itself_is_not_many() -> None:
    panel = of_kinds((10, 10, 10), 20)
    assert taxonomy.categories(panel, 5).tolist() == ["recite"] * 20 + ["reconstruct"] * 20 + ["recollect"] * 20
    assert taxonomy.categories(panel, 4).tolist() == ["recite"] * 20 + ["reconstruct"] * 20 + ["recite"] * 20
    assert set(taxonomy.categories(panel.assign(n_all=1, repeating=False, counting=True), 5)) == {"reconstruct"}


def test_a_division_of_hardly_any_memorized_rows_is_not_described() -> None:
    assert "composition" not in kinds(of_kinds((5, 0, 0))).index


def test_the_shares_of_memorized_rows_add_up_to_one_in_a_weighted_sample() -> None:
    panel = of_kinds((60, 30, 10))
    found = kinds(panel.assign(weight=np.where(panel["repeating"], 1.0, 50.0)))
    assert found.loc["composition"].sum() == pytest.approx(1)
    assert found.loc["composition", "recollect"] == pytest.approx(500 / 590)


def test_labels_closer_than_the_precision_tells_apart_are_counted() -> None:
    margins = np.tile([[0.01], [0.2], [3.0], [0.04]], (1, 5))
    memorized = np.tile([[True], [False], [True], [False]], (1, 5))
    small = base()
    few = replace(small, items=small.items.iloc[:4], outcomes={"min_margin": margins, "memorized": memorized})
    for dtype, shares in {"float32": [0.0, 0.0], "float16": [0.5, 0.5], "bfloat16": [0.75, 0.5]}.items():
        found = Findings()
        run = replace(few, model=few.model.model_copy(update={"dtype": dtype}))
        labels.analyse(run, analysis_context(trend(0.0), models=("base",)), found)
        table = pd.DataFrame(found.trajectories)
        assert len(table) == 10
        assert [table.loc[table["group"] == group, "value"].iloc[0] for group in ("matched length", "memorized")] == shares
        assert f"measured in {dtype}" in found.notes[0]
    assert "15 of 20 matched lengths lie below, 5 of them of the 10 memorized" in found.notes[0]


def test_without_margins_no_label_is_judged() -> None:
    found = Findings()
    labels.analyse(replace(base(), outcomes={"memorized": base().outcomes["memorized"]}), analysis_context(trend(0.0)), found)
    assert not found.trajectories
