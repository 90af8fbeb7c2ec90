"""``trajectories count``, and counts along what a model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trajectories import config, experiments, tables
from trajectories.analysis import AnalysisContext
from trajectories.cli import Machine, main
from trajectories.layout import Layout
from trajectories.orders.counting import Counts
from trajectories.orders.writer import write_order
from trajectories.recipes import Settings
from trajectories.stimuli import Measure, Stimuli
from trajectories.suites import Suite
from trajectories.verbs import analyse as analyse_verb
from trajectories.verbs import count as verb
from trajectories.verbs.stimuli import terms_table

EXPERIMENT = "knowledge"
STEPS = {"standard": [0, 10, 20, 30], "swapped": [20, 25, 30]}
TERMS = [("often", [1]), ("two forms", [2, 3]), ("two forms", [4]), ("never", [9, 9])]
PAIRS = [("often", "two forms"), ("never", "often")]


@dataclass
class Place:
    """A results folder with the miniature suite's orders, made up of few different tokens, and an experiment's terms."""

    config: Path
    layout: Layout
    rows: dict[str, np.ndarray]

    def run(self, order: str, experiment: str = EXPERIMENT, *options: str) -> int:
        return main(["count", order, experiment, "--config", str(self.config), *options])

    def write_terms(self, terms: list[tuple[str, list[int]]], pairs: list[tuple[str, str]]) -> None:
        shown = pd.DataFrame({"item_id": ["i"], "input_ids": [[0, 1]], "start": 1, "end": 2})
        asked = {"terms": pd.DataFrame(terms, columns=["term", "input_ids"]), "together": pd.DataFrame(pairs, columns=["term", "other"])}
        schema = pa.schema([("term", pa.string()), ("other", pa.string()), ("input_ids", pa.list_(pa.int32()))])
        tables.write_table(terms_table(Stimuli(shown, [Measure("logprob")], **asked)), self.layout.terms(EXPERIMENT), {}, schema)

    def counts(self, order: str) -> pd.DataFrame:
        return tables.read_table(self.layout.counts(order, EXPERIMENT))


def naive(rows: np.ndarray) -> list[int]:
    """What is asked for, by looking at every place of each document."""
    found = np.zeros(5, int)
    for row in rows[:, :-1]:
        for document in np.split(row, np.flatnonzero(row == 0) + 1):
            follows = document[:-1], document[1:]
            here = [np.sum(document == 1), np.sum((follows[0] == 2) & (follows[1] == 3)) + np.sum(document == 4)]
            never = np.sum((follows[0] == 9) & (follows[1] == 9))
            found += [*here, never, bool(here[0] and here[1]), bool(here[0] and never)]
    return found.tolist()


@pytest.fixture(autouse=True)
def suites(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(checkout / "tests" / "data" / "suites"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    path = tmp_path / "config.yaml"
    path.write_text(f"suite: miniature\nexperiments: [{EXPERIMENT}]\nresults: {tmp_path / 'results'}\n")
    random = np.random.default_rng(4)
    layout = Layout(tmp_path / "results" / "miniature")
    rows = {name: random.integers(0, 8, (240, 129)).astype(np.uint16) for name in ("standard", "swapped", "unseen")}
    for name, of_order in rows.items():
        write_order(layout.order(name), name, of_order, 8, 20_003)
    found = Place(path, layout, rows)
    found.write_terms(TERMS, PAIRS)
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Counts]:
    """What was counted, not taken from the store."""
    done: list[Counts] = []
    real = verb.count

    def watched(*arguments: Any) -> Counts:
        done.append(real(*arguments))
        return done[-1]

    monkeypatch.setattr(verb, "count", watched)
    return done


@pytest.mark.parametrize("order", ["standard", "swapped"])
def test_terms_and_pairs_are_counted_up_to_every_checkpoint_and_branch(place: Place, order: str) -> None:
    assert place.run(order) == 0
    found = place.counts(order)
    assert pq.read_schema(place.layout.counts(order, EXPERIMENT)).remove_metadata() == verb.COUNTS
    assert sorted(found["step"].unique()) == STEPS[order]
    assert set(found["order"]) == {order}
    for step, at in found.groupby("step"):
        keys = list(zip(at["term"], at["other"], strict=True))
        assert keys == [("often", ""), ("two forms", ""), ("never", ""), *PAIRS]
        assert at["count"].tolist() == naive(place.rows[order][: int(str(step)) * 8])
    assert not found["stderr"].any()


def test_the_table_says_what_was_read_and_where_it_comes_from(place: Place) -> None:
    assert place.run("standard") == 0
    about = tables.metadata(place.layout.counts("standard", EXPERIMENT))
    assert about["reading"] == {"rows": 240, "read": 240}
    assert set(about["provenance"]["inputs"]) == {"terms/knowledge.parquet", "order/standard/order.json"}


def test_a_longer_order_is_sampled_and_told_with_errors_alike_in_every_folder(place: Place) -> None:
    sample = ["--set", f"count_tokens={100 * 129}"]
    assert place.run("standard", EXPERIMENT, *sample) == 0
    path, found = place.layout.counts("standard", EXPERIMENT), place.counts("standard").query("step == 30")
    assert tables.metadata(path)["reading"] == {"rows": 240, "read": 100}
    assert (found["stderr"] > 0).all()
    off = (found["count"] - naive(place.rows["standard"])).abs()
    assert (off <= 4 * found["stderr"]).all()
    before = path.read_bytes()
    for stored in place.layout.store.rglob("*.parquet"):
        stored.unlink()
    path.unlink()
    assert place.run("standard", EXPERIMENT, *sample) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("order", "experiment", "message"),
    [
        ("standart", EXPERIMENT, "'standard'"),
        ("unseen", EXPERIMENT, "No model of suite 'miniature' is trained on order 'unseen'"),
        ("standard", "grammar", "Experiment 'grammar' names no terms"),
    ],
)
def test_what_cannot_be_counted_is_one_sentence(
    place: Place, capsys: pytest.CaptureFixture[str], order: str, experiment: str, message: str
) -> None:
    assert place.run(order, experiment) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not place.layout.counts(order, experiment).exists()


def absent(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("damage", "which", "message"),
    [
        (absent, "terms", "run the step that makes it first"),
        (cut, "terms", "is not a whole Parquet table"),
        (absent, "order", "run the step that makes it first"),
        (cut, "shard", "it is damaged"),
    ],
)
def test_damage_is_one_sentence_and_leaves_what_was_counted_before(
    place: Place, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], which: str, message: str
) -> None:
    assert place.run("standard") == 0
    before = place.layout.counts("standard", EXPERIMENT).read_bytes()
    folder = place.layout.order("standard")
    damage({"terms": place.layout.terms(EXPERIMENT), "order": folder / "order.json", "shard": next(folder.glob("*.bin"))}[which])
    assert place.run("standard") == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert place.layout.counts("standard", EXPERIMENT).read_bytes() == before


def test_a_table_is_written_whole_or_not_at_all(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run("standard") == 0
    path = place.layout.counts("standard", EXPERIMENT)
    before = path.read_bytes()
    place.write_terms([*TERMS, ("one more", [5])], PAIRS)

    def full(table: pa.Table, where: Path, **options: Any) -> None:
        Path(where).write_bytes(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    assert place.run("standard") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_was_counted_before_is_not_counted_again(place: Place, reads: list[Counts]) -> None:
    assert place.run("standard") == 0
    path = place.layout.counts("standard", EXPERIMENT)
    first = path.read_bytes()
    path.unlink()
    place.write_terms(TERMS, PAIRS)  # stimuli that are made anew with the same terms
    assert place.run("standard") == 0
    assert (len(reads), path.read_bytes()) == (1, first)


def test_other_terms_pairs_orders_and_samples_are_counted(place: Place, reads: list[Counts]) -> None:
    assert place.run("standard") == 0
    assert place.run("standard", EXPERIMENT, "--set", "count_tokens=20000") == 0
    assert place.run("standard", EXPERIMENT, "--set", "count_tokens=20000", "--set", "seed=99") == 0
    assert place.run("swapped") == 0
    place.write_terms(TERMS, PAIRS[:1])
    assert place.run("standard") == 0
    place.write_terms([*TERMS[:3], ("never", [9, 8])], PAIRS)
    assert place.run("standard") == 0
    write_order(place.layout.order("standard"), "standard", place.rows["unseen"], 8, 20_003)
    assert place.run("standard") == 0
    assert len(reads) == 7
    assert place.counts("standard").query("step == 30")["count"].tolist()[:1] == naive(place.rows["unseen"])[:1]


def test_a_damaged_store_is_counted_again(place: Place, reads: list[Counts]) -> None:
    assert place.run("standard") == 0
    first = place.counts("standard")
    cut(next(place.layout.store.rglob("*.parquet")))
    assert place.run("standard") == 0
    assert len(reads) == 2
    pd.testing.assert_frame_equal(place.counts("standard"), first)


def test_stimuli_that_name_no_terms_read_no_rows(place: Place, reads: list[Counts]) -> None:
    place.write_terms([], [])
    assert place.run("standard") == 0
    assert place.counts("standard").empty
    assert [found.read for found in reads] == [0]


def test_an_analysis_is_given_the_counts_of_its_orders(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [place.run(order) for order in STEPS] == [0, 0]
    resolved = config.resolve(config.read(place.config))
    suite, layout = resolved.suite.model_copy(update={"models": [resolved.suite.model("mini-s")]}), place.layout
    tables.write_table(pd.DataFrame({"step": [30], "revision": None, "sha256": "0", "status": "ok", "detail": ""}), layout.audit("mini-s"))
    tables.write_table(pd.DataFrame({"item_id": ["i"]}), layout.stimuli(EXPERIMENT))
    tables.write_table(pd.DataFrame({"item_id": ["i"]}), layout.exposures(EXPERIMENT))
    tables.write_table(pd.DataFrame({"item_id": ["i"]}), layout.measurement("mini-s", 30, EXPERIMENT))
    given: list[AnalysisContext] = []

    class Looked(Exception):
        pass

    def analyse(found: AnalysisContext) -> None:
        given.append(found)
        raise Looked

    real = experiments.part
    monkeypatch.setattr(experiments, "part", lambda name, part: analyse if part == "analyse" else real(name, part))
    extra = {"steps": {"mini-s": [30]}, "counted": resolved.counted(EXPERIMENT)}
    with pytest.raises(Looked):
        analyse_verb.run(Settings(suite, {}, 1, extra, "c" * 16), layout, Machine(), EXPERIMENT)
    pd.testing.assert_frame_equal(given[0].counted, pd.concat([place.counts(order) for order in STEPS], ignore_index=True))
    assert given[0].counts_of("mini-s").query("step == 30")["count"].tolist() == naive(place.rows["standard"])


def context(suite: Suite, counted: pd.DataFrame | None) -> AnalysisContext:
    nothing = pd.DataFrame()
    return AnalysisContext(
        suite=suite, settings=None, seed=1, checkpoints=nothing, left_out=nothing, stimuli=None, exposures=None, truth=lambda name: nothing,
        has_truth=True, published=None, read=lambda model, step: nothing,
        history={m.name: suite.history(m.name) for m in suite.models}, counted=counted,
    )  # fmt: skip


@pytest.fixture
def branches() -> Suite:
    """The miniature suite with a branch of its branch, which goes on in the standard order."""
    suite = config.resolve({"suite": "miniature", "experiments": [EXPERIMENT]}).suite
    changes = {"name": "back", "parent": "mini-s-swapped", "branch_step": 25, "order": "standard", "steps": [28, 30]}
    return suite.model_copy(update={"models": [*suite.models, suite.model("mini-s-swapped").model_copy(update=changes)]})


def counted(place: Place, suite: Suite, tokens: int) -> pd.DataFrame:
    """Counts in both orders up to all steps of the suite's models."""
    from trajectories.orders import open_order

    wanted, found = tables.read_table(place.layout.terms(EXPERIMENT)), []
    for order in ("standard", "swapped"):
        settings = Settings(suite, {}, 3, {"steps": suite.steps_of(order), "tokens": tokens}, "c" * 16)
        found.append(verb.counted(settings, wanted, open_order(place.layout.order(order)))[0])
    return pd.concat(found, ignore_index=True)


HISTORIES = {"mini-s": [("standard", 0, 30)], "mini-s-swapped": [("standard", 0, 20), ("swapped", 20, 30)]}
HISTORIES["back"] = [("standard", 0, 20), ("swapped", 20, 25), ("standard", 25, 30)]


@pytest.mark.parametrize("model", list(HISTORIES))
def test_a_model_has_seen_its_parents_rows_up_to_the_branch_and_then_its_own(place: Place, branches: Suite, model: str) -> None:
    found = context(branches, counted(place, branches, 10**9)).counts_of(model)
    assert list(found.columns) == ["term", "other", "step", "count", "stderr"]
    assert not found.duplicated(["term", "other", "step"]).any()
    assert set(found["step"]) >= set(branches.model(model).all_steps)
    seen = np.concatenate([place.rows[order][8 * start : 8 * end] for order, start, end in HISTORIES[model]])
    for step, at in found.groupby("step"):
        assert at["count"].tolist() == naive(seen[: 8 * int(str(step))]), step
    assert not found["stderr"].any()


def test_errors_of_both_orders_add_up_behind_a_branch(place: Place, branches: Suite) -> None:
    table = counted(place, branches, 100 * 129)
    found = context(branches, table).counts_of("mini-s-swapped").query("term == 'often' and other == ''").set_index("step")
    often = table.query("term == 'often' and other == ''").set_index(["order", "step"])
    parts = [often.loc[key] for key in [("standard", 20), ("swapped", 20), ("swapped", 30)]]
    variances = [part["stderr"] ** 2 for part in parts]
    assert found.loc[20, "stderr"] == parts[0]["stderr"] > 0
    assert found.loc[30, "count"] == pytest.approx(parts[0]["count"] + parts[2]["count"] - parts[1]["count"])
    assert found.loc[30, "stderr"] ** 2 == pytest.approx(variances[0] + variances[2] - variances[1])
    assert found["stderr"].is_monotonic_increasing


def test_counts_are_unknown_where_a_parents_order_was_not_counted(place: Place, branches: Suite) -> None:
    table = counted(place, branches, 10**9)
    assert context(branches, table[table["order"] == "swapped"]).counts_of("mini-s-swapped").empty
    assert context(branches, table[table["order"] == "swapped"]).counts_of("mini-s").empty
    nothing = context(branches, None).counts_of("mini-s")
    assert nothing.empty
    assert list(nothing.columns) == ["term", "other", "step", "count", "stderr"]
