"""Reading a suite's file: what models share, folders of one's own, and complaints about a wrong file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from trajectories.errors import UserError
from trajectories.suites import VARIABLE, Suite, available, load_suite, parse

GOOD = """
title: Two models
description: An example.
source: hub
orders:
  only: {row_tokens: 9, rows: 80, notes: []}
sizes:
  small: {layers: 1, width: 4, heads: 2, head_width: 2, vocabulary: 10, parameters_total: 333, parameters_non_embedding: 253}
defaults:
  learning_rate: 0.001
  rows_per_step: 2
  tokens_per_step: 16
  steps: [0, 1, {start: 10, stop: 40, every: 10}]
  steps_total: 40
  dtype: float32
  order: only
  repository: someone/{name}
  revision: step{step}
  anomalies:
    - {steps: [1], kind: duplicate, detail: As step 0., source: seen}
models:
  - {name: first, size: small}
  - name: second
    size: small
    learning_rate: 0.002
    revisions: {40: main}
    anomalies:
      - {steps: [10], kind: missing, detail: Not there., source: seen}
"""


def suite(text: str = GOOD) -> Suite:
    return parse(text, "example", "example.yaml")


def complaint(text: str) -> str:
    with pytest.raises(UserError) as raised:
        suite(text)
    message = str(raised.value)
    assert message.startswith("example.yaml")
    assert "\n" not in message
    return message


def test_what_models_share_is_written_once() -> None:
    first, second = suite().models
    assert (first.layers, first.learning_rate, second.learning_rate) == (1, 0.001, 0.002)
    assert (first.repository, second.repository) == ("someone/first", "someone/second")
    assert [a.steps for a in second.anomalies] == [[1], [10]]
    assert first.all_steps == [0, 1, 10, 20, 30, 40]


def test_a_revision_follows_the_pattern_unless_it_is_named() -> None:
    first, second = suite().models
    assert (first.revision_of(40), second.revision_of(40), second.revision_of(30)) == ("step40", "main", "step30")


def test_tokens_are_steps_times_tokens_per_step() -> None:
    assert suite().model("first").tokens(40) == 640


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Unknown model 'fisrt' \(did you mean 'first'\?\)"):
        suite().model("fisrt")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  rows_per_step: 2", "  rows_per_stp: 2", r"unknown key 'defaults.rows_per_stp' \(did you mean 'rows_per_step'\?\)"),
        ("name: second", "name: second\n    laeyrs: 2", r"unknown key 'models.1.laeyrs' \(did you mean 'layers'\?\)"),
        ("title: Two models", "titel: Two models", r"unknown key 'titel' \(did you mean 'title'\?\)"),
        ("rows: 80", "rowz: 80", r"unknown key 'orders.only.rowz' \(did you mean 'rows'\?\)"),
        ("title: Two models\n", "", r"the key 'title' is missing"),
        ("source: hub", "source: web", r"source: input should be 'trained', 'hub' or 'published' \(found 'web'\)"),
        ("learning_rate: 0.001", "learning_rate: much", r"models.0.learning_rate: input should be a valid number.*\(found 'much'\)"),
        ("name: second", "name: first", r"models: two models have the same name"),
        ("head_width: 2", "head_width: 3", r"heads × head_width is 6, but width is 4"),
        ("parameters_total: 333", "parameters_total: 334", r"should be that of two matrices of vocabulary × width, 80, and is 81"),
        ("order: only", "order: other", r"order 'other' is not among the suite's orders"),
        ("tokens_per_step: 16", "tokens_per_step: 18", r"tokens_per_step is not rows_per_step × \(row_tokens - 1\)"),
        ("steps_total: 40", "steps_total: 30", r"a checkpoint at step 40 lies after the run's end 30"),
        ("title: Two models", "title: [Two", r"is no valid YAML: .* \(line \d+\)"),
        ("title: Two models", "name: other\ntitle: Two models", r"calls itself 'other', but its file is called 'example'"),
    ],
)
def test_a_wrong_file_is_answered_with_one_sentence(old: str, new: str, told: str) -> None:
    assert GOOD.count(old) >= 1
    assert re.search(told, complaint(GOOD.replace(old, new, 1)))


def test_an_unknown_size_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Unknown size in example.yaml 'smal' \(did you mean 'small'\?\)"):
        suite(GOOD.replace("{name: first, size: small}", "{name: first, size: smal}"))


def test_models_are_a_list() -> None:
    assert "'models' should be a list" in complaint(GOOD[: GOOD.index("models:")] + "models: {first: {}}\n")


def test_an_empty_or_scalar_file_is_no_suite() -> None:
    assert "should hold a mapping" in complaint("")
    assert "should hold a mapping" in complaint("just text")


def test_a_folder_of_ones_own_is_searched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    (two / "example.yaml").write_text(GOOD)
    (two / "nano.yaml").write_text(GOOD.replace("Two models", "Mine"))
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(one), str(two)]))
    assert {"example", "nano", "pythia"} <= set(available())
    assert load_suite("example").title == "Two models"
    assert load_suite("nano").title == "Mine"
    monkeypatch.delenv(VARIABLE)
    assert load_suite("nano").title != "Mine"
    assert "example" not in available()


def test_an_edit_of_a_suites_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "example.yaml"
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    path.write_text(GOOD)
    os.utime(path, ns=(1, 1))
    assert load_suite("example").title == "Two models"
    path.write_text(GOOD.replace("Two models", "Edited"))
    os.utime(path, ns=(2, 2))
    assert load_suite("example").title == "Edited"


@pytest.mark.parametrize("name", ["pythai", "../suites/pythia", "", "pythia.yaml"])
def test_an_unknown_suite_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(UserError, match=r"Unknown suite .*; known: .*pythia"):
        load_suite(name)
    if name == "pythai":
        with pytest.raises(UserError, match=r"did you mean 'pythia'\?"):
            load_suite(name)
