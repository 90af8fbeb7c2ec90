"""A model that is spread over several devices, as transformers and accelerate do it.

Without GPUs the second place is the disk, from which accelerate brings a layer to where it computes; between two GPUs tensors travel by the
same hooks.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extraction.tiny import ALL, Place, asked, items_of, table_of
from trajectories import tables
from trajectories.errors import UserError
from trajectories.extraction import devices
from trajectories.extraction import model as models
from trajectories.extraction.model import LanguageModel
from trajectories.extraction.run import measure

accelerate = pytest.importorskip("accelerate")


@pytest.fixture
def spread(module: Any, tmp_path: Path) -> Any:
    """The tiny model with its last layer, its final norm and its head at another place."""
    found = copy.deepcopy(module)
    inner = {name: "cpu" for name, _ in found.gpt_neox.named_children() if name not in ("layers", "final_layer_norm")}
    places = {f"gpt_neox.{name}": place for name, place in inner.items()}
    places |= {f"gpt_neox.layers.{i}": "cpu" if i < 2 else "disk" for i in range(3)}
    places |= {"gpt_neox.final_layer_norm": "disk", "lm_head": "disk"}
    found = accelerate.dispatch_model(found, places, offload_dir=tmp_path / "offloaded")
    found.hf_device_map = places
    return found


@pytest.mark.parametrize("measures", [("logprob", "greedy", "generate", "hidden"), ("lens",)])
def test_measurements_are_those_of_the_model_in_one_piece(
    model: LanguageModel, spread: Any, sequences: list[list[int]], measures: tuple[str, ...]
) -> None:
    plan = asked(*measures)
    items = items_of(sequences, plan)
    there = LanguageModel(spread, torch.device("cpu"))
    assert (model.shards, there.shards) == (1, 2)
    expected, states = measure(model, items, plan, 4096, "test")
    found, shared = measure(there, items, plan, 4096, "test")
    assert found.column_names == expected.column_names
    for name in found.column_names[1:]:
        left, right = (np.concatenate([np.ravel(v) for v in t[name].to_pylist()]).astype(float) for t in (found, expected))
        np.testing.assert_allclose(left, right, atol=1e-5)
    for name, tensor in states.items():
        np.testing.assert_allclose(shared[name], tensor, atol=1e-5)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, spread: Any) -> list[dict[str, Any]]:
    """As if there were two GPUs: what transformers was asked for, and the model that it then gives."""
    given: list[dict[str, Any]] = []
    real = models.transformers.AutoModelForCausalLM.from_pretrained

    def loaded(folder: Path, **options: Any) -> Any:
        given.append(options)
        if "device_map" not in options:
            return real(folder, **options)
        return spread, {"missing_keys": []}

    monkeypatch.setattr(models.transformers.AutoModelForCausalLM, "from_pretrained", loaded)
    monkeypatch.setattr(models, "choose_device", lambda wanted: torch.device("cuda"))
    monkeypatch.setattr(devices, "claim", lambda device, number: None)
    return given


def test_weights_that_would_have_to_stay_outside_the_gpus_are_refused(place: Place, two_gpus: list[dict[str, Any]]) -> None:
    with pytest.raises(UserError, match="does not fit into the memory of 2 GPUs; ask for more, or choose a narrower 'dtype'"):
        models.load(place.layout.checkpoint("tiny-a", 0), "float32", "cuda", gpus=2)
    assert two_gpus[0]["device_map"] == "balanced"


def test_without_accelerate_several_gpus_are_refused(place: Place, two_gpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.transformers.utils, "is_accelerate_available", lambda: False)
    with pytest.raises(UserError, match="needs the package accelerate"):
        models.load(place.layout.checkpoint("tiny-a", 0), "float32", "cuda", gpus=2)


def test_how_many_devices_shared_the_model_stands_with_the_measurement(
    place: Place, spread: Any, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.show("grammar", table_of(sequences), ALL)
    monkeypatch.setattr(models, "load", lambda *arguments: LanguageModel(spread, torch.device("cpu")))
    place.extract("grammar", gpus=2)
    assert tables.provenance(place.layout.measurement("tiny-a", 0, "grammar"))["extraction"]["devices"] == 2


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_share_a_model(place: Place, model: LanguageModel, sequences: list[list[int]]) -> None:
    plan = asked("logprob", "greedy", "generate", "hidden", "lens")
    items = items_of(sequences, plan)
    there = models.load(place.layout.checkpoint("tiny-a", 0), "float32", "cuda", gpus=2)
    assert there.shards == 2
    expected, _ = measure(model, items, plan, 4096, "test")
    found, _ = measure(there, items, plan, 4096, "test")
    np.testing.assert_allclose(found["logprob"].to_numpy(), expected["logprob"].to_numpy(), atol=1e-4)
