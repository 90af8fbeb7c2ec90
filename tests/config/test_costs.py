"""What a run costs is told before it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from trajectories import config, costs, tables
from trajectories.hub.audit import SCHEMA
from trajectories.layout import Layout
from trajectories.verbs.plan import plan

GB = 10**9


def resolved(folder: Path, **keys: Any) -> config.Resolved:
    run = {"suite": "pythia", "experiments": ["grammar"], "models": ["pythia-70m"], "steps": [0, 1000, 143000], "results": str(folder)}
    return config.resolve({**run, **keys})


def audit(layout: Layout, model: str, sizes: dict[int, int | None]) -> None:
    rows = [
        {
            "model": model,
            "step": step,
            "status": "missing" if size is None else "ok",
            "files": "{}" if size is None else f'{{"config.json": {{"size": 500}}, "model.safetensors": {{"size": {size - 500}}}}}',
        }
        for step, size in sizes.items()
    ]
    table = pd.DataFrame(rows).reindex(columns=SCHEMA.names)
    tables.write_table(table, layout.audit(model), schema=SCHEMA)


def test_bytes_are_parameters_by_precision_until_the_audit_lists_them(tmp_path: Path) -> None:
    run = resolved(tmp_path)
    assert [w.size for w in costs.weights(run)] == [2 * 70_426_624] * 3
    audit(Layout(run.root), "pythia-70m", {0: 10_000, 1000: None, 143000: 30_000})
    found = costs.weights(run)
    assert [(w.step, w.size, w.files, w.audited) for w in found] == [(0, 10_000, 2, True), (143000, 30_000, 2, True)]


def test_requests_are_those_of_the_audit_and_of_the_downloads() -> None:
    # of a checkpoint the audit asks for a list, and 5 times for parts of one file of weights, 9 times for parts of three
    assert costs.Weights("m", 0, GB, files=3, shards=1, audited=False).requests == 1 + 5 + 2 * 3
    assert costs.Weights("m", 0, GB, files=6, shards=3, audited=True).requests == 1 + 9 + 2 * 6


@pytest.mark.parametrize(
    ("keys", "peak"),
    [({}, 154 * 24), ({"keep_checkpoints": False}, 3 * 24), ({"weights_disk_gb": 50}, 50), ({"weights_disk_gb": 100}, 3 * 24)],
)
def test_the_peak_on_the_disk_follows_the_keys(tmp_path: Path, keys: dict[str, Any], peak: int) -> None:
    run = resolved(tmp_path, models=["pythia-12b"], steps="all", **keys)
    assert costs.peak(run, costs.weights(run)) == pytest.approx(peak * GB, rel=0.02)


def timed(layout: Layout, model: str, step: int, seconds: float) -> None:
    path = layout.root / "benchmarks" / "extract" / model / f"step{step}" / "grammar.tsv"
    path.parent.mkdir(parents=True)
    path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t-\n")
    about = {"extraction": {"device": "cuda", "device_name": "Some GPU"}}
    tables.write_table(pa.table({"item_id": ["a"]}), layout.measurement(model, step, "grammar"), about)


def test_hours_are_those_timed_here_scaled_to_models_that_were_not(tmp_path: Path) -> None:
    run = resolved(tmp_path, models=["pythia-70m", "pythia-12b"])
    assert "plan again" in "\n".join(plan(run))
    timed(Layout(run.root), "pythia-70m", 0, 36.0)
    found = costs.measured_seconds(run)
    assert found.to_dict("records") == [
        {"model": "pythia-70m", "parameters": 70_426_624, "checkpoints": 1, "seconds": 36.0, "device": "Some GPU"}
    ]
    larger = run.suite.model("pythia-12b").parameters_total / 70_426_624
    assert costs.hours(run, found) == pytest.approx(0.01 * (2 + 3 * larger))
    assert "1 checkpoints timed here (Some GPU)" in "\n".join(plan(run))


def test_a_checkpoint_above_the_bound_is_told(tmp_path: Path) -> None:
    text = "\n".join(plan(resolved(tmp_path, models=["pythia-12b"], weights_disk_gb=20)))
    assert "which is more: raise it" in text
    assert "raise it" not in "\n".join(plan(resolved(tmp_path, weights_disk_gb=20)))


def test_every_suite_has_a_line() -> None:
    lines = costs.suites_table().splitlines()
    assert len({line.count("|") for line in lines}) == 1
    pythia = next(line for line in lines if line.startswith("| `pythia` "))
    assert [cell.strip() for cell in pythia.split("|")[2:4]] == ["10", "1,540"]


def test_hidden_states_take_what_their_items_layers_and_widths_take(tmp_path: Path) -> None:
    run = resolved(tmp_path, experiments=["grammar", "bias"])
    layout = Layout(run.root)
    assert "not chosen yet" in "\n".join(plan(run))
    items = {"item_id": ["a", "b", "c"], "input_ids": [[1, 2], [1, 2, 3], [4, 5]], "start": [1, 1, 1], "end": [2, 3, 2]}
    table = pa.table({**items, "probe": [True, False, True]})
    tables.write_table(table.drop(["probe"]), layout.stimuli("grammar"), measures=[{"name": "logprob"}])
    asked = {"name": "hidden", "options": {"layers": [2, -1], "rows": "probe"}}
    tables.write_table(table, layout.stimuli("bias"), measures=[asked])
    # two items, two layers, 512 numbers of two bytes (the suite's float16), three checkpoints
    assert costs.hidden_states(run) == 2 * 2 * 512 * 2 * 3
    assert costs.hidden_states(resolved(tmp_path, experiments=["grammar", "bias"], dtype="float32")) == 2 * 2 * 512 * 4 * 3
    assert "12.3 kB of hidden states, and tables, whose size" in "\n".join(plan(run))
    tables.write_table(pa.table({"item_id": ["a"]}), layout.measurement("pythia-70m", 0, "bias"))
    size = layout.measurement("pythia-70m", 0, "bias").stat().st_size
    assert f"{costs.size(3 * 2 * size)} of tables, as the 1 checkpoints here take" in "\n".join(plan(run))
