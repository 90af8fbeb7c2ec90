"""The command by itself: what it refuses, and that it removes nothing of the user's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from trajectories import cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run the command on an empty folder of results; its exit code and what it prints as an error."""

    def run(*arguments: str) -> tuple[int, str]:
        code = cli.main([*arguments, "--config", str(ROOT / "config.yaml"), "--set", f"results={tmp_path}"])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize("name", ["config.yaml", "recipes/notes.json", "else/analyse.bias-0123456789abcdef.json"])
def test_a_file_that_is_no_recipe_is_refused_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("precious: true")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["analyse", "bias", "--recipe", str(path)]) == 1
    assert "is no recipe; those lie in '<results>/<suite>/recipes'" in capsys.readouterr().err
    assert (path.read_text(), sorted(tmp_path.rglob("*"))) == ("precious: true", before)


def test_a_recipe_that_holds_none_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "recipes" / "analyse.bias-0123456789abcdef.json"
    path.parent.mkdir()
    path.write_text('{"a": 1}')
    assert cli.main(["analyse", "bias", "--recipe", str(path)]) == 1
    assert "was damaged (it holds no recipe)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["stimuli", "grammar"], "holds no corpus; run `trajectories corpus` first."),
        (["analyse", "grammar"], "does not exist; run the verb that makes it first (`trajectories --help` lists them in their order)."),
        (["extract", "nano-m", "601", "grammar"], "Unknown step of 'nano-m' '601' (did you mean '600'?)"),
        (["corpus", "--set", "suite=pythia"], "Suite 'pythia' is not trained here, so it has no corpus"),
        (["plan", "--set", "grammar={stimuli: {pairs: 2"], "--set grammar: '{stimuli: {pairs: 2' is no valid YAML"),
        (["plan", "--set", "steps=[]"], "The key 'steps' names no step; name at least one, or 'all'."),
        (["plan", "--set", "data_dir=/nonexistent"], "The key 'data_dir' names '/nonexistent', which is no folder"),
        (["plan", "--set", "memorization.stimuli.rows=9"], 'it is given as memorization="{stimuli: {rows: …}}"'),
    ],
)
def test_a_wrong_word_is_answered_in_one_sentence(said, arguments: list[str], expected: str):
    code, error = said(*arguments)
    assert code == 1
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", [["--steps", "x"], ["--gpus", "-1"], ["--batch-tokens", "0"], ["--threads", "none"]])
def test_a_wrong_option_is_refused_before_anything_is_done(capsys: pytest.CaptureFixture[str], option: list[str]):
    with pytest.raises(SystemExit):
        cli.main(["audit", "nano-m", *option])
    assert f"argument {option[0]}: invalid" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--steps", "600"], ["--experiments", "grammar"], ["--recipe", "x"]])
def test_the_plan_has_no_option_that_it_would_not_follow(option: list[str]):
    with pytest.raises(SystemExit):
        cli.main(["plan", *option])


def test_an_empty_section_means_its_defaults(said, capsys: pytest.CaptureFixture[str]):
    assert said("plan", "--set", "grammar=")[0] == 0


def test_a_reader_that_has_read_enough_is_no_fault():
    command = f"{sys.executable} -m trajectories plan | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Suite nano")


def test_the_rows_of_published_lists_are_no_sample(said, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["plan", "--config", str(ROOT / "config.yaml"), "--set", "suite=pythia-memorized", "--set", f"results={tmp_path}"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "published results are read whole, so there is no sample to choose" in printed
    assert "rows chosen" not in printed
