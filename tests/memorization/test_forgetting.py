"""Forgetting: ages since the latest exposure, re-exposed rows leave the count, and a planted rate of forgetting comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from memorization.world import analysis_context, trend
from trajectories.experiments.memorization.parts import forgetting
from trajectories.experiments.memorization.run import Run, runs
from trajectories.experiments.memorization.settings import ForgettingSettings
from trajectories.findings import Findings

STEPS = np.array([0, 10, 20, 40, 80])


def items(n: int, kind: str = "row", group: int = 1) -> pd.DataFrame:
    names = [f"i{i}" for i in range(n)]
    return pd.DataFrame({"item_id": names, "kind": kind, "copy_group": np.arange(n) // group, "weight": 1.0})


def test_the_age_restarts_at_every_exposure_and_counts_from_the_step_after_it() -> None:
    exposures = pd.DataFrame({"item_id": ["i0", "i0", "i1"], "step": [9, 30, 10], "row": [0, 1, 2]})
    latest = forgetting.last_exposed(items(3), exposures, STEPS)
    assert latest.tolist() == [[-1, 10, 10, 31, 31], [-1, -1, 11, 11, 11], [-1, -1, -1, -1, -1]]


def test_what_is_retained_and_regained_is_counted_without_rows_shown_again() -> None:
    n = 60
    latest = np.full((n, 3), 5)
    latest[50:, 1:] = 12  # shown again between the first two checkpoints
    state = np.ones((n, 3), bool)
    state[:20, 1] = False  # forgotten …
    state[10:20, 2] = False  # … half of them for good
    found = pd.DataFrame(forgetting.between(state, latest, np.array([10, 20, 30]), np.arange(n))).set_index(["metric", "step"])
    assert found.loc[("retained", 20), ["value", "n"]].tolist() == [30 / 50, 50]
    assert found.loc[("retained", 30), ["value", "n"]].tolist() == [1.0, 40]
    assert found.loc[("regained", 30), ["value", "n"]].tolist() == [0.5, 20]
    assert ("regained", 20) not in found.index


def test_a_planted_rate_of_forgetting_is_found_by_age() -> None:
    generator = np.random.default_rng(1)
    n = 3000
    start = generator.integers(0, 60, n)
    life = generator.exponential(1 / 0.02, n)
    latest = np.where(start[:, None] < STEPS, start[:, None] + 1, -1)
    state = (latest >= 0) & (STEPS - latest < life[:, None])
    rows = pd.DataFrame(forgetting.curves(state, latest, STEPS, np.arange(n), generator, ForgettingSettings(intervals=3, replicates=49)))
    kept = rows[rows["what"] == forgetting.KEPT]
    assert kept["value"].iloc[0] == 1
    assert kept["value"].to_numpy() == pytest.approx(np.exp(-0.02 * kept["age"]), abs=0.05)
    assert kept["rate"].dropna().to_numpy() == pytest.approx(20, rel=0.25)
    again = rows[rows["what"] == forgetting.AGAIN]
    assert (again["value"] == 1).all()
    assert (again["ci_low"] > 0.95).all()


def test_copies_that_join_everything_leave_copy_groups_as_the_clusters() -> None:
    table = items(30, group=3)
    apart = pd.DataFrame({"item_id": table["item_id"], "step": np.arange(30)})
    assert len(np.unique(forgetting.groups(table, apart))) == 10
    joined = pd.concat([apart, apart.assign(step=5)])
    assert len(np.unique(forgetting.groups(table, joined))) == 10
    assert len(np.unique(forgetting.groups(items(30, "canary"), joined))) == 30
    pairs = apart.assign(step=np.arange(30) // 6)
    assert len(np.unique(forgetting.groups(items(60), pd.DataFrame({"item_id": items(60)["item_id"], "step": np.arange(60) // 3})))) == 20
    assert len(np.unique(forgetting.groups(table, pairs))) == 10


@pytest.fixture(scope="module")
def found() -> Findings:
    context = analysis_context(trend(0.3), models=["base"])
    gathered, finals = Findings(), []
    for run in runs(context):
        forgetting.analyse(run, context, gathered)
        finals.append(run.last())
    forgetting.compare(finals, context, gathered)
    return gathered


def test_the_part_describes_rows_and_canaries_apart_at_checkpoints_of_the_run(found: Findings) -> None:
    table = pd.DataFrame(found.trajectories)
    assert set(table["metric"]) == {"retained", "regained"}
    assert {"rows"} <= set(table["group"]) <= {"rows", "canaries"}  # fewer than 20 canaries are at risk here
    assert table["value"].between(0, 1).all()
    curves = pd.DataFrame(found.extra["forgetting"])
    assert set(curves["state"]) == {"memorized", "half of the tokens"}
    assert (curves.groupby(["group", "state", "what"])["value"].first() == 1).all()
    assert (curves["ci_low"] <= curves["value"] + 1e-9).all()


def test_without_any_memorized_row_the_table_is_empty() -> None:
    context = analysis_context(trend(0.0), models=["base"])
    run: Run = next(runs(context))
    none = {name: np.zeros_like(values) for name, values in run.outcomes.items()}
    gathered = Findings()
    forgetting.analyse(replace(run, outcomes=none), context, gathered)
    forgetting.compare([], context, gathered)
    assert gathered.extra["forgetting"] == []
    assert gathered.trajectories == []
