"""``trajectories plan``: for people, before anything is run."""

from pathlib import Path

import pytest
import yaml
from trajectories.cli import main


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
