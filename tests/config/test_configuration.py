"""The configuration: what a user may say, and what is answered to a mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from trajectories import cli, experiments, recipes
from trajectories.config import read, resolve, schema
from trajectories.errors import UserError

GOOD: dict[str, Any] = {"suite": "nano", "experiments": ["grammar"]}


def complaint(**keys: Any) -> str:
    with pytest.raises(UserError) as raised:
        resolve({**GOOD, **keys})
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_the_projects_own_configuration_fits(checkout: Path) -> None:
    resolved = resolve(read(checkout / "config.yaml"))
    assert resolved.suite.name == "nano"
    assert resolved.experiments == ["grammar", "memorization", "knowledge", "bias"]


def test_all_stands_for_every_model_and_step_and_one_name_for_a_list() -> None:
    everything = resolve(GOOD)
    assert [m.name for m in everything.models] == [m.name for m in everything.suite.models]
    assert everything.steps("nano-s") == everything.suite.model("nano-s").all_steps
    one = resolve({"suite": "nano", "models": "nano-s", "steps": 600, "experiments": "grammar"})
    assert ([m.name for m in one.models], one.steps("nano-s")) == (["nano-s"], [600])


def test_a_model_or_experiment_named_twice_counts_once() -> None:
    resolved = resolve({"suite": "nano", "models": ["nano-m", "nano-m"], "experiments": ["grammar", "grammar"]})
    assert ([m.name for m in resolved.models], resolved.experiments) == (["nano-m"], ["grammar"])


def test_an_experiment_that_a_suite_cannot_serve_is_left_out_with_its_reason() -> None:
    resolved = resolve({"suite": "pythia-v0-published", "experiments": ["grammar", "memorization"]})
    assert resolved.experiments == ["grammar"]
    assert resolved.left_out["memorization"]


def test_nothing_to_run_is_an_error_that_gives_the_reasons() -> None:
    assert "memorization" in complaint(suite="pythia-v0-published", experiments=["memorization"])
    assert "'experiments' is empty" in complaint(experiments=[])
    assert "names no model" in complaint(models=[])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"suite": "nanno"}, r"Unknown suite 'nanno' \(did you mean 'nano'\?\)"),
        ({"models": ["nano-x"]}, r"Unknown model of suite 'nano' 'nano-x' \(did you mean 'nano-[sm]'\?\)"),
        ({"steps": [601]}, r"Unknown step 601.*nearest is 600"),
        ({"experiments": ["gramar"]}, r"Unknown experiment 'gramar' \(did you mean 'grammar'\?\)"),
        ({"modles": "all"}, r"unknown key 'modles' \(did you mean 'models'\?\)"),
        ({"grammar": {"analize": {}}}, r"unknown key 'grammar.analize' \(did you mean 'analyse'\?\)"),
        (
            {"memorization": {"analyse": {"odds_ration": 2}}},
            r"unknown key 'memorization.analyse.odds_ration' \(did you mean 'odds_ratio'\?\)",
        ),
        ({"device": "gpu"}, r"device: input should be 'auto', 'cpu' or 'cuda' \(found 'gpu'\)"),
        ({"seed": "one"}, r"seed: input should be a valid integer.*found 'one'"),
        ({"seed": -1}, r"seed: input should be greater than or equal to 0 \(found -1\)"),
        ({"batch_tokens": 0}, r"batch_tokens: input should be greater than 0"),
        ({"keep_checkpoints": "perhaps"}, r"keep_checkpoints: .*found 'perhaps'"),
        ({"models": 3.5}, r"models: .*found 3.5"),
        ({"steps": ["early"]}, r"steps.0: .*found 'early'"),
        ({"experiments": None}, r"experiments: .*found None"),
        ({"memorization": {"analyse": {"odds_ratio": 1}}}, r"memorization.analyse.odds_ratio: input should be greater than 1"),
        ({"memorization": 7}, r"memorization: "),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(keys: dict[str, Any], told: str) -> None:
    assert re.search(told, complaint(**keys))


def test_the_missing_list_of_experiments_is_named() -> None:
    with pytest.raises(UserError, match="the key 'experiments' is missing"):
        resolve({"suite": "nano"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("suite: [nano\n", r"no valid YAML: .* \(line \d+\)"),
        ("- nano\n", "mapping of keys, found list"),
        ("", "mapping of keys, found nothing"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=told) as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No configuration file .*absent\.yaml"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"suite: \xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "latin.yaml")


def test_the_command_says_the_sentence_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("suite: nano\nexperiments: [grammer]\n")
    assert cli.main(["audit", "all", "--config", str(path)]) == 1
    told = capsys.readouterr().err
    assert "did you mean 'grammar'?" in told
    assert "Traceback" not in told


@pytest.fixture
def choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[cli.Machine]]:
    """Run a verb that only tells the machine's choices, with the configuration and with the recipe that it makes; fails unless both do."""

    def run(options: list[str], **keys: Any) -> list[cli.Machine]:
        path, found = tmp_path / "config.yaml", []
        keys = {"suite": "nano", "experiments": ["grammar"], "results": str(tmp_path / "results")} | keys
        path.write_text(yaml.safe_dump(keys))
        monkeypatch.setattr("trajectories.verbs.report.run", lambda settings, layout, machine: found.append(machine))
        recipe = recipes.write(resolve(keys), "report")
        codes = [cli.main(["report", *place, *options]) for place in (["--config", str(path)], ["--recipe", str(recipe)])]
        return found if codes == [0, 0] else []

    return run


def test_a_configuration_and_the_options_beside_a_recipe_choose_the_same(choices: Callable[..., list[cli.Machine]]) -> None:
    usual = cli.Machine(experiments=("grammar",))
    assert choices([]) == [usual, cli.Machine()]
    keys = {"device": "cpu", "data_dir": ".", "keep_checkpoints": False, "batch_tokens": 77, "steps": [0, 8]}
    options = recipes.machine_options(resolve({"suite": "nano", "experiments": ["grammar"], **keys}))
    chosen = cli.Machine("cpu", 1, Path("."), False, None, 77, 1, ("grammar",), (0, 8))
    assert choices([], **keys)[0] == chosen
    assert choices(options) == [chosen, chosen]  # options count before the configuration
    bounded = cli.Machine(keep_checkpoints=False, weights_disk=2 * 10**9, experiments=("grammar",))
    assert choices([], weights_disk_gb=2)[0] == bounded
    assert choices(["--weights-disk-gb", "2"], weights_disk_gb=3) == [bounded, replace(bounded, experiments=())]


@pytest.mark.parametrize("bound", ["0", "-1", "nan", "inf"])
def test_a_bound_on_the_disk_that_is_none_is_one_sentence(
    choices: Callable[..., list[cli.Machine]], capsys: pytest.CaptureFixture[str], bound: str
) -> None:
    assert choices([f"--weights-disk-gb={bound}"], weights_disk_gb=3) == []
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert all(f"--weights-disk-gb, 'weights_disk_gb') is a number of GB above 0, and not {bound}." in line for line in told)


def test_every_key_is_described_and_every_experiment_has_a_section() -> None:
    def check(model: Any, place: str) -> None:
        for name, field in model.model_fields.items():
            assert field.description, f"{place}{name}"
            if hasattr(field.annotation, "model_fields"):
                check(field.annotation, f"{place}{name}.")

    check(schema(), "")
    assert set(experiments.known()) <= set(schema().model_fields)


def test_a_section_is_whole_and_can_be_written_as_json() -> None:
    resolved = resolve({**GOOD, "grammar": {"stimuli": {"pairs": 10}}})
    section = resolved.section("grammar")
    assert section["stimuli"]["pairs"] == 10
    assert set(section) == set(schema().model_fields["grammar"].annotation.model_fields)  # type: ignore[union-attr]
    assert json.loads(json.dumps(section)) == section
