"""``trajectories plan``: for people, before anything is run."""

import re
from pathlib import Path

import pytest
import yaml
from trajectories.cli import main
from workflow.flow import Flow


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    given = {"suite": "nano", "experiments": ["grammar", "memorization"], "results": str(tmp_path / "results")}
    path.write_text(yaml.safe_dump(given))
    return path


def test_the_plan_is_printed_and_nothing_is_made(config: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--config", str(config)]) == 0
    out = capsys.readouterr().out
    assert "late-rows-memorized" in out
    assert "power to refute" in out
    assert "grammar: has no plan of its own" in out
    assert not (config.parent / "results").exists()


def test_the_plan_follows_the_configuration(config: Path, capsys: pytest.CaptureFixture[str]):
    wide = ["--set", "memorization={stimuli: {rows: 50000}, analyse: {odds_ratio: 2.0}}"]
    assert main(["plan", "--config", str(config), *wide]) == 0
    out = capsys.readouterr().out
    assert "50,000" in out
    assert "odds ratio of 2 " in out


def test_an_experiment_that_the_suite_cannot_serve_is_named(config: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["plan", "--config", str(config), "--set", "suite=pythia-v0-published"]) == 0
    assert "memorization: left out, since" in capsys.readouterr().out


def test_a_plan_knows_no_recipe(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["plan", "--recipe", "x.json"])
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    "keys",
    [{"models": ["mini-s-swapped"]}, {"suite": "pythia", "models": ["pythia-70m", "pythia-12b"], "steps": [0, 1000]}],
    ids=["trained", "hub"],
)
def test_the_jobs_are_those_that_snakemake_plans(unrun: Flow, keys: dict):
    unrun.configure(**keys)
    try:
        said = unrun.snakemake("-n")
        printed = unrun.command("plan").stdout
    finally:
        unrun.configure()
    assert said.returncode == 0, said.stdout[-3000:]
    planned: dict[str, int] = {}
    # the table stands there twice
    for rule, jobs in dict(re.findall(r"^(\w[\w.-]*) +(\d+)$", said.stdout, re.MULTILINE)).items():
        name = "train" if rule.startswith("train_") else rule
        planned[name] = planned.get(name, 0) + int(jobs)
    rows = {rule: (int(jobs), int(there)) for rule, jobs, there in re.findall(r"^(\w+) +(\d+) +(\d+)$", printed, re.MULTILINE)}
    assert planned.pop("all") == 1
    assert planned.pop("total") - 1 == rows.pop("all")[0]
    assert {rule: jobs for rule, (jobs, _) in rows.items()} == planned
    assert {there for _, there in rows.values()} == {0}


def test_published_results_of_models_larger_than_any_job_could_hold_are_planned(unrun: Flow, tmp_path: Path):
    suite = (unrun.folder / "workflow" / "suites" / "pythia-published.yaml").read_text()
    old, new = (f"parameters_total: {total}, parameters_non_embedding: {total - 519045120}" for total in (11846072320, 10**13))
    assert suite.count(old) == 1
    (tmp_path / "huge.yaml").write_text(suite.replace(old, new))
    jobs = Flow(unrun.folder, tmp_path).planned("--config", "suite=huge", "models=['pythia-12b']", "experiments=['bias']")
    assert "published pythia-12b" in jobs
