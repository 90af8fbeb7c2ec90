"""``trajectories count``: what stimuli name is counted in an order once, and read back along a model's history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from trajectories import config, experiments, recipes, tables
from trajectories.analysis import AnalysisContext
from trajectories.cli import Machine, main
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.orders.writer import write_order
from trajectories.recipes import Settings
from trajectories.stimuli import Measure, Stimuli
from trajectories.suites import Suite
from trajectories.verbs import count as verb
from trajectories.verbs.stimuli import terms_table

ROWS = np.random.default_rng(2).integers(0, 6, (40, 9)).astype(np.uint16)
TERMS = pd.DataFrame({"term": ["a", "b", "a"], "input_ids": [[1], [2, 3], [4]]})
TOGETHER = pd.DataFrame({"term": ["a"], "other": ["b"]})


def wanted(terms: pd.DataFrame = TERMS, together: pd.DataFrame = TOGETHER) -> pd.DataFrame:
    shown = pd.DataFrame({"item_id": ["i"], "input_ids": [[0, 1]], "start": [1], "end": [2]})
    made = Stimuli(shown, [Measure("logprob")], terms=terms, together=together)
    made.check()
    return terms_table(made)


def settings(steps: list[int], tokens: int = 10**6, seed: int = 1) -> Settings:
    orders = {"standard": {"row_tokens": 9}}
    suite = Suite.model_validate({"name": "s", "title": "", "description": "", "source": "trained", "models": [], "orders": orders})
    return Settings(suite, {}, seed, {"steps": steps, "tokens": tokens}, "c" * 16)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(experiments, "counts_terms", lambda name: name == "words")
    found = Layout(tmp_path / "s")
    write_order(found.order("standard"), "standard", ROWS, 4, shard_bytes=101)
    tables.write_table(wanted(), found.terms("words"))
    return found


def counted(layout: Layout, *arguments: Any) -> pd.DataFrame:
    verb.run(settings(*arguments), layout, Machine(), "standard", "words")
    return tables.read_table(layout.counts("standard", "words"))


def test_terms_and_pairs_are_written_by_step(layout: Layout) -> None:
    table = counted(layout, [0, 3, 10])
    assert table.columns.tolist() == ["order", "term", "other", "step", "count", "stderr"]
    assert list(zip(table["term"], table["other"], strict=True)) == [("a", ""), ("b", ""), ("a", "b")] * 3
    last = table[(table["step"] == 10) & (table["other"] == "")].set_index("term")["count"]
    used = ROWS[:, :-1]
    assert last["a"] == np.isin(used, [1, 4]).sum()
    assert last["b"] == ((used[:, :-1] == 2) & (used[:, 1:] == 3)).sum()
    assert not table["stderr"].any()
    about = tables.metadata(layout.counts("standard", "words"))
    assert about["reading"] == {"rows": 40, "read": 40}
    assert set(about["provenance"]["inputs"]) == {"order/standard/order.json", "terms/words.parquet"}


def test_a_long_order_is_sampled_by_the_seed(layout: Layout) -> None:
    first, again, other = (counted(layout, [10], 90, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["stderr"] > 0).all()
    assert not first["count"].equals(other["count"])
    assert tables.metadata(layout.counts("standard", "words"))["reading"] == {"rows": 40, "read": 10}


def test_the_same_terms_of_other_stimuli_are_not_counted_again_and_others_are(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = counted(layout, [3, 10])
    layout.counts("standard", "words").unlink()
    tables.write_table(wanted(), layout.terms("words"), {"code": "another"})
    with monkeypatch.context() as patch:
        patch.setattr(verb, "count", lambda *_: pytest.fail("the order is read again"))
        pd.testing.assert_frame_equal(counted(layout, [3, 10]), before)
    tables.write_table(wanted(TERMS.assign(input_ids=[[1], [2], [4]])), layout.terms("words"))
    assert not counted(layout, [3, 10]).equals(before)


def test_what_was_kept_and_got_damaged_is_counted_again(layout: Layout) -> None:
    before = counted(layout, [10])
    for path in layout.store.rglob("*.parquet"):
        path.write_bytes(b"damaged")
    pd.testing.assert_frame_equal(counted(layout, [10]), before)


def test_an_experiment_that_names_no_terms_now_gets_an_empty_table(layout: Layout) -> None:
    tables.write_table(wanted(TERMS.iloc[:0], TOGETHER.iloc[:0]), layout.terms("words"))
    assert len(counted(layout, [10])) == 0
    assert pq.read_schema(layout.counts("standard", "words")).equals(verb.COUNTS, check_metadata=False)


def test_what_cannot_be_counted_is_said_in_a_sentence(layout: Layout) -> None:
    with pytest.raises(UserError, match="'other' names no terms"):
        verb.run(settings([1]), layout, Machine(), "standard", "other")
    with pytest.raises(UserError, match="No model of suite 's' is trained on order 'standard'"):
        counted(layout, [])
    with pytest.raises(UserError, match="40 rows, but step 11"):
        counted(layout, [11])
    layout.terms("words").unlink()
    with pytest.raises(UserError, match=r"terms/words.parquet' does not exist"):
        counted(layout, [10])


def test_damage_is_said_in_a_sentence_and_leaves_what_was_counted_before(layout: Layout) -> None:
    counted(layout, [10])
    before = layout.counts("standard", "words").read_bytes()
    shard = next(layout.order("standard").glob("*.bin"))
    for path, sentence in [(shard, "is damaged"), (layout.terms("words"), "not a whole Parquet table")]:
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(UserError, match=sentence):
            counted(layout, [10])
        assert layout.counts("standard", "words").read_bytes() == before


def test_a_table_is_written_whole_or_not_at_all(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(layout, [10])
    path = layout.counts("standard", "words")
    before = path.read_bytes()

    def full(table: Any, where: Path, **options: Any) -> None:
        Path(where).write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(UserError, match="No space left on device"):
        counted(layout, [3, 10])
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["standrad", "knowledge"], "Unknown order 'standrad' (did you mean 'standard'?)"),
        (["unseen", "knowledge"], "No model of suite 'nano' is trained on order 'unseen'"),
        (["standard", "grammar"], "Experiment 'grammar' names no terms"),
        (["standard", "knowledge"], "order.json' does not exist"),
    ],
)
def test_the_command_answers_in_a_sentence(arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"suite: nano\nexperiments: [grammar]\nresults: {tmp_path}\n")
    if arguments[0] == "standard":
        tables.write_table(wanted(), Layout(tmp_path / "nano").terms("knowledge"))
    assert main(["count", *arguments, "--config", str(path)]) == 1
    assert sentence in capsys.readouterr().err


def resolved(tmp_path: Path, **keys: Any) -> config.Resolved:
    return config.resolve({"suite": "nano", "experiments": ["knowledge", "grammar"], "results": str(tmp_path), **keys})


def test_orders_are_counted_for_experiments_with_terms_alone_and_for_the_chosen_models_history(tmp_path: Path) -> None:
    assert resolved(tmp_path).counted("knowledge") == ["standard", "swapped"]
    assert resolved(tmp_path, models=["nano-s"]).counted("knowledge") == ["standard"]
    assert resolved(tmp_path, models=["nano-s-swapped"]).counted("knowledge") == ["standard", "swapped"]
    assert resolved(tmp_path).counted("grammar") == []
    assert resolved(tmp_path, suite="pythia-published").counted("knowledge") == []
    assert resolved(tmp_path, suite="pythia").counted("knowledge") == ["pile-standard"]


def test_counts_do_not_stand_on_what_an_analysis_is_told(tmp_path: Path) -> None:
    def digest(**keys: Any) -> str:
        return tables.digest(recipes.content(resolved(tmp_path, **keys), "count", "knowledge", order="standard"))

    plain = digest()
    assert plain == digest(models=["nano-s"], steps=[0], knowledge={"analyse": {"simulations": 41}}, experiments=["knowledge"])
    assert plain != digest(count_tokens=1000)
    steps = resolved(tmp_path).suite.steps_of
    assert {0, 1, 600, 800, 1200} <= set(steps("standard"))
    assert steps("swapped")[:2] == [800, 801]
    assert 801 not in steps("standard")
    assert steps("unseen") == []


def context(tmp_path: Path, table: pd.DataFrame | None) -> AnalysisContext:
    suite = resolved(tmp_path).suite
    nothing: Any = None
    history = {m.name: suite.history(m.name) for m in suite.models}
    return AnalysisContext(suite, None, 1, nothing, nothing, None, None, nothing, True, None, nothing, history, counted=table)


def table(order: str, steps: list[int], counts: list[float], stderrs: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"order": order, "term": "a", "other": "", "step": steps, "count": counts, "stderr": stderrs})


def test_a_branch_goes_on_from_its_parents_counts(tmp_path: Path) -> None:
    standard = table("standard", [0, 400, 800, 1200], [0, 10, 20, 30], [0, 3, 5, 6])
    both = pd.concat([standard, table("swapped", [800, 900, 1200], [50, 57, 90], [12, 13, 20])], ignore_index=True)
    assert context(tmp_path, both).counts_of("nano-s")["count"].tolist() == [0, 10, 20, 30]
    found = context(tmp_path, both).counts_of("nano-s-swapped")
    assert found.columns.tolist() == ["term", "other", "step", "count", "stderr"]
    assert found["step"].tolist() == [0, 400, 800, 900, 1200]
    assert found["count"].tolist() == [0, 10, 20, 27, 60]
    np.testing.assert_allclose(found["stderr"] ** 2, [0, 9, 25, 25 + 169 - 144, 25 + 400 - 144])


def test_a_stretch_whose_sample_holds_no_occurrence_is_not_said_to_be_exact(tmp_path: Path) -> None:
    both = pd.concat([table("standard", [0, 800], [0, 20], [0, 5]), table("swapped", [800, 900], [50, 50], [12, 12])], ignore_index=True)
    found = context(tmp_path, both).counts_of("nano-s-swapped")
    np.testing.assert_allclose(found["stderr"] ** 2, [0, 25, 25 + 144])


def test_without_counts_the_table_is_empty(tmp_path: Path) -> None:
    assert len(context(tmp_path, None).counts_of("nano-s")) == 0
    assert len(context(tmp_path, table("other", [0], [1], [0])).counts_of("nano-s")) == 0
    only = context(tmp_path, table("swapped", [800, 900], [50, 57], [0, 0])).counts_of("nano-s-swapped")
    assert len(only) == 0, "what was seen before the branch is not known"
