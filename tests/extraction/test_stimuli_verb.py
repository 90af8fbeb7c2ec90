"""``trajectories stimuli``: what an experiment chooses, written with the contract's types and a record of what was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models
from trajectories import experiments, tables
from trajectories.cli import Machine
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.recipes import Settings
from trajectories.stimuli import Measure, Stimuli, StimuliContext
from trajectories.suites import Strict, Suite
from trajectories.verbs import stimuli as verb

WORDS = {"<|end|>": 0, "good": 1, "bad": 2}


class Part(Strict):
    """Settings of a made-up experiment's stimuli."""

    items: int = 3


class Section(Strict):
    """Settings of a made-up experiment."""

    stimuli: Part = Part()


def chosen(context: StimuliContext) -> Stimuli:
    ids = context.tokenizer().encode("good").ids
    table = pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(context.settings.items)],
            "input_ids": [[context.suite.end_of_text, *ids]] * context.settings.items,
            "start": 1,
            "end": 2,
            "noise": context.generator("noise").random(context.settings.items),
        }
    )
    exposures = pd.DataFrame({"item_id": ["i1", "i0"], "order": "standard", "row": [5, 4], "step": [1.0, 1.0]})
    return Stimuli(table, [Measure("logprob", {"token_logprobs": True})], exposures, ["a note"], {"set": {"sha256": "ab"}})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path / "made-up")
    found.corpus.mkdir(parents=True)
    Tokenizer(models.WordLevel(WORDS, "bad")).save(str(found.corpus / "tokenizer.json"))
    return found


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    parts: dict[str, Any] = {"Settings": Section, "stimuli": chosen}
    monkeypatch.setattr(experiments, "part", lambda name, part: parts[part])
    return parts


def settings(source: str = "trained", seed: int = 1, items: int = 3, **suite: Any) -> Settings:
    orders = {"standard": {"row_tokens": 9}}
    content = {"name": "made-up", "title": "", "description": "", "source": source, "models": [], "orders": orders, **suite}
    return Settings(Suite.model_validate(content), {"items": items}, seed, {"rows_per_step": {"standard": 4}}, "c" * 16)


def test_tables_have_the_contracts_types_and_say_what_is_asked(layout: Layout, experiment: dict[str, Any]) -> None:
    verb.run(settings(), layout, Machine(), "made-up")
    path = layout.stimuli("made-up")
    schema = pq.read_schema(path)
    assert schema.field("input_ids").type == pa.list_(pa.int32())
    assert schema.names == ["item_id", "input_ids", "start", "end", "noise"]
    about = tables.metadata(path)
    assert about["measures"] == [{"name": "logprob", "options": {"token_logprobs": True}}]
    assert (about["notes"], about["sources"]) == (["a note"], {"set": {"sha256": "ab"}})
    assert list(about["provenance"]["inputs"]) == ["corpus/tokenizer.json"]
    exposures = tables.read_table(layout.exposures("made-up"))
    assert exposures.to_dict("list") == {"item_id": ["i0", "i1"], "order": ["standard"] * 2, "row": [4, 5], "step": [1, 1]}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(layout: Layout, experiment: dict[str, Any]) -> None:
    written = []
    for seed in (1, 1, 2):
        verb.run(settings(seed=seed), layout, Machine(), "made-up")
        written.append(layout.stimuli("made-up").read_bytes())
    assert written[0] == written[1] != written[2]


def test_stimuli_that_break_the_contract_are_not_written(layout: Layout, experiment: dict[str, Any]) -> None:
    def repeating(context: StimuliContext) -> Stimuli:
        found = chosen(context)
        found.table["item_id"] = "same"
        return found

    experiment["stimuli"] = repeating
    with pytest.raises(ValueError, match="item_id repeats"):
        verb.run(settings(), layout, Machine(), "made-up")
    assert not layout.stimuli("made-up").exists()


def test_no_exposures_give_an_empty_table_of_the_same_types(layout: Layout, experiment: dict[str, Any]) -> None:
    experiment["stimuli"] = lambda context: Stimuli(chosen(context).table, [Measure("logprob")])
    verb.run(settings(), layout, Machine(), "made-up")
    assert pq.read_schema(layout.exposures("made-up")).types == [pa.string(), pa.string(), pa.int64(), pa.int64()]


def test_truth_is_read_when_asked_for_and_named_as_an_input(layout: Layout, experiment: dict[str, Any]) -> None:
    tables.write_table(pd.DataFrame({"fact": [1]}), layout.truth("facts"))

    def with_truth(context: StimuliContext) -> Stimuli:
        assert context.truth("facts")["fact"].tolist() == [1]
        with pytest.raises(KeyError):
            context.truth("nothing")
        return chosen(context)

    experiment["stimuli"] = with_truth
    verb.run(settings(), layout, Machine(), "made-up")
    assert "corpus/truth/facts.parquet" in tables.provenance(layout.stimuli("made-up"))["inputs"]


def test_orders_are_opened_when_read_and_one_that_is_not_there_says_so(layout: Layout, experiment: dict[str, Any]) -> None:
    seen = []

    def with_orders(context: StimuliContext) -> Stimuli:
        seen.append(list(context.orders))
        context.orders["standard"]
        return chosen(context)

    experiment["stimuli"] = with_orders
    with pytest.raises(UserError, match=r"order.json' does not exist"):
        verb.run(settings(), layout, Machine(), "made-up")
    assert seen == [["standard"]]


def test_only_orders_that_the_hub_holds_as_files_can_be_read() -> None:
    orders = {
        "held": {"row_tokens": 9, "repository": "o/n", "index": "document.idx", "shards": ["a.bin"]},
        "unpublished": {"row_tokens": 9},
    }
    assert settings("hub", orders=orders).suite.readable_orders() == ["held"]


def test_a_suite_of_the_hub_uses_the_local_copy_of_its_tokenizer(layout: Layout, data_dir: Path) -> None:
    suite = settings("hub", tokenizer="owner/name", tokenizer_copy="pythia/utils/20B_tokenizer.json").suite
    path = verb.tokenizer_file(suite, layout, data_dir)
    assert path == data_dir / "pythia/utils/20B_tokenizer.json"
    assert Tokenizer.from_file(str(path)).encode(" the").ids == [253]


def test_a_suite_without_tokenizer_is_told_so(layout: Layout) -> None:
    with pytest.raises(UserError, match="names no tokenizer"):
        verb.tokenizer_file(settings("hub").suite, layout, None)


def test_a_damaged_tokenizer_is_one_sentence(layout: Layout, experiment: dict[str, Any]) -> None:
    (layout.corpus / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(UserError, match=r"tokenizer.json' is no tokenizer"):
        verb.run(settings(), layout, Machine(), "made-up")


def test_rows_known_to_be_memorized_come_from_a_copy_below_data_dir_and_are_recorded(
    layout: Layout, experiment: dict[str, Any], tmp_path: Path
) -> None:
    copy = tmp_path / "data" / "lists" / "data" / "big.one-00000-of-00001.parquet"
    copy.parent.mkdir(parents=True)
    pq.write_table(pa.table({"index": [7, 3, 7]}), copy)
    found: list[Any] = []

    def with_cases(context: StimuliContext) -> Stimuli:
        found.extend([context.memorized("listed"), context.memorized("standard")])
        return chosen(context)

    experiment["stimuli"] = with_cases
    orders = {"standard": {"row_tokens": 9}, "listed": {"row_tokens": 9, "memorized": {"repository": "someone/lists", "split": "big.one"}}}
    verb.run(settings(orders=orders), layout, Machine(data_dir=tmp_path / "data"), "made-up")
    assert found[0].tolist() == [3, 7]
    assert found[1] is None
    assert copy.name in tables.provenance(layout.stimuli("made-up"))["inputs"]
