"""What the audit finds wrong is left out of everything that follows, and named with the evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from trajectories import tables
from workflow.conftest import LESS
from workflow.flow import Flow

pytestmark = pytest.mark.xdist_group("workflow")

STEP = 20


def another_run(folder: Path) -> None:
    """Put weights of the same sizes that no training has led to into a checkpoint, with the hashes that belong to them."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    mixed = np.random.default_rng(3)
    save_file({name: mixed.permutation(w.ravel()).reshape(w.shape) for name, w in weights.items()}, path, {"format": "pt"})
    manifest = tables.read_json(folder / "checkpoint.json")
    manifest["weights_sha256"] = tables.sha256(path)
    manifest["files"][path.name] = {"sha256": tables.sha256(path), "size": path.stat().st_size}
    tables.write_json(folder / "checkpoint.json", manifest)


def steps(flow: Flow) -> set[int]:
    found = tables.read_table(flow.folder / "results" / "miniature" / "trajectories" / "grammar.parquet")
    return set(found.loc[found["model"] == "mini-s", "step"])


def test_a_checkpoint_out_of_line_with_its_neighbours_is_left_out_and_named_unless_it_is_asked_for(twin: Flow):
    root = twin.folder / "results" / "miniature"
    before = tables.read_table(root / "trajectories" / "grammar.parquet")
    another_run(root / "checkpoints" / "mini-s" / f"step{STEP}")
    ran = twin.run()
    assert {"audit mini-s", f"extract mini-s {STEP} grammar", "analyse grammar", "report"} <= ran
    assert f"extract mini-s {STEP + 10} grammar" not in ran
    audit = tables.read_table(root / "audit.parquet").set_index(["model", "step"])
    assert set(audit.index[audit["status"] != "ok"]) == {("mini-s", STEP)}
    assert audit.loc[("mini-s", STEP), "status"] == "discontinuous"
    assert STEP not in steps(twin)
    after = tables.read_table(root / "trajectories" / "grammar.parquet")
    sound = before[(before["model"] != "mini-s") | (before["step"] != STEP)]
    values = ["model", "step", "metric", "level", "group", "setting", "value"]
    accuracy = [table[table["metric"] == "accuracy"][values].reset_index(drop=True) for table in (sound, after)]
    assert len(accuracy[0])
    assert accuracy[0].equals(accuracy[1]), "what is sound stays as it was"
    report = (root / "report.html").read_text()
    row = report.partition('id="left-out"')[2].partition("</section>")[0]
    assert "discontinuous" in row
    assert str(audit.loc[("mini-s", STEP), "detail"]) in row.replace("&#39;", "'")

    twin.configure(**{**LESS, "include_anomalous": True})
    assert "analyse grammar" in twin.run()
    assert STEP in steps(twin)
