"""Files that are damaged after they were written: whoever reads one says so and removes it, and the same command makes it anew."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from faults.content import differences, remove, results, worth_keeping
from faults.verbs import Verbs
from trajectories import config, recipes, tables
from trajectories.errors import Damaged
from trajectories.extraction.store import Store
from trajectories.layout import Layout
from trajectories.verbs.analyse import read_tensor
from workflow.flow import Flow, jobs


def cut(path: Path) -> None:
    """Leave the first half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    """Flip the bits of a byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


MANIFESTS = ("corpus.json", "order.json", "checkpoint.json")
BRANCH = "checkpoints/mini-s-swapped/step30"
# the file, how it is damaged, what is removed so that it must be read, the verb that reads it, and those that make it anew
KINDS = {
    "measurements": ("measurements/mini-s/step30/grammar.parquet", cut, [], "analyse grammar", ["extract mini-s 30 grammar"]),
    "stimuli": ("stimuli/grammar.parquet", cut, [], "extract mini-s 30 grammar", ["stimuli grammar"]),
    "exposures": ("exposures/grammar.parquet", flip, [], "analyse grammar", ["stimuli grammar"]),
    "audit": ("audit/mini-s.parquet", cut, [], "analyse grammar", ["audit mini-s"]),
    "trajectories": ("trajectories/grammar.parquet", cut, [], "figures grammar", ["analyse grammar"]),
    "claims": ("claims/grammar.parquet", cut, [], "report", ["analyse grammar"]),
    "figures": ("figures/grammar.json", cut, [], "report", ["figures grammar"]),
    "weights": (
        "checkpoints/mini-s-swapped/step30/model.safetensors",
        flip,
        ["store"],
        "extract mini-s-swapped 30 grammar",
        ["train mini-s-swapped"],
    ),
    "weights cut": (
        "checkpoints/mini-s-swapped/step30/model.safetensors",
        cut,
        ["store"],
        "extract mini-s-swapped 30 grammar",
        ["train mini-s-swapped"],
    ),
    "manifest": ("checkpoints/mini-s/step30/checkpoint.json", cut, [], "audit mini-s", ["train mini-s"]),
    "shard": ("order/standard/document-00001-of-00003.bin", cut, [], "stimuli grammar", ["order standard"]),
    "shard of a training": ("order/standard/document-00001-of-00003.bin", flip, [], "train mini-s", ["order standard"]),
    "byte of a shard": ("order/standard/document-00001-of-00003.bin", flip, [], "stimuli grammar", ["order standard"]),
    "byte of an index": ("order/standard/document.idx", flip, [], "stimuli grammar", ["order standard"]),
    "index": ("order/standard/document.idx", cut, [], "stimuli grammar", ["order standard"]),
    "rows": ("corpus/rows.npy", flip, [], "order standard", ["corpus"]),
    "truth": ("corpus/truth/paradigms.parquet", cut, [], "stimuli grammar", ["corpus"]),
}


@pytest.fixture
def copied(undisturbed: Flow, tmp_path: Path) -> Path:
    """The finished results once more, to be damaged."""
    return Path(shutil.copytree(results(undisturbed), tmp_path / "results" / "miniature"))


@pytest.fixture
def verb(copied: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    return Verbs(copied, capsys)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_and_removed_and_made_anew(copied: Path, undisturbed: Flow, verb: Verbs, kind: str):
    name, damage, absent, reader, makers = KINDS[kind]
    for other in absent:
        shutil.rmtree(copied / other)
    path = copied / name
    manifest = next((folder / n for folder in path.parents for n in MANIFESTS if (folder / n).exists()), path)
    damage(path)
    code, said = verb(reader)
    assert code == 1
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    assert f"{name}' was damaged" in said
    assert "run the workflow again" in said
    assert not path.exists()
    assert not manifest.exists(), "the workflow makes anew what its manifest stands for"
    verb.well(*makers, reader)
    assert not [d for d in differences(copied, results(undisturbed)) if not (absent and d.startswith("store/"))]


def test_a_manifest_that_is_lost_costs_no_training(copied: Path, verb: Verbs):
    before = worth_keeping(copied)
    cut(copied / "checkpoints/mini-s/step30/checkpoint.json")
    assert verb("audit mini-s")[0] == 1
    verb.well("train mini-s")
    assert worth_keeping(copied) == before


@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("file", ["table.parquet", "entry.json"])
def test_a_damaged_entry_of_the_store_is_measured_again(
    copied: Path, undisturbed: Flow, verb: Verbs, damage: Callable[[Path], None], file: str
):
    for path in copied.glob(f"store/[!.]*/{file}"):
        damage(path)
    shutil.rmtree(copied / "measurements" / "mini-s")
    verb.well("extract mini-s 30 grammar", "extract mini-s 0 grammar")
    assert not [name for name in differences(copied, results(undisturbed)) if not name.startswith("store/")]


def test_a_damaged_tensor_is_not_taken_from_the_store(tmp_path: Path):
    store = Store(tmp_path)
    entry = store.put("a", pa.table({"item_id": ["x"]}), {"hidden": np.zeros((2, 3), "f4")}, {})
    flip(entry.folder / "hidden.safetensors")
    assert store.get("a") is None
    assert not entry.folder.exists()


def test_a_tensor_with_another_byte_is_not_analysed(tmp_path: Path):
    layout, store = Layout(tmp_path), Store(tmp_path / "store")
    entry = store.put("a", pa.table({"item_id": ["x"]}), {"hidden": np.ones((2, 3), "f2")}, {})
    path = layout.tensor("m", 1, "bias", "hidden")
    entry.copy_tensor("hidden", path)
    tables.write_table(entry.table(), layout.measurement("m", 1, "bias"), tensors=entry.tensors)
    read = read_tensor(layout, "m", 1, "bias", "hidden")
    assert read.dtype == np.float32
    assert read.tolist() == [[1.0] * 3] * 2
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="another SHA-256 than the table beside it names"):
        read_tensor(layout, "m", 1, "bias", "hidden")


def test_a_damaged_tensor_takes_the_table_beside_it_along(tmp_path: Path):
    layout = Layout(tmp_path)
    table, tensor = layout.measurement("m", 1, "bias"), layout.tensor("m", 1, "bias", "hidden")
    other = layout.measurement("m", 1, "grammar")
    for path in (table, tensor, other):
        tables.write_text(path, "")
    assert layout.forget(tensor)
    assert [path.exists() for path in (table, tensor, other)] == [False, False, True]


def test_a_damaged_file_of_the_users_is_left_alone(tmp_path: Path):
    mine = tmp_path / "mine.parquet"
    mine.write_text("precious")
    assert not Layout(tmp_path / "results" / "nano").forget(mine)
    assert mine.exists()


def test_a_damaged_recipe_is_written_anew_by_the_next_start(copied: Path, undisturbed: Flow, verb: Verbs, monkeypatch: pytest.MonkeyPatch):
    [path] = copied.glob("recipes/figures.grammar-*.json")
    before = path.read_text()
    cut(path)
    assert verb("figures grammar")[0] == 1
    assert not path.exists()
    monkeypatch.chdir(copied.parents[1])
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(undisturbed.suites))
    recipes.write_all(config.resolve(config.read(undisturbed.folder / "config.yaml")))
    assert path.read_text() == before


def test_no_flipped_bit_of_a_tables_data_is_read_as_data(copied: Path):
    path = copied / "measurements/mini-s/step30/grammar.parquet"
    content, expected = path.read_bytes(), tables.read_arrow(path)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for at in random.Random(1).sample(range(footer), 200):
        damaged = bytearray(content)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        try:
            assert tables.read_arrow(path).equals(expected), at
        except Damaged:
            continue


def test_the_same_command_makes_damaged_results_anew(at: Callable[[str], Flow], undisturbed: Flow):
    flow = at("finished")
    for name, damage in [("claims/grammar.parquet", cut), ("measurements/mini-s/step30/grammar.parquet", cut)]:
        damage(results(flow) / name)
    remove(flow, "report.html")
    done = set()
    for _ in range(3):
        ended = flow.snakemake()
        done |= jobs(ended.stdout)
        if ended.returncode == 0:
            break
        assert "was damaged" in ended.stdout
    assert ended.returncode == 0
    assert differences(results(flow), results(undisturbed)) == []
    assert not [job for job in done if job.startswith(("train", "corpus", "order", "stimuli"))]
