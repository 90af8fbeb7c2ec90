"""What a person reads who asks for something that does not exist: one sentence, before any job has run."""

import subprocess
from pathlib import Path

import pytest
from workflow.flow import Flow

pytestmark = pytest.mark.xdist_group("workflow")


def complaint(flow: Flow, *options: str) -> str:
    """What Snakemake says beside its own lines of where settings come from; fails if a job began or a traceback is shown."""
    done = flow.snakemake(*options)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert "rule " not in done.stdout
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(("Using workflow specific profile", "Config file"))]
    assert len(lines) == 1, done.stdout
    return lines[0]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("suite=miniatur", "Unknown suite 'miniatur' (did you mean 'miniature'?)"),
        ("steps=[11]", "Unknown step 11"),
        ("experimens=['grammar']", "unknown key 'experimens' (did you mean 'experiments'?)"),
        ("seed=first", "seed"),
    ],
)
def test_a_wrong_configuration_is_answered_with_one_sentence(unrun: Flow, setting: str, sentence: str):
    assert sentence in complaint(unrun, "--config", setting)


def test_a_results_folder_that_cannot_be_written_is_named_before_work_starts(unrun: Flow, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    said = complaint(unrun, "--config", f"results={tmp_path / 'file' / 'results'}")
    assert str(tmp_path / "file") in said
    assert "'results'" in said


def test_a_config_file_that_is_no_yaml_is_refused(unrun: Flow, tmp_path: Path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("suite: [nano")
    done = unrun.snakemake("--configfile", str(broken))
    assert done.returncode != 0
    assert "Config file is not valid JSON or YAML" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_damaged_order_file_stops_the_run_with_one_sentence(twin: Flow):
    shard = sorted((twin.folder / "results/miniature/order/standard").glob("*.bin"))[1]
    shard.write_bytes(shard.read_bytes()[:-10])
    done = twin.snakemake("--forcerun", "stimuli", "--until", "stimuli", "--config", "experiments=['memorization']")
    assert done.returncode != 0
    assert shard.name in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["extract", "mini-s", "ten", "grammar"], "invalid int value: 'ten'"),
        (["analyse", "grammer"], "grammar"),
        (["audit", "mini-x"], "mini-x"),
        (["report", "--set", "seed"], "KEY=VALUE"),
        (["report", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["repot"], "repot"),
    ],
)
def test_the_command_alone_answers_in_one_sentence_too(unrun: Flow, arguments: list[str], sentence: str):
    done = unrun.command(*arguments)
    assert done.returncode != 0
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout


def test_the_command_needs_no_snakemake(finished: Flow, tmp_path: Path):
    twin = finished.twin(tmp_path / "twin")
    (twin.folder / "results/miniature/report.html").unlink()
    done = twin.command("report")
    assert done.returncode == 0, done.stdout
    assert (twin.folder / "results/miniature/report.html").is_file()


def test_a_plan_imports_no_model_library(unrun: Flow):
    done = subprocess.run(
        ["bash", "-c", "python -X importtime -m trajectories --help 2>&1 | grep -cE 'torch|transformers' || true"],
        cwd=unrun.folder,
        env=unrun.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0"
