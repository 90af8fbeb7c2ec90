"""The embedded suite's own checkpoints and order, served as if they were Pythia's: what comes over the Hub is what was trained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hub.server import LoopbackHub
from trajectories import tables
from trajectories.layout import Layout
from trajectories.orders import open_order
from trajectories.suites import load_suite
from workflow.flow import copy_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflow-on-the-hub")]

ROOT = Path(__file__).resolve().parents[2]
NANO = Layout(ROOT / "results" / "nano")
STEPS = [512, 1200]


def suite_on_the_hub() -> dict:
    """Nano-s as a Hub suite: the same facts, told to lie in repositories."""
    trained = load_suite("nano")
    manifest = tables.read_json(NANO.order("standard") / "order.json")
    shards = [shard["name"] for shard in manifest["shards"]]
    remote = {"repository": "EleutherAI/pile-nano", "index": manifest["index"], "shards": shards}
    place = {"repository": "EleutherAI/pythia-nano", "revision": "step{step}", "steps": STEPS}
    drop = {"schedule", "anomalies", "notes", "published", "revisions"}
    return {
        "title": "Nano on the Hub",
        "description": "The embedded suite as if it were Pythia.",
        "source": "hub",
        "tokenizer": "EleutherAI/pythia-nano",
        "orders": {"standard": {"row_tokens": manifest["row_tokens"], "rows": manifest["rows"], **remote}},
        "models": [{**trained.model("nano-s").model_dump(mode="json", exclude=drop, exclude_none=True), **place}],
    }


def test_nano_served_as_pythia_is_measured_as_nano(tmp_path: Path) -> None:
    if not NANO.report.is_file():
        pytest.skip("needs the results of `make` in results/nano")
    code = copy_of(ROOT, tmp_path / "code")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "nano-hub.yaml").write_text(yaml.safe_dump(suite_on_the_hub(), sort_keys=False))
    settings = {"stimuli": {"rows": 60, "strata": 4}, "analyse": {"simulations": 40}}
    (code / "config.yaml").write_text(
        yaml.safe_dump({"suite": "nano-hub", "experiments": ["memorization"], "device": "cpu", "memorization": settings})
    )
    with LoopbackHub() as hub:
        hub.add_checkpoints("EleutherAI/pythia-nano", NANO.checkpoint("nano-s", 0).parent)
        files = {p.name: p for p in NANO.order("standard").iterdir() if p.name != "order.json"}
        hub.add("EleutherAI/pile-nano", {"main": files}, kind="datasets")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "cache"), "TRAJECTORIES_SUITES": str(tmp_path / "suites")}
        command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--nocolor"]
        done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-4000:]

    found = Layout(code / "results" / "nano-hub")
    assert found.report.is_file()
    assert tables.read_table(found.audit())["status"].tolist() == ["ok", "ok"]
    shown = tables.read_table(found.stimuli("memorization")).set_index("item_id")
    once = tables.read_table(found.exposures("memorization")).drop_duplicates("item_id", keep=False)  # copies stand elsewhere in their rows
    rows = open_order(NANO.order("standard"))[once["row"].to_numpy()][:, :64]
    assert len(once) > 30
    assert np.array_equal(np.stack(shown.loc[once["item_id"], "input_ids"].tolist()), rows), "rows read by range are the order's"
    for step in STEPS:
        here, there = (tables.read_json(place.checkpoint("nano-s", step) / "checkpoint.json") for place in (NANO, found))
        assert there["weights_sha256"] == here["weights_sha256"]
        assert len(tables.read_table(found.measurement("nano-s", step, "memorization"))) == len(shown) == 60
