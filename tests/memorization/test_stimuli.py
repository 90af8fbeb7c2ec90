"""The experiment's stimuli and exposures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from memorization.world import BRANCH, ROW_TOKENS, ROWS_PER_STEP, STEPS, K, L, Rows, shown, stimuli_context, world
from trajectories.errors import UserError
from trajectories.experiments.memorization.settings import unavailable
from trajectories.experiments.memorization.stimuli import stimuli
from trajectories.stimuli import Measure, StimuliContext
from trajectories.suites import Order, load_suite


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


def test_every_row_weighs_as_many_rows_as_it_stands_for() -> None:
    rows = shown().table.query("kind == 'row'")
    # canaries stand behind the window, so no row is left out
    assert rows["weight"].sum() == pytest.approx(STEPS * ROWS_PER_STEP, rel=1e-9)
    assert (shown().table.query("kind == 'canary'")["weight"] == 1).all()
    edges = stimuli(stimuli_context(offset=10, rows=2000)).table.query("kind == 'row'")
    planted = len(set(world().canary_exposures["row"]))
    assert edges["weight"].sum() == pytest.approx(STEPS * ROWS_PER_STEP - planted, rel=0.02)
    assert edges["weight"].std() > 0, "batches with many canaries have few rows to give"


@pytest.fixture(scope="module")
def listed() -> np.ndarray:
    """Rows that a table lists as memorized, some of them beyond the order."""
    return np.concatenate([np.random.default_rng(3).choice(STEPS * ROWS_PER_STEP, 400, replace=False), [10**6, 10**7]])


def test_cases_are_drawn_from_the_table_and_weigh_less(listed: np.ndarray) -> None:
    context = replace(stimuli_context(rows=600, cases=200, canaries=False), memorized=lambda order: listed)
    found = stimuli(context)
    placed = found.table.merge(found.exposures[(found.exposures["order"] == "standard") & found.exposures["own"]], on="item_id")
    case = np.isin(placed["row"], listed)
    assert case.sum() > 200
    assert (~case).sum() < 600
    assert np.allclose(placed["weight"][~case], STEPS * ROWS_PER_STEP / 600)
    one = 600 / (STEPS * ROWS_PER_STEP)
    assert np.allclose(placed["weight"][case], 1 / (one + 0.5 - one * 0.5))
    assert found.table["weight"].sum() == pytest.approx(STEPS * ROWS_PER_STEP, rel=0.1)


def test_without_a_table_or_with_no_cases_asked_for_there_are_none(listed: np.ndarray) -> None:
    plain = stimuli(stimuli_context(rows=600, canaries=False))
    asked: list[str] = []
    none = replace(stimuli_context(rows=600, cases=0, canaries=False), memorized=lambda order: asked.append(order) or listed)
    assert stimuli(none).table["item_id"].tolist() == plain.table["item_id"].tolist()
    assert not asked, "a table that is not wanted is not downloaded"


def test_several_windows_show_every_row_once_for_each_pair_of_k_and_offset() -> None:
    found = stimuli(stimuli_context(rows=200, k=[8, 4], l=[8, 2, 5], offset=[0, 12]))
    found.check()
    table = found.table
    assert table.groupby(["k", "offset"])["primary"].agg(["size", "all"]).query("all").index.tolist() == [(8, 0)]
    rows = table[table["kind"] == "row"]
    assert rows.groupby("unit").size().eq(4).all()
    assert rows.groupby(["k", "offset"]).size().nunique() == 1
    assert (table["end"] - table["start"] == 8).all()
    assert (table["start"] == table["k"]).all()
    assert all(list(lengths) == [8, 2, 5] for lengths in table["lengths"])
    assert found.measures[0] == Measure("logprob", {"token_logprobs": True}), "shorter spans need the tokens' own"
    one = rows[rows["unit"] == rows["unit"].iloc[0]].set_index(["k", "offset"])["input_ids"]
    assert np.array_equal(one[8, 0][4:], np.concatenate([one[4, 0][4:], one[8, 0][12:]]))
    assert len(set(rows.loc[rows["unit"] == rows["unit"].iloc[0], "item_id"])) == 4


def test_canaries_are_shown_at_their_own_beginning_whatever_the_offset() -> None:
    table = stimuli(stimuli_context(rows=100, k=[8, 4], offset=[3, 12])).table
    canaries = table[table["kind"] == "canary"]
    assert set(zip(canaries["k"], canaries["offset"], strict=True)) == {(8, 3), (4, 3)}
    planted = world().canaries.set_index("canary_id")["input_ids"]
    for item in canaries.iloc[::20].itertuples():
        assert list(item.input_ids) == planted[item.canary_id][: item.k + 8]


def test_an_items_name_does_not_depend_on_the_other_windows() -> None:
    one = stimuli(stimuli_context(rows=200)).table.set_index("item_id")["input_ids"]
    more = stimuli(stimuli_context(rows=200, k=[8, 4], l=[8, 5])).table
    primary = more[more["primary"]].set_index("item_id")["input_ids"]
    assert primary.index.tolist() == one.index.tolist()
    assert all(np.array_equal(primary[i], one[i]) for i in one.index)
    assert not more["item_id"].duplicated().any()


def unseen_context(held_out: np.ndarray, **settings: object) -> StimuliContext:
    """The world with an order whose rows no model is trained on."""
    context = stimuli_context(**settings)
    orders = {name: order.model_copy(update={"never_seen": "unseen"}) for name, order in context.suite.orders.items()}
    orders["unseen"] = Order(row_tokens=ROW_TOKENS, rows=len(held_out), held_out=True)
    suite = context.suite.model_copy(update={"orders": orders})
    return replace(context, suite=suite, orders={**context.orders, "unseen": Rows(held_out)})


def test_rows_that_no_model_sees_have_no_exposure_and_copies_of_seen_text_are_left_out() -> None:
    held_out = np.random.default_rng(9).integers(1, 400, (50, ROW_TOKENS)).astype(np.uint16)
    held_out[7, :] = world().standard[100]
    found = stimuli(unseen_context(held_out, rows=200, never_seen=50))
    never = found.table[found.table["kind"] == "never"]
    assert len(never) == 49
    assert not set(never["item_id"]) & set(found.exposures["item_id"])
    assert not never["input_ids"].map(lambda ids: np.array_equal(ids, held_out[7, : K + L])).any()
    assert (never["weight"] == 1).all()
    assert any("49 rows are never seen" in note for note in found.notes)


def test_fewer_never_seen_rows_are_spread_evenly_over_those_there_are() -> None:
    held_out = np.random.default_rng(9).integers(1, 400, (50, ROW_TOKENS)).astype(np.uint16)
    found = stimuli(unseen_context(held_out, rows=200, never_seen=5))
    shown_rows = {tuple(ids) for ids in found.table.query("kind == 'never'")["input_ids"]}
    assert shown_rows == {tuple(held_out[i, : K + L].tolist()) for i in (0, 12, 24, 37, 49)}
