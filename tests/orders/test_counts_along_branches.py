"""Counts of what a model was trained on equal those of its rows, laid end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trajectories import config
from trajectories.analysis import AnalysisContext
from trajectories.orders import RowReader, open_order
from trajectories.orders.writer import write_order
from trajectories.recipes import Settings
from trajectories.stimuli import Measure, Stimuli
from trajectories.suites import Suite
from trajectories.verbs.count import counted
from trajectories.verbs.stimuli import terms_table

ROWS = {name: np.random.default_rng(seed).integers(0, 8, (240, 129)).astype(np.uint16) for seed, name in enumerate(["standard", "swapped"])}
TERMS = pd.DataFrame({"term": ["often", "two forms", "two forms", "never"], "input_ids": [[1], [2, 3], [4], [9, 9]]})
PAIRS = pd.DataFrame({"term": ["often", "never"], "other": ["two forms", "often"]})
SEEN = {"mini-s": [("standard", 0, 30)], "mini-s-swapped": [("standard", 0, 20), ("swapped", 20, 30)]}
SEEN["back"] = [("standard", 0, 20), ("swapped", 20, 25), ("standard", 25, 30)]


def naive(rows: np.ndarray) -> list[int]:
    """What is asked for, by looking at every place of each document."""
    found = np.zeros(5, int)
    for row in rows[:, :-1]:
        for document in np.split(row, np.flatnonzero(row == 0) + 1):
            often, forms = np.sum(document == 1), np.sum((document[:-1] == 2) & (document[1:] == 3)) + np.sum(document == 4)
            never = np.sum((document[:-1] == 9) & (document[1:] == 9))
            found += [often, forms, never, bool(often and forms), bool(often and never)]
    return found.tolist()


@pytest.fixture
def suite(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The miniature suite with a branch of its branch, which goes on in the standard order."""
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(checkout / "tests" / "data" / "suites"))
    found = config.resolve({"suite": "miniature", "experiments": ["knowledge"]}).suite
    changes = {"name": "back", "parent": "mini-s-swapped", "branch_step": 25, "order": "standard", "steps": [28, 30]}
    return found.model_copy(update={"models": [*found.models, found.model("mini-s-swapped").model_copy(update=changes)]})


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RowReader]:
    folder = tmp_path_factory.mktemp("orders")
    for name, rows in ROWS.items():
        write_order(folder / name, name, rows, 8, 20_003)
    return {name: open_order(folder / name) for name in ROWS}


def in_both(readers: dict[str, RowReader], suite: Suite, tokens: int) -> pd.DataFrame:
    shown = pd.DataFrame({"item_id": ["i"], "input_ids": [[0, 1]], "start": 1, "end": 2})
    wanted = terms_table(Stimuli(shown, [Measure("logprob")], terms=TERMS, together=PAIRS))
    found = []
    for name, reader in readers.items():
        extra = {"steps": suite.steps_of(name), "tokens": tokens}
        found.append(counted(Settings(suite, {}, 3, extra, "c" * 16), wanted, reader)[0])
    return pd.concat(found, ignore_index=True)


def counts_of(suite: Suite, table: pd.DataFrame, model: str) -> pd.DataFrame:
    nothing = pd.DataFrame()
    return AnalysisContext(
        suite=suite, settings=None, seed=1, checkpoints=nothing, left_out=nothing, stimuli=None, exposures=None, truth=lambda name: nothing,
        has_truth=True, published=None, read=lambda name, step: nothing,
        history={m.name: suite.history(m.name) for m in suite.models}, counted=table,
    ).counts_of(model)  # fmt: skip


@pytest.mark.parametrize("model", list(SEEN))
def test_a_model_has_seen_its_parents_rows_up_to_the_branch_and_then_its_own(
    readers: dict[str, RowReader], suite: Suite, model: str
) -> None:
    found = counts_of(suite, in_both(readers, suite, 10**9), model)
    assert not found.duplicated(["term", "other", "step"]).any()
    assert set(found["step"]) >= set(suite.model(model).all_steps)
    seen = np.concatenate([ROWS[order][8 * start : 8 * end] for order, start, end in SEEN[model]])
    for step, at in found.groupby("step"):
        assert at["count"].tolist() == naive(seen[: 8 * int(str(step))]), step
    assert not found["stderr"].any()


def test_samples_of_both_orders_tell_a_branchs_counts_within_their_errors(readers: dict[str, RowReader], suite: Suite) -> None:
    found = counts_of(suite, in_both(readers, suite, 100 * 129), "mini-s-swapped").query("step == 30")
    seen = np.concatenate([ROWS[order][8 * start : 8 * end] for order, start, end in SEEN["mini-s-swapped"]])
    off = (found["count"] - naive(seen)).abs()
    assert (found["stderr"] > 0).all()
    assert (off <= 4 * found["stderr"]).all()
    assert (found["stderr"][:2] < 0.2 * found["count"][:2]).all(), "errors so wide would hide anything"
