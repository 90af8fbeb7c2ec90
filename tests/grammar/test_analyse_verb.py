"""``trajectories analyse``: what it reads, what it writes, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from grammar.small import suite
from trajectories import tables
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, TRAJECTORIES
from trajectories.cli import Machine
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.provenance import LISTED
from trajectories.recipes import Settings
from trajectories.verbs import analyse

Results = tuple[Settings, Layout]


def test_all_four_tables_are_written_with_provenance_and_notes(results: Results) -> None:
    settings, layout = results
    analyse.run(settings, layout, Machine(), "grammar")
    written = {
        layout.trajectories("grammar"): TRAJECTORIES, layout.claims("grammar"): CLAIMS,
        layout.calibration("grammar"): CALIBRATION, layout.recovery("grammar"): RECOVERY,
    }  # fmt: skip
    for path, schema in written.items():
        assert tables.read_arrow(path).schema.names == schema.names
        record = tables.provenance(path)
        assert (record["suite"], record["verb"], record["targets"]) == ("small", "analyse", {"experiment": "grammar"})
        assert record["inputs"]["stimuli/grammar.parquet"] == tables.sha256(layout.stimuli("grammar"))
        assert tables.metadata(path)["notes"]
    assert not tables.read_table(layout.trajectories("grammar.acquisition")).empty


def test_trajectories_know_their_suite_model_and_tokens(results: Results) -> None:
    settings, layout = results
    analyse.run(settings, layout, Machine(), "grammar")
    table = tables.read_table(layout.trajectories("grammar"))
    row = table[(table["model"] == "a-branch") & (table["step"] == 160)].iloc[0]
    assert (row["suite"], row["order"], row["branch"], row["tokens"], row["dtype"], row["source"]) == (
        "small", "standard", "other", 16000, "float32", "trained",
    )  # fmt: skip
    assert (row["experiment"], row["parameters_non_embedding"]) == ("grammar", 1000)


def test_the_same_inputs_give_the_same_bytes(results: Results) -> None:
    settings, layout = results
    digests = []
    for _ in range(2):
        analyse.run(settings, layout, Machine(), "grammar")
        digests.append([tables.sha256(p) for p in (layout.claims("grammar"), layout.trajectories("grammar"))])
    assert digests[0] == digests[1]


def test_checkpoints_that_the_audit_finds_wrong_are_left_out_and_named_unless_asked_for(results: Results) -> None:
    settings, layout = results
    analyse.run(settings, layout, Machine(), "grammar")
    path = layout.trajectories("grammar")
    assert tables.metadata(path)["left_out"] == [{"model": "b", "step": 160, "status": "duplicate", "detail": ""}]
    assert tables.read_table(path).query("model == 'b'")["step"].max() == 120
    analyse.run(replace(settings, extra=settings.extra | {"include_anomalous": True}), layout, Machine(), "grammar")
    assert tables.metadata(path)["left_out"] == []
    assert tables.read_table(path).query("model == 'b'")["step"].max() == 160


def test_only_the_chosen_steps_and_models_are_analysed(results: Results) -> None:
    settings, layout = results
    chosen = settings.suite.model_copy(update={"models": settings.suite.models[:2]})
    steps = {"a": [0, 40, 160], "b": [0, 40]}
    analyse.run(replace(settings, suite=chosen, extra=settings.extra | {"steps": steps}), layout, Machine(), "grammar")
    found = tables.read_table(layout.trajectories("grammar"))[["model", "step"]].drop_duplicates()
    assert sorted(map(tuple, found.to_numpy().tolist())) == [("a", 0), ("a", 40), ("a", 160), ("b", 0), ("b", 40)]


def test_a_step_that_the_audit_does_not_know_is_an_error_that_says_what_to_do(results: Results) -> None:
    settings, layout = results
    with pytest.raises(UserError, match="does not list step 5 of 'a'; run 'trajectories audit a'"):
        analyse.run(replace(settings, extra={"steps": {m.name: [5] for m in settings.suite.models}}), layout, Machine(), "grammar")


def test_an_absent_measurement_is_an_error_that_names_the_file(results: Results) -> None:
    settings, layout = results
    layout.measurement("c", 40, "grammar").unlink()
    with pytest.raises(UserError, match=r"c/step40/grammar\.parquet' does not exist"):
        analyse.run(settings, layout, Machine(), "grammar")


def test_tables_of_an_earlier_run_that_are_no_longer_made_are_removed(results: Results) -> None:
    settings, layout = results
    stale = layout.trajectories("grammar.old")
    tables.write_table(pd.DataFrame({"x": [1]}), stale)
    other = layout.trajectories("grammarian")
    tables.write_table(pd.DataFrame({"x": [1]}), other)
    analyse.run(settings, layout, Machine(), "grammar")
    assert not stale.exists()
    assert other.exists()


def test_published_suites_read_their_published_results(results: Results) -> None:
    settings, layout = results
    chosen = suite("published")
    for model in chosen.models:
        rows = [
            {
                "model": model.name,
                "step": s,
                "task": "blimp_causative",
                "metric": "acc",
                "value": 0.5 + s / 400,
                "stderr": 0.0158,
                "n": None,
            }
            | {"num_fewshot": 0}
            for s in (*model.all_steps, 7)
        ]
        tables.write_table(pd.DataFrame(rows), layout.published(model.name))
    analyse.run(replace(settings, suite=chosen), layout, Machine(), "grammar")
    table = tables.read_table(layout.trajectories("grammar"))
    assert set(table["source"]) == {"published"}
    assert set(table["setting"]) == {"blimp"}
    assert 7 not in set(table["step"])


def test_rows_that_repeat_or_name_an_absent_checkpoint_are_refused(results: Results) -> None:
    settings, _ = results
    own = [c for c in TRAJECTORIES.names if c not in analyse.FACTS]
    row = dict.fromkeys(own, 0.5) | {
        "model": "a",
        "step": 10,
        "metric": "m",
        "level": "l",
        "group": "g",
        "setting": "s",
        "n": 1,
        "method": "x",
    }
    at_hand = pd.DataFrame({"model": ["a"], "step": [10], "tokens": [1000], "revision": [None]})
    joined = analyse.join_facts(pd.DataFrame([row]), settings.suite, at_hand, "e")
    assert joined.columns.tolist() == TRAJECTORIES.names
    for rows, message in (([row, row], "share a row"), ([row | {"step": 11}], "not at hand"), ([{**row, "extra": 1}], "extra")):
        with pytest.raises(ValueError, match=message):
            analyse.join_facts(pd.DataFrame(rows), settings.suite, at_hand, "e")


def test_many_inputs_are_summed_up_and_an_edit_of_one_shows(results: Results) -> None:
    from trajectories.provenance import provenance

    settings, layout = results
    paths = [layout.root / "measurements" / f"{i}.txt" for i in range(LISTED + 1)]
    for i, path in enumerate(paths):
        path.write_text(str(i))
    one = provenance(settings, layout, "analyse", paths, ("numpy", "no-such-package"))
    assert list(one["inputs"]) == [f"measurements/ ({LISTED + 1} files)"]
    assert list(one["packages"]) == ["numpy"]
    assert list(provenance(settings, layout, "analyse", paths[:2])["inputs"]) == ["measurements/0.txt", "measurements/1.txt"]
    paths[3].write_text("edited")
    assert provenance(settings, layout, "analyse", paths)["inputs"] != one["inputs"]
    assert str(layout.root) not in str(one)
