"""The experiment's stimuli and exposures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from memorization.world import BRANCH, ROWS_PER_STEP, K, L, shown, stimuli_context, world
from trajectories.errors import UserError
from trajectories.experiments.memorization.settings import unavailable
from trajectories.experiments.memorization.stimuli import stimuli
from trajectories.stimuli import Measure
from trajectories.suites import load_suite


def test_the_table_keeps_its_contract_and_asks_for_both_measures() -> None:
    shown().check()
    assert shown().measures == [Measure("logprob"), Measure("greedy"), Measure("generate")]
    assert (shown().table["start"] == K).all()
    assert (shown().table["end"] == K + L).all()
    assert shown().table["kind"].value_counts().to_dict() == {"row": 3600, "canary": 125}


def test_items_are_the_raw_tokens_of_their_row() -> None:
    exposures = shown().exposures[shown().exposures["order"] == "standard"]
    items = shown().table[shown().table["kind"] == "row"].set_index("item_id")["input_ids"]
    rows = exposures.groupby("item_id")["row"].apply(list)
    for item in items.index[:200]:
        assert any((world().standard[row, : K + L] == items[item]).all() for row in rows[item])


def test_nothing_in_the_table_tells_where_a_row_stands() -> None:
    table = shown().table
    assert not {"row", "step", "position", "order"} & set(table.columns)
    first = shown().exposures.query("order == 'standard'").groupby("item_id")["row"].min()
    rank = np.corrcoef(np.arange(len(table)), first.loc[table["item_id"]])[0, 1]
    assert abs(rank) < 0.06
    names = table["item_id"].str.extract(r"(\d+)")[0].astype(int)
    assert abs(np.corrcoef(names, first.loc[table["item_id"]])[0, 1]) < 0.06


def test_every_exposure_is_a_row_that_holds_the_scored_span() -> None:
    spans = shown().table.set_index("item_id")["input_ids"].map(lambda ids: np.asarray(ids)[K:])
    for exposure in shown().exposures.iloc[::40].itertuples():
        tokens = world().orders()[exposure.order].tokens[exposure.row]
        windows = np.lib.stride_tricks.sliding_window_view(tokens, L)
        assert (windows == spans[exposure.item_id]).all(axis=1).any()
    assert (shown().exposures["step"] == shown().exposures["row"] // ROWS_PER_STEP).all()


def test_copies_at_other_places_of_other_rows_are_exposures_too() -> None:
    rows = shown().table.query("kind == 'row'")["item_id"]
    seen = shown().exposures.query("order == 'standard'").groupby("item_id").size().loc[rows]
    assert (seen >= 1).all()
    assert 0.03 < (seen > 1).mean() < 0.12


def test_canaries_are_found_as_often_as_they_were_planted() -> None:
    canaries = shown().table[shown().table["kind"] == "canary"].set_index("item_id")["canary_id"]
    found = shown().exposures.query("order == 'standard'").groupby("item_id").size().loc[canaries.index]
    planted = world().canaries.set_index("canary_id")["repetitions"].loc[canaries]
    assert found.tolist() == planted.tolist()


def test_a_branch_shares_its_parents_exposures_until_it_begins_and_not_the_edited_ones() -> None:
    standard, swapped = (shown().exposures[shown().exposures["order"] == o] for o in ("standard", "swapped"))
    keys = [set(zip(e["item_id"], e["row"], strict=True)) for e in (standard, swapped)]
    assert keys[1] < keys[0]
    assert min(row for _, row in keys[0] - keys[1]) >= BRANCH * ROWS_PER_STEP


def test_rows_whose_window_holds_a_canary_are_not_drawn() -> None:
    found = stimuli(stimuli_context(offset=10, rows=2000))
    planted = set(world().canary_exposures["row"])
    own = found.table.query("kind == 'row'")
    rows = found.exposures[(found.exposures["order"] == "standard") & found.exposures["item_id"].isin(own["item_id"])]
    single = rows[~rows["item_id"].duplicated(keep=False)]
    assert not planted & set(single["row"])
    assert any(any(np.array_equal(ids, world().standard[row, 10 : 10 + K + L]) for row in single["row"][:5]) for ids in own["input_ids"])


def test_an_order_too_long_to_be_searched_gives_its_sampled_rows_alone() -> None:
    context = replace(stimuli_context(scan_tokens=0, rows=300, canaries=False), has_truth=False)
    found = stimuli(context)
    assert found.table["source"].value_counts().to_dict() == {"standard": 300, "swapped": 300}
    exposed = found.exposures.merge(found.table[["item_id", "source"]], on="item_id")
    assert set(exposed.loc[exposed["order"] == exposed["source"], "item_id"]) == set(found.table["item_id"])
    assert exposed.groupby("order")["row"].nunique().to_dict() == {"standard": 300, "swapped": 300}
    assert all(sum(reader.read) == 300 for reader in context.orders.values())  # type: ignore[attr-defined]
    assert any("too long to be searched" in note for note in found.notes)


def test_the_seed_decides_the_stimuli() -> None:
    again = stimuli(stimuli_context())
    assert again.exposures.equals(shown().exposures)
    other = stimuli(replace(stimuli_context(), seed=2))
    assert set(other.table["input_ids"].map(tuple)) != set(again.table["input_ids"].map(tuple))


def test_a_window_beyond_the_row_is_refused_with_the_numbers() -> None:
    with pytest.raises(UserError, match="offset 30 \\+ k 8 \\+ l 8 exceeds the 36 tokens"):
        stimuli(stimuli_context(offset=30))


def test_without_orders_nothing_can_be_drawn() -> None:
    with pytest.raises(UserError, match="No training order"):
        stimuli(replace(stimuli_context(), orders={}))


def test_published_results_cannot_serve_this_experiment() -> None:
    assert "no measurements" in str(unavailable(load_suite("pythia-published")))
    assert unavailable(load_suite("nano")) is None
    assert "order is not at hand" in str(unavailable(load_suite("nano").model_copy(update={"orders": {}})))
