"""The audit of published results: what is absent is named, and values that are another step's or model's are found."""

from __future__ import annotations

import pandas as pd
import pytest
from hub.tiny import suite_of
from trajectories import tables
from trajectories.suites import Suite

STEPS = [0, 1000, 2000]


def results(model: str, step: int, seed: int, n: int = 30) -> list[dict]:
    """Accuracies that differ by seed."""
    return [
        {
            "model": model,
            "step": step,
            "task": f"blimp_{i}",
            "metric": "acc",
            "value": ((seed + 1) * 7919 * (i + 1)) % 1000 / 1000,
            "file": f"{model}-step{step}.json",
            "sha256": f"{seed:064x}",
        }
        for i in range(n)
    ]


@pytest.fixture
def published(work):
    """A suite of two models; call with what each has published."""

    def made(first: list[dict], second: list[dict] = (), **facts) -> Suite:
        one = suite_of(STEPS, **facts).models[0]
        two = suite_of(STEPS, name="pythia-160m").models[0]
        work.suite = suite_of(STEPS).model_copy(update={"source": "published", "models": [one, two]})
        columns = ["model", "step", "task", "metric", "value", "file", "sha256"]
        for model, rows in ((one, first), (two, second)):
            tables.write_table(pd.DataFrame(list(rows), columns=columns), work.layout.published(model.name))
        return work

    return made


def test_steps_and_models_without_results_are_missing_and_named(published):
    work = published(results("pythia-70m", 0, 1) + results("pythia-70m", 2000, 2))
    table = work.audit()
    assert dict(table["status"]) == {0: "ok", 1000: "missing", 2000: "ok"}
    assert table.at[1000, "detail"] == "no published result"
    other = work.audit("pythia-160m")
    assert set(other["status"]) == {"missing"}
    assert set(other["detail"]) == {"the model has no published results"}


def test_equal_values_under_two_steps_are_duplicates_whatever_their_files_are_called(published):
    rows = results("pythia-70m", 0, 1) + results("pythia-70m", 1000, 2) + [r | {"step": 2000} for r in results("pythia-70m", 0, 2)]
    table = published(rows).audit()
    assert dict(table["status"]) == {0: "ok", 1000: "duplicate", 2000: "ok"}
    assert "step 2000" in table.at[1000, "detail"]


def test_a_handful_of_equal_values_is_chance(published):
    rows = results("pythia-70m", 0, 1, n=3) + results("pythia-70m", 1000, 1, n=3)
    assert set(published(rows).audit().loc[[0, 1000], "status"]) == {"ok"}


def all_steps(model: str, seeds: list[int]) -> list[dict]:
    return [row for step, seed in zip(STEPS, seeds, strict=True) for row in results(model, step, seed)]


def joined(work):
    for model in work.suite.models:
        work.audit(model.name)
    return work.audit("all").reset_index().set_index(["model", "step"])


def test_equal_values_of_two_models_are_duplicates_of_both_where_nothing_more_is_known(published):
    table = joined(published(all_steps("pythia-70m", [1, 2, 3]), all_steps("pythia-160m", [4, 2, 5])))
    assert table.at[("pythia-70m", 1000), "status"] == table.at[("pythia-160m", 1000), "status"] == "duplicate"
    assert "pythia-160m at step 1000" in table.at[("pythia-70m", 1000), "detail"]
    assert list(table["status"]).count("ok") == 4


def test_of_equal_values_the_model_that_the_suite_knows_to_be_contaminated_is_the_wrong_one(published):
    known = {"steps": [1000], "kind": "contaminated", "detail": "Results are those of pythia-160m.", "source": "upstream issue"}
    work = published(all_steps("pythia-70m", [1, 2, 3]), all_steps("pythia-160m", [4, 2, 5]), anomalies=[known])
    table = joined(work)
    assert table.at[("pythia-70m", 1000), "status"] == "duplicate"
    assert "upstream issue" in table.at[("pythia-70m", 1000), "detail"]
    assert table.at[("pythia-160m", 1000), "status"] == "ok"
    assert work.audit("pythia-70m").at[1000, "status"] == "duplicate", "the model's own audit says so too"


def test_the_known_equality_in_upstream_s_results_is_found_in_the_files(data_dir, tmp_path):
    """The zero-shot results of pythia-2.8b at its first 12 checkpoints are those of pythia-2.8b-deduped (steps 0 and 1: of one start)."""
    from trajectories.cli import Machine
    from trajectories.layout import Layout
    from trajectories.recipes import Settings
    from trajectories.suites import load_suite
    from trajectories.verbs import audit, published

    whole = load_suite("pythia-published")
    models = [whole.model("pythia-2.8b").model_copy(update={"anomalies": []}), whole.model("pythia-2.8b-deduped")]
    settings = Settings(whole.model_copy(update={"models": models}), {}, 0, {"data_dir": str(data_dir)}, "0" * 16)
    layout, machine = Layout(tmp_path / "pythia-published"), Machine(data_dir=data_dir)
    for model in models:
        published.run(settings, layout, machine, model=model.name)
        audit.run(settings, layout, machine, model=model.name)
    audit.run(settings, layout, machine, model="all")
    table = tables.read_table(layout.audit())
    shared = table[table["detail"].str.contains("same content as pythia-2.8b")]
    equal = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]
    assert list(shared.loc[shared["model"] == "pythia-2.8b", "step"]) == equal
    assert list(shared.loc[shared["model"] == "pythia-2.8b-deduped", "step"]) == equal
    start = table[table["step"] <= 1].set_index(["model", "step"])["status"]
    assert start.to_dict() == {(m.name, s): ("duplicate" if s else "ok") for m in models for s in (0, 1)}
