"""The README's examples of an experiment and a suite, as a reader would take them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trajectories import config, tables
from workflow.flow import Flow

pytestmark = pytest.mark.xdist_group("workflow")


def example(readme: Path, name: str) -> str:
    """The code between the README's marks."""
    text = readme.read_text(encoding="utf-8")
    block = re.search(rf"<!-- example:{name}:begin -->\n```\w+\n(.*?)```\n<!-- example:{name}:end -->", text, re.DOTALL)
    assert block, f"the README shows no {name}"
    return block[1]


def test_the_readmes_experiment_is_one_module_and_a_name_in_the_configuration(twin: Flow, checkout: Path):
    (twin.folder / "workflow/src/trajectories/experiments/loss.py").write_text(example(checkout / "README.md", "experiment"))
    twin.configure(models=["mini-s", "mini-s-swapped"], steps=[0, 20, 30], experiments=["grammar", "loss"])
    done = twin.run()
    assert {"stimuli loss", "extract mini-s 0 loss", "analyse loss", "figures loss", "report"} <= done
    assert not {job for job in done if "grammar" in job or job.startswith("train")}
    root = twin.folder / "results" / "miniature"
    loss = tables.read_table(root / "trajectories" / "loss.parquet")
    assert loss.loc[loss["step"] == 0, "value"].between(6, 8).all(), "an untrained model spreads over a vocabulary of 1,024: ln is 6.9"
    assert (root / "figures" / "loss" / "loss.svg").is_file()
    assert "Loss over training" in (root / "report.html").read_text(encoding="utf-8")


def test_the_readmes_suite_fits_the_schema(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.yaml").write_text(example(checkout / "README.md", "suite"))
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(tmp_path))
    resolved = config.resolve({"suite": "mine", "experiments": ["grammar", "memorization"]})
    assert resolved.steps("my-70m") == [1000, 143000]
    assert resolved.suite.model("my-70m").revision_of(1000) == "step1000"
