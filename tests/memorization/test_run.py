"""One model's measurements as runs: one per window, shorter spans following from the longest."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from memorization.world import analysis_context, stimuli_context, suite, trend, world
from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.run import Run, Window, runs, scored, windows
from trajectories.experiments.memorization.stimuli import stimuli
from trajectories.stimuli import Stimuli

LONGEST = 8


@cache
def wide() -> Stimuli:
    """Two k, two offsets and three l; the first of each decides."""
    return stimuli(stimuli_context(rows=300, k=[8, 4], l=[5, 8, 2], offset=[0, 12]))


def measured(table: pd.DataFrame, step: int) -> pd.DataFrame:
    """Random measurements of the longest span, as extraction writes them."""
    generator = np.random.default_rng(step)
    right = generator.random((len(table), LONGEST)) < 0.8
    right[::5] = True
    matched = np.where(right.all(axis=1), LONGEST, right.argmin(axis=1))
    logprobs = -generator.exponential(1.0, (len(table), LONGEST)).astype(np.float32)
    return pd.DataFrame(
        {
            "item_id": table["item_id"],
            "logprob": logprobs.sum(axis=1, dtype=float),
            "n_tokens": LONGEST,
            "token_logprobs": list(logprobs),
            "matched": matched,
            "memorized": matched == LONGEST,
            "min_margin": generator.exponential(1.0, len(table)),
            "hits": list(right),
            "score": right.mean(axis=1),
        }
    ).sample(frac=1, random_state=step)


@cache
def context() -> AnalysisContext:
    return replace(
        analysis_context(trend(0.0)), stimuli=wide().table.drop(columns="input_ids"), exposures=wide().exposures,
        read=lambda model, step: measured(wide().table, step),
    )  # fmt: skip


@cache
def found() -> list[Run]:
    return list(runs(context()))


def test_every_model_has_a_run_for_each_window_and_the_first_decides() -> None:
    assert len(found()) == 2 * 2 * 2 * 3
    for model in ("base", "branch"):
        own = [run for run in found() if run.model.name == model]
        assert [run.primary for run in own] == [True] + [False] * 11
        assert own[0].window == Window(8, 5, 0)
        assert len({run.window for run in own}) == 12
        assert {(run.window.k, run.window.l, run.window.offset) for run in own} == {
            (k, n, o) for k in (8, 4) for n in (5, 8, 2) for o in (0, 12)
        }
    assert str(found()[0].window) == "k=8,l=5,offset=0"


def test_the_windows_of_a_single_one_are_that_one() -> None:
    table = stimuli(stimuli_context(rows=50)).table
    assert windows(table) == [Window(8, 8, 0)]


def test_a_runs_items_and_outcomes_belong_together_at_every_step() -> None:
    for run in found()[:12]:
        assert (run.items["k"] == run.window.k).all()
        assert (run.items["offset"] == run.window.offset).all()
        assert set(run.exposures["item_id"]) <= set(run.items["item_id"])
        for i, step in enumerate(run.steps.tolist()):
            table = measured(wide().table, step).set_index("item_id").loc[run.items["item_id"]]
            n = run.window.l
            assert np.array_equal(run.outcomes["memorized"][:, i], table["matched"] >= n)
            assert np.allclose(run.outcomes["matched"][:, i], np.minimum(table["matched"], n) / n)
            assert np.allclose(run.outcomes["score"][:, i], [h[:n].mean() for h in table["hits"]])
            assert np.allclose(run.outcomes["logprob"][:, i], [t[:n].mean() for t in table["token_logprobs"]], atol=1e-6)
            assert np.array_equal(run.outcomes["min_margin"][:, i], table["min_margin"])


def test_what_is_memorized_through_a_long_span_is_so_through_every_shorter_one() -> None:
    by_length = {run.window.l: run for run in found()[:12] if run.window.k == 8 and run.window.offset == 0}
    share = {n: run.outcomes["memorized"] for n, run in by_length.items()}
    assert (share[8] <= share[5]).all()
    assert (share[5] <= share[2]).all()
    assert share[2].mean() > share[8].mean()


def test_the_last_checkpoint_alone_gives_the_same_panel() -> None:
    run = found()[0]
    assert run.last().steps.tolist() == [run.final]
    pd.testing.assert_frame_equal(run.last().panel(run.final), run.panel(run.final))


def test_a_panel_is_of_one_kind_and_rows_that_the_order_never_shows_are_not_in_it() -> None:
    run = found()[0]
    rows, canaries = run.panel(run.final), run.panel(run.final, "canary")
    assert (rows["kind"] == "row").all()
    assert len(canaries) == len(world().canaries)
    assert (rows["n_all"] >= 1).all()
    assert (rows["n_seen"] == rows["n_all"]).all()
    assert (run.panel(0)["n_seen"] == 0).all()


def test_a_canary_that_no_order_shows_is_kept_and_a_row_is_not() -> None:
    whole = analysis_context(trend(0.0), models=("base",))
    assert whole.stimuli is not None
    assert whole.exposures is not None
    gone = whole.stimuli.groupby("kind")["item_id"].first()
    run = next(runs(replace(whole, exposures=whole.exposures[~whole.exposures["item_id"].isin(gone)])))
    assert gone["canary"] in set(run.items["item_id"])
    assert gone["row"] not in set(run.items["item_id"])
    panel = run.panel(run.final, "canary").set_index("item_id")
    assert panel.loc[gone["canary"], "n_all"] == panel.loc[gone["canary"], "n_seen"] == 0


def test_a_branch_sees_its_parents_rows_until_it_begins() -> None:
    branch = next(run for run in found() if run.model.name == "branch")
    assert (branch.exposures["step"] >= suite().model("branch").branch_step)[branch.exposures["order"] == "swapped"].all()
    assert (branch.exposures["step"] < suite().model("branch").branch_step)[branch.exposures["order"] == "standard"].all()


def test_an_item_that_was_not_measured_is_an_error_and_no_silent_zero() -> None:
    short = replace(context(), read=lambda model, step: measured(wide().table, step).iloc[1:])
    with pytest.raises(KeyError):
        list(runs(short))


def test_outcomes_of_a_whole_span_need_no_single_tokens() -> None:
    table = measured(wide().table, 1)
    whole = scored(table.drop(columns=["token_logprobs", "hits"]), LONGEST)
    parts = scored(table.assign(n_tokens=LONGEST), LONGEST)
    assert whole.keys() == parts.keys() == {"memorized", "matched", "score", "logprob", "min_margin"}
    assert all(np.allclose(whole[name], parts[name]) for name in whole)
    assert "score" not in scored(table.drop(columns=["score", "hits"]), LONGEST)
