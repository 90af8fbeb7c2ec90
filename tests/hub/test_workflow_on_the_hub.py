"""The workflow's own command on a suite that lies on a Hub, with the real client, from the audit to the report."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub import miniature
from hub.miniature import DUPLICATE, MISSING, MODEL, NAME, ORDER, PICKLED, SHARDED, STEPS
from hub.server import LoopbackHub
from trajectories import tables

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflow-on-the-hub")]

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "envs")
BIN = Path(sys.executable).parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature's checkpoints, order and suite file."""
    folder = tmp_path_factory.mktemp("miniature")
    miniature.build(folder)
    # a copy of the workflow, so that what somebody edits meanwhile plans no job here
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / part).exists():
            shutil.copy2(ROOT / part, folder / part)
    return folder


@pytest.fixture(scope="module")
def served(made: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        hub.add_checkpoints(MODEL, made / "checkpoints")
        hub.add(ORDER, {"main": {p.name: p for p in (made / "order").iterdir() if p.name != "order.json"}}, kind="datasets")
        yield hub


def command(folder: Path, made: Path, hub: LoopbackHub, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(made / "cache"), "TRAJECTORIES_SUITES": str(made / "suites")}
    environment |= {"PYTHONPATH": str(made / "workflow" / "src"), "TRAJECTORIES_CACHE": str(made / "downloads")}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def workplace(made: Path, served: LoopbackHub, data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder with a configuration, and Snakemake there."""
    folder = tmp_path_factory.mktemp("run")

    def snakemake(*arguments: str, **keys: Any) -> subprocess.CompletedProcess[str]:
        (folder / "config.yaml").write_text(yaml.safe_dump(miniature.config(data_dir, **keys)))
        return command(folder, made, served, [str(BIN / "snakemake"), "-s", str(made / "Snakefile"), "--cores", "2", *arguments])

    return folder, snakemake


def jobs(result: subprocess.CompletedProcess[str]) -> Counter[str]:
    """Jobs by rule, planned or run."""
    return Counter(re.findall(r"^(?:local)?rule (\w+):", result.stdout + result.stderr, re.MULTILINE))


def weights(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.suffix in (".safetensors", ".bin", ".part")]


@pytest.fixture(scope="module")
def first(workplace: tuple[Path, Run], served: LoopbackHub) -> Path:
    """One experiment, on a Hub that cuts a body short, asks to wait and fails once; weights are not kept."""
    folder, snakemake = workplace
    served.misbehave("status", r"/refs$", status=429, retry_after="1")
    served.misbehave("status", r"^/storage/.*/model", status=500, retry_after="1")
    served.misbehave("truncate", r"^/storage/.*/pytorch_model\.bin", after=10_000)
    served.misbehave("corrupt", r"^/storage/.*/model-00001-of")
    done = snakemake(f"results/{NAME}/claims/grammar.parquet", experiments=["grammar"], keep_checkpoints=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results" / NAME


def test_a_suite_on_a_misbehaving_hub_is_audited_fetched_measured_and_analysed(first, served):
    assert not [fault.kind for fault in served.faults if fault.times], "every misbehaviour was met"
    audit = tables.read_table(first / "audit" / "miniature.parquet").set_index("step")
    assert dict(audit["status"]) == {s: {MISSING: "missing", DUPLICATE: "duplicate"}.get(s, "ok") for s in STEPS}
    measured = {s: len(tables.read_table(first / "measurements" / "miniature" / f"step{s}" / "grammar.parquet")) for s in STEPS}
    assert measured[MISSING] == 0
    assert len({n for s, n in measured.items() if s != MISSING}) == 1
    steps = set(tables.read_table(first / "trajectories" / "grammar.parquet")["step"])
    assert steps == {s for s in STEPS if s not in (MISSING, DUPLICATE)}


def test_weights_are_gone_and_manifests_stay(first):
    assert weights(first / "checkpoints") == []
    for step in STEPS:
        manifest = tables.read_json(first / "checkpoints" / "miniature" / f"step{step}" / "checkpoint.json")
        kinds = {Path(name).suffix for name in manifest["files"]} - {".json"}
        assert kinds == {PICKLED: {".bin"}, MISSING: set()}.get(step, {".safetensors"})
        assert step != SHARDED or len([n for n in manifest["files"] if n.endswith(".safetensors")]) > 1


def test_code_from_the_hub_is_never_fetched(first, served):
    assert not served.asked(r"\.py")


@pytest.fixture(scope="module")
def second(first: Path, workplace: tuple[Path, Run], served: LoopbackHub) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The other experiment too, after a branch has moved; what Snakemake said, and the commits of which weights were asked for."""
    _, snakemake = workplace
    served.repositories["models", MODEL].commit(f"step{SHARDED}", dict.fromkeys(["config.json", "model.safetensors"], b"another model"))
    before = len(served.requests)
    done = snakemake(keep_checkpoints=False)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [r.path for r in served.requests[before:] if f"/{MODEL}/resolve/" in r.path]
    return done, [path.split("/resolve/")[1].split("/")[0] for path in asked]


def test_a_second_experiment_fetches_the_weights_again_and_repeats_nothing_else(first, second):
    done, commits = second
    ran = jobs(done)
    assert (ran["stimuli"], ran["extract"]) == (1, len(STEPS))
    assert not {"audit", "fetch"} & set(ran), "the manifests outlive the weights"
    audited = tables.read_table(first / "audit" / "miniature.parquet")["commit"]
    assert commits
    assert set(commits) <= set(audited), "the branch has moved since"
    assert weights(first / "checkpoints") == []


def test_the_report_is_written(first, second):
    assert (first / "report.html").stat().st_size > 10_000


def test_then_nothing_is_to_be_done(second, workplace):
    _, snakemake = workplace
    done = snakemake("-n", keep_checkpoints=False)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_no_log_holds_an_address_that_opens_a_file(first, second):
    logs = [p for p in (first / "logs").rglob("*.log") if p.is_file()]
    assert logs
    assert not [p for p in logs if "signature=" in p.read_text()]


def test_rows_are_read_by_range_from_the_order_s_shards(second, served):
    ranged = [r for r in served.asked(r"^/storage/.*/document-") if r.range]
    assert ranged
    assert {r.status for r in ranged} == {206}


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("corrupt", {}, "arrived twice with another content"),
        ("status", {"status": 404}, "answered 404"),
    ],
)
def test_what_stays_wrong_ends_the_command_with_one_sentence(made, served, data_dir, tmp_path, kind, options, said):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(miniature.config(data_dir, experiments=["grammar"])))
    trajectories = str(BIN / "trajectories")
    audited = command(tmp_path, made, served, [trajectories, "audit", "miniature"])
    assert audited.returncode == 0, audited.stderr
    fault = served.misbehave(kind, r"^/storage/.*/pytorch_model", times=float("inf"), **options)
    try:
        done = command(tmp_path, made, served, [trajectories, "fetch", "miniature", str(PICKLED)])
    finally:
        served.faults.remove(fault)
    assert done.returncode == 1
    assert said in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "signature=" not in done.stderr, "addresses that open a file stand in no log"
    assert not [p for p in weights(tmp_path) if p.stat().st_size]
