"""Prediction: precision, recall and areas of planted forecasts; checkpoints and models of a run described over rows and canaries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from memorization.world import STEPS_KEPT, analysis_context, trend
from trajectories.experiments.memorization.parts import prediction
from trajectories.experiments.memorization.parts.prediction import Side
from trajectories.experiments.memorization.run import runs
from trajectories.findings import Findings


def sides(precision: float, recall: float, n: int = 4000, rate: float = 0.1) -> tuple[Side, Side]:
    """A forecast with planted precision and recall of its target."""
    generator = np.random.default_rng(3)
    target = np.arange(n) < rate * n
    hits = target & (generator.random(n) < recall)
    predicted = hits | (~target & (generator.random(n) < hits.sum() * (1 / precision - 1) / (~target).sum()))
    return Side(predicted, predicted + generator.standard_normal(n)), Side(target, target + generator.standard_normal(n))


def test_a_planted_forecast_comes_back_with_intervals_around_it() -> None:
    a, b = sides(0.8, 0.6)
    found = dict(prediction.forecast(a, b, np.arange(4000) // 2, np.ones(4000), np.ones(4000, bool)))
    for metric, truth in {"base_rate": 0.1, "precision": 0.8, "recall": 0.6, "f1": 2 * 0.8 * 0.6 / 1.4}.items():
        assert found[metric]["ci_low"] < truth < found[metric]["ci_high"], metric
    assert found["phi"]["value"] == pytest.approx(np.corrcoef(a.memorized, b.memorized)[0, 1])
    assert found["auc"]["value"] > 0.6


def test_weights_of_a_sample_that_took_more_of_one_sort_restore_the_share() -> None:
    a, b = sides(0.8, 0.6)
    kept = b.memorized | (np.arange(4000) % 10 == 0)
    weights = np.where(b.memorized, 1.0, 10.0)[kept]
    found = dict(
        prediction.forecast(*(Side(s.memorized[kept], s.logprob[kept]) for s in (a, b)), np.arange(kept.sum()), weights, kept[kept])
    )
    assert found["base_rate"]["value"] == pytest.approx(0.1, abs=0.01)
    assert found["precision"]["value"] == pytest.approx(0.8, abs=0.08)


def test_only_rows_that_the_predictor_has_seen_are_judged_and_too_few_are_not() -> None:
    a, b = sides(0.8, 0.6)
    seen = np.arange(4000) < 40
    assert dict(prediction.forecast(a, b, np.arange(4000), np.ones(4000), seen))["base_rate"]["n"] == 40
    assert not dict(prediction.forecast(a, b, np.arange(4000), np.ones(4000), np.arange(4000) < 10))
    assert not dict(prediction.forecast(a, b, np.arange(4000), np.ones(4000), np.arange(4000) > 2000))


def test_a_matrix_has_each_pair_once_and_leaves_out_what_does_not_vary() -> None:
    a, b = sides(0.8, 0.6)
    none = Side(np.zeros(4000, bool), a.logprob)
    found = pd.DataFrame(prediction.correlations([("1", none), ("2", a), ("3", b)]))
    assert len(found[found["measure"] == "memorized"]) == 1
    assert len(found[found["measure"] == "log-probability"]) == 3
    assert found.query("measure == 'log-probability' and a == '1' and b == '2'")["value"].iloc[0] == pytest.approx(1)


def test_the_part_describes_checkpoints_and_models() -> None:
    context = analysis_context(trend(0.3))
    found, finals = Findings(), []
    for run in runs(context):
        prediction.analyse(run, context, found)
        finals.append(run.last())
    prediction.compare(finals, context, found)
    table = pd.DataFrame(found.trajectories)
    assert set(table.loc[table["model"] == "base", "step"]) <= set(STEPS_KEPT[:-1])
    assert not table.duplicated(["model", "step", "metric", "level", "group", "setting"]).any()
    pairs = pd.DataFrame(found.extra["prediction"])
    assert set(pairs["predictor"]) == {"branch"}  # the smaller of the two
    assert set(pairs["target"]) == {"base"}
    assert set(pairs["kind"]) == {"rows", "canaries"}
    correlations = pd.DataFrame(found.extra["correlations"])
    assert {"models", "base", "branch"} == set(correlations["among"])
