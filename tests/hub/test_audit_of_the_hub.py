"""The audit of a Hub model: what is there, by hash, without a byte of weights."""

from __future__ import annotations

import json

import pytest
from hub.tiny import NAME, checkpoint, sharded, suite_of, weights
from trajectories import tables
from trajectories.errors import UserError


def test_every_step_is_listed_with_commit_and_hash_and_weights_are_read_by_range_alone(hub, pythia, work):
    table = work.audit()
    assert list(table.index) == [0, 1, 2, 143000]
    assert set(table["status"]) == {"ok"}
    for step in table.index:
        commit = pythia.branches[f"step{step}"]
        assert table.at[step, "revision"] == f"step{step}"
        assert table.at[step, "commit"] == commit
        assert table.at[step, "sha256"] == pythia.commits[commit]["model.safetensors"].sha256
    assert all(r.range for r in hub.asked("/storage/"))
    assert not [r for r in hub.asked("resolve") if r.method != "HEAD"]


def test_only_configuration_tokenizer_and_safetensors_are_chosen(pythia, work):
    files = json.loads(work.audit().at[0, "files"])
    assert sorted(files) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_bin_weights_are_chosen_only_where_a_revision_has_no_safetensors(pythia, work):
    old = checkpoint(0)
    del old["model.safetensors"]
    pythia.commit("step0", old)
    row = work.audit().loc[0]
    assert row["status"] == "ok"
    assert sorted(json.loads(row["files"])) == ["config.json", "pytorch_model.bin", "tokenizer.json"]
    assert "no safetensors" in row["detail"]


def test_a_step_without_a_revision_is_missing_and_named(pythia, work):
    pythia.remove("step2")
    row = work.audit().loc[2]
    assert row["status"] == "missing"
    assert row[["sha256", "commit"]].isna().all()
    assert NAME in row["detail"]
    assert "'step2'" in row["detail"]


def test_a_tag_names_a_revision_as_well_as_a_branch(pythia, work):
    pythia.remove("step2")
    commit = pythia.commit("step2", checkpoint(2), tag=True)
    row = work.audit().loc[2]
    assert (row["status"], row["commit"]) == ("ok", commit)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": b"{}"}, "no weights"),
        ({"model.safetensors": weights(2)}, "config.json absent"),
        (sharded([1, 2, 3], absent=1), "1 of the 3 safetensors shards absent (number 2 first)"),
        ({k: v for k, v in sharded([1, 2]).items() if "index" not in k}, "model.safetensors.index.json absent"),
        ({"config.json": b"{}", "optimizer.pt": b"x"}, "no weights"),
    ],
)
def test_a_revision_without_whole_weights_is_missing_with_the_reason(pythia, work, files, said):
    pythia.commit("step2", files)
    row = work.audit().loc[2]
    assert row["status"] == "missing"
    assert said in row["detail"]


def test_whole_bin_shards_stand_in_for_safetensors_that_are_not_whole(pythia, work):
    pythia.commit("step2", sharded([1, 2], absent=0) | sharded([4, 5], kind="bin"))
    files = json.loads(work.audit().loc[2]["files"])
    assert [n for n in files if n.endswith(".bin")] == ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    assert not [n for n in files if n.endswith(".safetensors")]


def test_steps_that_serve_the_final_weights_are_duplicates_and_the_final_step_is_sound(pythia, work):
    pythia.commit("step2", checkpoint(3))
    table = work.audit()
    assert dict(table["status"]) == {0: "ok", 1: "ok", 2: "duplicate", 143000: "ok"}
    assert "step 143000" in table.at[2, "detail"]
    assert "main" in table.at[2, "detail"]
    assert "step 2" in table.at[143000, "detail"]


def test_of_equal_steps_without_the_final_one_none_is_trusted(pythia, work):
    pythia.commit("step1", checkpoint(2))
    table = work.audit()
    assert dict(table["status"]) == {0: "ok", 1: "duplicate", 2: "duplicate", 143000: "ok"}
    assert "step 2" in table.at[1, "detail"]
    assert "cannot be told" in table.at[1, "detail"]


def test_of_equal_steps_0_and_1_the_untrained_one_is_sound(pythia, work):
    pythia.commit("step1", checkpoint(0))
    table = work.audit()
    assert dict(table["status"]) == {0: "ok", 1: "duplicate", 2: "ok", 143000: "ok"}
    assert "step 0" in table.at[1, "detail"]


def test_one_shard_of_the_final_model_under_an_earlier_step_is_found(pythia, work):
    for step, seeds in {"step0": [1, 2], "step1": [3, 4], "step2": [7, 6], "step143000": [7, 8], "main": [7, 8]}.items():
        pythia.commit(step, sharded(seeds))
    table = work.audit()
    assert dict(table["status"]) == {0: "ok", 1: "ok", 2: "duplicate", 143000: "ok"}
    assert table.at[2, "detail"].startswith("1 of 2 weight files shared: model-00001-of-00002.safetensors")
    assert "step 143000" in table.at[2, "detail"]


def test_an_anomaly_that_no_hash_shows_is_taken_from_the_suite(pythia, work):
    known = {"steps": [2], "kind": "discontinuous", "detail": "Does not descend from step 0.", "source": "upstream issue"}
    work.suite = suite_of([0, 1, 2, 143000], anomalies=[known])
    table = work.audit()
    assert dict(table["status"]) == {0: "ok", 1: "ok", 2: "discontinuous", 143000: "ok"}
    assert "upstream issue" in table.at[2, "detail"]


def test_a_known_duplicate_that_was_put_right_upstream_is_sound(pythia, work):
    work.suite = suite_of([0, 1, 2, 143000], anomalies=[{"steps": [2], "kind": "duplicate", "detail": "Final weights.", "source": "issue"}])
    assert work.audit().at[2, "status"] == "ok"


def test_revisions_that_count_other_steps_than_the_suite_are_found(pythia, work):
    work.suite = suite_of([0, 71500], revision_steps_per_step=2)
    table = work.audit()
    assert list(table["revision"]) == ["step0", "step143000"]
    assert table.at[71500, "sha256"] == pythia.commits[pythia.branches["step143000"]]["model.safetensors"].sha256


def test_long_lists_of_files_are_read_to_their_last_page(hub, pythia, work):
    hub.page_size = 2
    assert sorted(json.loads(work.audit().at[0, "files"])) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert hub.asked("/tree/")


def test_branches_with_one_commit_are_listed_once(hub, pythia, work):
    pythia.branches["step1"] = pythia.branches["step2"] = pythia.branches["step143000"]
    work.audit()
    commits = [r.path for r in hub.asked("/tree/")]
    assert len(commits) == len(set(commits)) == 3


def test_the_joined_audit_holds_every_model_and_marks_weights_that_two_of_them_share(hub, pythia, work):
    hub.add("EleutherAI/pythia-160m", {f"step{s}": checkpoint(seed) for s, seed in {0: 0, 1: 31, 2: 2, 143000: 33}.items()})
    first = work.suite.models[0]
    work.suite = work.suite.model_copy(
        update={"models": [first, first.model_copy(update={"name": "pythia-160m", "repository": "EleutherAI/pythia-160m"})]}
    )
    for model in work.suite.models:
        work.audit(model.name)
    pythia.remove("step1")
    work.audit("pythia-70m")
    table = work.audit("all").reset_index().set_index(["model", "step"])
    assert len(table) == 8
    assert table.at[("pythia-70m", 1), "status"] == "missing"
    assert table.loc[("pythia-70m", 1), ["sha256", "commit"]].isna().all()
    assert table.at[("pythia-70m", 2), "status"] == table.at[("pythia-160m", 2), "status"] == "duplicate"
    assert "pythia-160m at step 2" in table.at[("pythia-70m", 2), "detail"]
    assert table.at[("pythia-70m", 0), "status"] == table.at[("pythia-160m", 0), "status"] == "ok", "models may start from the same weights"
    assert list(table["status"]).count("duplicate") == 2


def test_the_table_says_what_it_was_made_for(pythia, work):
    work.audit()
    found = tables.provenance(work.layout.audit("pythia-70m"))
    assert (found["suite"], found["verb"], found["targets"]) == ("pythia", "audit", {"model": "pythia-70m"})


def test_a_repository_that_is_not_there_is_one_clear_sentence(hub, pythia, work):
    work.suite = suite_of([0], repository="EleutherAI/pythia-71m")
    with pytest.raises(UserError, match=r"EleutherAI/pythia-71m.*repository name.*hf auth login"):
        work.audit()


def test_a_model_without_a_repository_is_one_clear_sentence(work):
    work.suite = suite_of([0], repository=None)
    with pytest.raises(UserError, match="no Hub repository"):
        work.audit()
