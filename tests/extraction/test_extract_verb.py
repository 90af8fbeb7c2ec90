"""``trajectories extract``: weights read once, results kept, damage noticed."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from extraction.tiny import ALL, Place, table_of
from safetensors.numpy import load_file
from trajectories import tables
from trajectories.errors import UserError
from trajectories.extraction import model as models
from trajectories.extraction import run
from trajectories.extraction.store import Store
from trajectories.hub import fetch
from trajectories.locks import Held
from trajectories.verbs import extract

SUMS = [{"name": "logprob", "options": {}}]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoints whose weights were loaded."""
    found: list[Path] = []
    load = models.load
    monkeypatch.setattr(models, "load", lambda folder, *rest: found.append(folder) or load(folder, *rest))
    return found


def other(module: Any, factor: float) -> Any:
    found = copy.deepcopy(module)
    with torch.no_grad():
        found.lm_head.weight.mul_(factor)
    return found


def test_all_measures_are_written_with_their_provenance(place: Place, sequences: list[list[int]]) -> None:
    place.show("grammar", table_of(sequences, paradigm=["x"] * len(sequences)), ALL)
    found = place.extract("grammar")
    assert list(found) == ["item_id", "logprob", "n_tokens", "matched", "memorized", "min_margin", "hits", "score"]
    tensor = load_file(place.layout.tensor("tiny-a", 0, "grammar", "hidden"))["hidden"]
    assert tensor.shape == (len(sequences), 1, 4, 32)
    about = tables.provenance(place.layout.measurement("tiny-a", 0, "grammar"))
    weights = tables.sha256(place.layout.checkpoint("tiny-a", 0) / "model.safetensors")
    assert about["targets"] == {"model": "tiny-a", "step": 0, "experiment": "grammar"}
    assert set(about["inputs"]) == {"stimuli/grammar.parquet", "checkpoints/tiny-a/step0/checkpoint.json"}
    how = about["extraction"]
    assert (how["weights_sha256"], how["dtype"], how["device"]) == (weights, "float32", "cpu")
    assert {"torch", "transformers"} <= set(how["packages"])
    assert about["code"] == how["code"]


def test_one_load_serves_all_experiments_whose_stimuli_are_there(place: Place, sequences: list[list[int]], loads: list[Path]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    place.show("memorization", table_of(sequences[:9]), ALL)
    every = ("grammar", "memorization", "not-made-yet")
    place.extract("grammar", experiments=every)
    assert not place.layout.measurement("tiny-a", 0, "memorization").exists()
    place.extract("memorization", experiments=every)
    assert len(loads) == 1


def test_an_added_experiment_extracts_only_itself(place: Place, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    place.extract("grammar")
    place.show("memorization", table_of(sequences[:9]), SUMS)
    measured = []
    measure = run.measure

    def noted(model: Any, items: Any, plan: Any, tokens: int, where: str, tell: Any) -> Any:
        measured.append(where)
        return measure(model, items, plan, tokens, where, tell)

    monkeypatch.setattr(run, "measure", noted)
    place.extract("memorization", experiments=("grammar", "memorization"))
    assert measured == ["memorization"]


def test_a_change_in_an_experiments_own_columns_extracts_nothing_and_one_in_its_items_does(
    place: Place, sequences: list[list[int]], loads: list[Path]
) -> None:
    place.show("grammar", table_of(sequences, paradigm=["x"] * len(sequences)), SUMS)
    before = place.extract("grammar")
    place.show("grammar", table_of(sequences, paradigm=["renamed"] * len(sequences)), SUMS)
    pd.testing.assert_frame_equal(place.extract("grammar"), before)
    assert len(loads) == 1
    place.show("grammar", table_of([*sequences[1:], [0, 4, 4]]), SUMS)
    place.extract("grammar")
    assert len(loads) == 2


def test_a_second_run_gives_the_same_bytes(place: Place, sequences: list[list[int]]) -> None:
    import shutil

    place.show("grammar", table_of(sequences), ALL)
    paths = [place.layout.measurement("tiny-a", 0, "grammar"), place.layout.tensor("tiny-a", 0, "grammar", "hidden")]
    written = []
    for _ in range(2):
        place.extract("grammar")
        written.append([p.read_bytes() for p in paths])
        shutil.rmtree(place.layout.store)
    assert written[0] == written[1]


def test_a_truncated_entry_is_computed_again(place: Place, sequences: list[list[int]], loads: list[Path]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    before = place.extract("grammar")
    stored = next(place.layout.store.glob("*/table.parquet"))
    stored.write_bytes(stored.read_bytes()[:-20])
    pd.testing.assert_frame_equal(place.extract("grammar"), before)
    assert len(loads) == 2


COPY = """
import sys
from trajectories.cli import main
code = main(sys.argv[1:])
print(code, sorted({"torch", "transformers", "huggingface_hub", "pandas"} & set(sys.modules)))
"""


def test_what_is_in_the_store_is_copied_without_importing_what_takes_seconds(place: Place, sequences: list[list[int]]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    place.extract("grammar")
    path = place.layout.measurement("tiny-a", 0, "grammar")
    before = path.read_bytes()
    path.unlink()
    recipe = place.layout.recipe("extract-0123456789abcdef")
    suite = place.suite.model_dump(mode="json")
    tables.write_json(recipe, {"suite": suite, "section": {}, "seed": 0, "extra": {}, "code": place.settings.code})
    command = [sys.executable, "-c", COPY, "extract", "tiny-a", "0", "grammar", "--recipe", str(recipe)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.stdout.strip() == "0 []", out.stderr
    assert path.read_bytes() == before


def test_the_process_goes_on_to_checkpoints_that_wait_for_a_while(
    place: Place, module: Any, sequences: list[list[int]], loads: list[Path]
) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    for step in (2, 4, 8):
        place.save(other(module, step), step)
    place.extract("grammar", step=2)
    assert [int(p.name[4:]) for p in loads] == [2, 4, 8, 0]
    assert not place.layout.measurement("tiny-a", 4, "grammar").exists()
    place.extract("grammar", step=4)
    assert len(loads) == 4


def test_it_goes_on_to_the_runs_own_steps_alone(place: Place, module: Any, sequences: list[list[int]], loads: list[Path]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    for step in (2, 4, 8):
        place.save(other(module, step), step)
    place.extract("grammar", steps=(0, 4))
    assert [int(p.name[4:]) for p in loads] == [0, 4]


def test_it_does_not_go_on_when_measuring_takes_long_or_another_has_the_checkpoint(
    place: Place, module: Any, sequences: list[list[int]], loads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    place.save(other(module, 2), 2)
    place.save(other(module, 4), 4)
    taken = extract.Checkpoint.read(place.settings, place.layout, "tiny-a", 2)
    with extract.Store(place.layout.store).lock(taken.weights):
        place.extract("grammar")
    assert [int(p.name[4:]) for p in loads] == [0, 4]
    monkeypatch.setattr(extract, "AHEAD", 0.0)
    place.save(other(module, 8), 8)
    place.extract("grammar", step=2)
    assert [int(p.name[4:]) for p in loads] == [0, 4, 2]


def test_a_damaged_checkpoint_ahead_is_left_to_its_own_job(place: Place, module: Any, sequences: list[list[int]]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    folder = place.save(other(module, 2), 2)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    place.extract("grammar", step=0)
    with pytest.raises(UserError, match=r"model.safetensors' is damaged \(SHA-256 .*run again"):
        place.extract("grammar", step=2)


def test_truncated_weights_and_missing_ones_are_named(place: Place, sequences: list[list[int]]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    weights = place.layout.checkpoint("tiny-a", 0) / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(UserError, match=r"model.safetensors' is damaged \(absent"):
        place.extract("grammar")
    weights.unlink()
    with pytest.raises(UserError, match=r"model.safetensors' is damaged \(absent"):
        place.extract("grammar")


def test_weights_that_do_not_fit_their_configuration_are_refused_and_not_filled_up(
    place: Place, module: Any, sequences: list[list[int]]
) -> None:
    from safetensors.torch import load_file as load_tensors
    from safetensors.torch import save_file

    place.show("grammar", table_of(sequences), SUMS)
    folder = place.layout.checkpoint("tiny-a", 0)
    tensors = load_tensors(folder / "model.safetensors")
    del tensors["gpt_neox.layers.1.mlp.dense_h_to_4h.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    manifest = tables.read_json(folder / "checkpoint.json")
    path = folder / "model.safetensors"
    manifest["files"]["model.safetensors"] = {"sha256": tables.sha256(path), "size": path.stat().st_size}
    tables.write_json(folder / "checkpoint.json", manifest)
    with pytest.raises(UserError, match=r"lack '.*layers.1.mlp.dense_h_to_4h.weight'"):
        place.extract("grammar")


def test_a_file_that_is_no_safetensors_is_one_sentence(place: Place) -> None:
    folder = place.layout.checkpoint("tiny-a", 0)
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(UserError, match="fetch or train"):
        models.load(folder, "float32", "cpu")


def test_missing_stimuli_and_an_unknown_checkpoint_say_what_to_run(place: Place, sequences: list[list[int]]) -> None:
    with pytest.raises(UserError, match=r"run `trajectories stimuli grammar` first"):
        place.extract("grammar")
    place.show("grammar", table_of(sequences), SUMS)
    with pytest.raises(UserError, match=r"step7/checkpoint.json' does not exist"):
        place.extract("grammar", step=7)


def test_a_siblings_unusable_stimuli_do_not_fail_the_job(place: Place, sequences: list[list[int]]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    place.show("knowledge", table_of([[0, 5000]]), SUMS)
    every = ("grammar", "knowledge")
    assert len(place.extract("grammar", experiments=every)) == len(sequences)
    with pytest.raises(UserError, match="token id 5000 is outside"):
        place.extract("knowledge", experiments=every)


@pytest.mark.parametrize("safe", [True, False])
def test_fetched_weights_are_removed_once_every_experiment_is_extracted(
    tmp_path: Path, module: Any, sequences: list[list[int]], safe: bool
) -> None:
    place = Place(tmp_path, source="hub")
    folder = place.save(module, 0, safe)
    weights = folder / ("model.safetensors" if safe else "pytorch_model.bin")
    place.show("grammar", table_of(sequences), SUMS)
    every = ("grammar", "memorization")
    place.extract("grammar", experiments=every, keep_checkpoints=True)
    assert weights.exists()
    place.extract("grammar", experiments=every, keep_checkpoints=False)
    assert weights.exists()
    place.show("memorization", table_of(sequences[:5]), SUMS)
    place.extract("memorization", experiments=every, keep_checkpoints=False)
    assert not weights.exists()
    assert (folder / "checkpoint.json").exists()
    place.layout.measurement("tiny-a", 0, "grammar").unlink()
    assert len(place.extract("grammar", experiments=every, keep_checkpoints=False)) == len(sequences)


def test_weights_trained_here_are_never_removed(place: Place, sequences: list[list[int]]) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    place.extract("grammar", keep_checkpoints=False)
    assert (place.layout.checkpoint("tiny-a", 0) / "model.safetensors").exists()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_suites_precision_is_computed_in_and_recorded(tmp_path: Path, module: Any, sequences: list[list[int]], dtype: str) -> None:
    exact, half = Place(tmp_path / "a"), Place(tmp_path / "b", dtype=dtype)
    found = []
    for place in (exact, half):
        place.save(module, 0)
        place.show("grammar", table_of(sequences), SUMS)
        found.append(place.extract("grammar")["logprob"].to_numpy())
    about = tables.provenance(half.layout.measurement("tiny-a", 0, "grammar"))
    assert about["extraction"]["dtype"] == dtype
    assert 0 < np.abs(found[0] - found[1]).max() < 0.05 * np.abs(found[0]).max()


def stolen(place: Place) -> None:
    """What a process finds that was stopped for longer than its lease: others have had the lock, and let it go."""
    for path in (place.layout.store / "leases").iterdir():
        path.unlink()


def test_a_process_that_lost_its_lock_looks_again_and_one_that_did_not_fails(
    place: Place, sequences: list[list[int]], loads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.show("grammar", table_of(sequences), SUMS)
    load, lost = models.load, [False, True]

    def removed(*arguments: Any) -> Any:
        if not lost:
            return load(*arguments)
        if lost.pop(0):
            stolen(place)
        raise UserError("The checkpoint lacks its weights.")

    monkeypatch.setattr(models, "load", removed)
    with pytest.raises(UserError, match="lacks its weights"):
        place.extract("grammar")
    assert len(place.extract("grammar")) == len(sequences)
    assert len(loads) == 1


def test_fetched_weights_stay_when_the_lock_was_lost(
    tmp_path: Path, module: Any, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, source="hub")
    weights = place.save(module, 0) / "model.safetensors"
    place.show("grammar", table_of(sequences), SUMS)

    def asked(folder: Path) -> int:
        raise AssertionError(folder)

    lock = Store.lock

    @contextlib.contextmanager
    def losing(store: Store, name: str, wait: bool = True) -> Iterator[Held]:
        with lock(store, name, wait) as held:
            if not weights.exists() or any(store.root.glob("*/entry.json")):
                stolen(place)
            yield held

    with monkeypatch.context() as patch:
        patch.setattr(Store, "lock", losing)
        patch.setattr(fetch, "discard", asked)
        place.extract("grammar", keep_checkpoints=False)
    place.extract("grammar", keep_checkpoints=False)
    assert not weights.exists()
