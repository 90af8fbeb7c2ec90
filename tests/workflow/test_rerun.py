"""What is run again after a change, by the jobs that a dry run lists."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from workflow.conftest import LESS
from workflow.flow import Flow, touch_everything

pytestmark = pytest.mark.xdist_group("workflow")

EXTRACTIONS = {
    f"extract {model} {step} grammar" for model, steps in {"mini-s": [0, 20, 30], "mini-s-swapped": [30]}.items() for step in steps
}
BEHIND_EXTRACTION = {"analyse grammar", "figures grammar", "report"}


def test_a_run_makes_what_the_contract_promises(finished: Flow):
    root = finished.folder / "results" / "miniature"
    for path in ["report.html", "claims.json", "audit.parquet", "corpus/corpus.json", "order/standard/order.json"]:
        assert (root / path).is_file(), path
    for table in ["stimuli", "exposures", "trajectories", "claims", "calibration", "recovery", "measurements/mini-s/step20"]:
        assert (root / table / "grammar.parquet").is_file(), table
    assert list((root / "figures" / "grammar").glob("*.svg"))
    assert (root / "checkpoints" / "mini-s" / "step10" / "model.safetensors").is_file()


def test_nothing_is_to_be_done_after_a_finished_run(finished: Flow):
    assert finished.planned() == set()


def test_touching_every_file_reruns_nothing(twin: Flow):
    touch_everything(twin.folder)
    assert twin.planned() == set()


@pytest.mark.parametrize("records", [True, False], ids=["with records", "without records"])
def test_a_fresh_clone_takes_over_copied_results(clone: Callable[[bool], Flow], records: bool):
    assert clone(records).planned() == set()


def test_an_edit_of_figures_redraws_them_and_undoing_it_leaves_nothing_to_do(twin: Flow):
    path = twin.folder / "workflow/src/trajectories/experiments/grammar/figures/accuracy.py"
    before = path.read_text()
    twin.edit("experiments/grammar/figures/accuracy.py")
    assert twin.planned() == {"figures grammar", "report"}
    path.write_text(before)
    assert twin.planned() == set()


def test_an_edit_of_an_experiments_statistics_does_not_extract_again(twin: Flow):
    twin.edit("experiments/grammar/analyse.py")
    assert twin.planned() == BEHIND_EXTRACTION


@pytest.mark.parametrize("records", [True, False], ids=["with records", "without records"])
def test_an_edit_of_extraction_reruns_everything_behind_it_in_a_fresh_clone_too(clone: Callable[[bool], Flow], records: bool):
    flow = clone(records)
    path = flow.edit("extraction/measures.py")
    assert flow.planned() == EXTRACTIONS | BEHIND_EXTRACTION
    path.write_text(path.read_text().removesuffix("\nEDITED = True\n"))
    assert flow.planned() == set()


def test_an_edit_that_was_run_and_is_undone_reruns_even_without_records(clone: Callable[[bool], Flow]):
    flow = clone(False)
    path = flow.edit("report/__init__.py")
    assert flow.run() == {"report"}
    path.write_text(path.read_text().removesuffix("\nEDITED = True\n"))
    subprocess.run(["rm", "-r", flow.folder / ".snakemake"], check=True)
    assert flow.planned() == {"report"}


def test_an_edit_of_one_experiment_leaves_the_others_alone(twin: Flow):
    twin.edit("experiments/memorization/analyse.py")
    assert twin.planned() == set()


def test_a_margin_changes_analysis_but_not_stimuli(twin: Flow):
    twin.configure(**LESS, grammar={"analyse": {"draws": 101, "permutations": 100, "simulations": 20}})
    assert twin.planned() == BEHIND_EXTRACTION


def test_what_changes_no_result_reruns_nothing(twin: Flow):
    twin.configure(**LESS, batch_tokens=1000)
    assert twin.planned() == set()


def test_one_more_step_is_extracted_alone(twin: Flow):
    twin.configure(**{**LESS, "steps": [0, 10, 20, 30]})
    assert twin.planned() == {"extract mini-s 10 grammar"} | BEHIND_EXTRACTION


def test_one_more_model_is_trained_audited_and_extracted_alone(twin: Flow):
    twin.configure(**{**LESS, "models": "all"})
    new = {f"extract mini-m {step} grammar" for step in (0, 20, 30)}
    assert twin.planned() == {"train_mini-m", "audit mini-m", "audit_all"} | new | BEHIND_EXTRACTION


def test_one_more_experiment_leaves_the_first_ones_results_as_they_are(twin: Flow):
    tables = sorted((twin.folder / "results/miniature").glob("*/**/grammar.parquet"))
    before = {path: os.stat(path).st_mtime_ns for path in tables}
    twin.configure(**{**LESS, "experiments": ["grammar", "memorization"]})
    new = {job.replace("grammar", "memorization") for job in EXTRACTIONS | BEHIND_EXTRACTION | {"stimuli grammar"}}
    assert twin.planned() == new
    assert twin.run() == new
    assert {path: os.stat(path).st_mtime_ns for path in tables} == before
    claims = pd.read_json(twin.folder / "results/miniature/claims.json")
    assert set(claims["experiment"]) == {"grammar", "memorization"}
    assert twin.planned() == set()


def test_snakemakes_own_report_holds_figures_and_captions(finished: Flow, tmp_path: Path):
    report = tmp_path / "report.zip"
    done = finished.snakemake("--report", str(report))
    assert done.returncode == 0, done.stdout[-3000:]
    with zipfile.ZipFile(report) as archive:
        names = archive.namelist()
        page = next(archive.read(name).decode() for name in names if name.endswith("report.html"))
    drawn = [path.name for path in (finished.folder / "results/miniature/figures/grammar").glob("*.svg")]
    assert drawn
    assert all(any(name.endswith(figure) for name in names) for figure in drawn)
    assert "smallest effect that matters" in page


@pytest.mark.parametrize("profile", ["default", "local", "slurm"])
def test_every_profile_lets_large_tables_be_compared_by_content(finished: Flow, profile: str):
    keys = yaml.safe_load((finished.folder / "workflow/profiles" / profile / "config.yaml").read_text())
    assert keys["max-checksum-file-size"] >= 10**9
