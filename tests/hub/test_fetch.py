"""Fetching a checkpoint: pinned, whole, checked, and nothing else; discarded and brought back."""

from __future__ import annotations

import json

import pytest
from hub.tiny import checkpoint, sharded, suite_of, weights
from trajectories import tables
from trajectories.errors import UserError
from trajectories.hub import fetch as fetching
from trajectories.hub.files import allowed, weights_sha256


def names(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_a_checkpoint_has_configuration_tokenizer_weights_and_manifest_and_nothing_else(hub, pythia, work):
    work.audit()
    folder = work.fetch(2)
    assert names(folder) == ["checkpoint.json", "config.json", "model.safetensors", "tokenizer.json"]
    assert (folder / "model.safetensors").read_bytes() == weights(2)
    assert not [p for p in folder.rglob("*") if p.suffix == ".part"]
    assert not hub.asked(r"\.py|pytorch_model|training_args|optimizer|README")


def test_the_manifest_tells_model_commit_and_the_hash_of_every_file(pythia, work):
    audit = work.audit()
    folder = work.fetch(2)
    manifest = tables.read_json(folder / "checkpoint.json")
    assert (manifest["model"], manifest["step"], manifest["revision"]) == ("pythia-70m", 2, "step2")
    assert manifest["commit"] == pythia.branches["step2"]
    assert (manifest["dtype"], manifest["format"]) == ("float16", "safetensors")
    assert manifest["weights_sha256"] == audit.at[2, "sha256"]
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": tables.sha256(folder / name), "size": (folder / name).stat().st_size}


def test_shards_come_with_their_index_and_one_hash_for_all(pythia, work):
    pythia.commit("step2", sharded([1, 2, 3]))
    audit = work.audit()
    manifest = tables.read_json(work.fetch(2) / "checkpoint.json")
    shards = {n: e["sha256"] for n, e in manifest["files"].items() if n.endswith(".safetensors")}
    assert len(shards) == 3
    assert manifest["weights_sha256"] == audit.at[2, "sha256"] == weights_sha256(shards)


def test_bin_weights_are_recorded_as_such(pythia, work):
    old = checkpoint(0)
    del old["model.safetensors"]
    pythia.commit("step0", old)
    work.audit()
    manifest = tables.read_json(work.fetch(0) / "checkpoint.json")
    assert manifest["format"] == "bin"
    assert "pytorch_model.bin" in manifest["files"]


def test_the_audited_commit_is_fetched_although_the_branch_has_moved(pythia, work):
    work.audit()
    pinned = pythia.branches["step2"]
    moved = pythia.commit("step2", checkpoint(99))
    folder = work.fetch(2)
    assert tables.read_json(folder / "checkpoint.json")["commit"] == pinned != moved
    assert (folder / "model.safetensors").read_bytes() == weights(2)


def test_the_audited_commit_is_fetched_although_the_branch_is_gone(pythia, work):
    work.audit()
    pythia.remove("step2")
    assert (work.fetch(2) / "model.safetensors").read_bytes() == weights(2)


def test_a_missing_checkpoint_has_a_manifest_that_says_so_and_cannot_be_used(pythia, work, caplog):
    pythia.remove("step2")
    work.audit()
    folder = work.fetch(2)
    manifest = tables.read_json(folder / "checkpoint.json")
    assert "'step2'" in manifest["missing"]
    assert (manifest["files"], manifest["weights_sha256"]) == ({}, None)
    assert names(folder) == ["checkpoint.json"]
    assert "left out" in caplog.text
    with pytest.raises(UserError, match=r"'pythia-70m' at step 2 is missing on the Hub .*'step2'"):
        fetching.ensure(work.model, work.layout, 2)


def test_a_step_that_the_audit_does_not_list_is_one_clear_sentence(pythia, work):
    work.audit()
    with pytest.raises(UserError, match="lists no step 3"):
        work.fetch(3)


def test_a_commit_that_vanished_after_the_audit_is_one_clear_sentence(pythia, work):
    work.audit()
    del pythia.commits[pythia.branches["step2"]]
    with pytest.raises(UserError, match="run the audit of this model again"):
        work.fetch(2)


def test_what_is_there_already_is_not_fetched_again(hub, pythia, work):
    work.audit()
    folder = work.fetch(2)
    (folder / "checkpoint.json").unlink()
    before = len(hub.requests)
    work.fetch(2)
    assert len(hub.requests) == before
    assert (folder / "checkpoint.json").exists()


def test_a_file_that_was_damaged_on_disk_is_fetched_again(pythia, work):
    work.audit()
    folder = work.fetch(2)
    damaged = bytearray(weights(2))
    damaged[100] ^= 1
    (folder / "model.safetensors").write_bytes(damaged)
    work.fetch(2)
    assert (folder / "model.safetensors").read_bytes() == weights(2)


@pytest.mark.parametrize(
    "evil", ["../../evil.safetensors", "/tmp/evil.safetensors", "..\\evil.safetensors", "a/../../model.safetensors", "a/model.safetensors"]
)
def test_a_name_that_would_leave_the_folder_is_never_fetched(hub, pythia, work, evil):
    pythia.commit("step2", checkpoint(2, **{evil: weights(66)}))
    work.audit()
    folder = work.fetch(2)
    assert names(folder) == ["checkpoint.json", "config.json", "model.safetensors", "tokenizer.json"]
    assert not list(work.layout.root.parent.rglob("*evil*"))
    assert not allowed(evil)


def test_an_audit_that_was_tampered_with_cannot_make_it_leave_the_folder(pythia, work):
    work.audit()
    path = work.layout.audit("pythia-70m")
    table = tables.read_table(path)
    files = json.loads(table.at[2, "files"]) | {"../evil.safetensors": {"size": 3, "sha256": "0" * 64}}
    table.at[2, "files"] = json.dumps(files)
    tables.write_table(table, path)
    assert "../evil.safetensors" not in tables.read_json(work.fetch(2) / "checkpoint.json")["files"]


@pytest.mark.parametrize(
    "index",
    [
        b'{"weight_map": {"t": "../../evil.safetensors"}}',
        b'{"weight_map": {"t": "tokenizer.json"}}',
        b'{"weight_map": [1]}',
        b"[]",
        b"no JSON",
    ],
)
def test_an_index_that_names_other_files_than_its_shards_is_refused(pythia, work, index):
    pythia.commit("step2", sharded([1, 2], index=index))
    work.audit()
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        work.fetch(2)
    assert not (work.layout.checkpoint("pythia-70m", 2) / "checkpoint.json").exists()


def test_discarded_weights_come_back_with_the_same_bytes_from_the_same_commit(pythia, work, running):
    work.audit()
    folder = work.fetch(2)
    manifest = (folder / "checkpoint.json").read_bytes()
    assert fetching.discard(folder) == len(weights(2))
    assert names(folder) == ["checkpoint.json", "config.json", "tokenizer.json"]
    pythia.commit("step2", checkpoint(99))
    assert fetching.ensure(work.model, work.layout, 2) == folder
    assert (folder / "model.safetensors").read_bytes() == weights(2)
    assert (folder / "checkpoint.json").read_bytes() == manifest
    assert running() == 2 * len(weights(2))


def test_weights_that_are_there_need_no_network(hub, pythia, work):
    work.audit()
    work.fetch(2)
    before = len(hub.requests)
    fetching.ensure(work.model, work.layout, 2)
    assert len(hub.requests) == before


def test_without_keeping_the_weights_wait_for_the_extraction_that_needs_them(pythia, work, running):
    work.audit()
    folder = work.fetch(2, keep=False)
    assert names(folder) == ["checkpoint.json", "config.json", "tokenizer.json"]
    assert running() == 0
    lazy = (folder / "checkpoint.json").read_bytes()
    fetching.ensure(work.model, work.layout, 2)
    assert (folder / "model.safetensors").read_bytes() == weights(2)
    (folder / "checkpoint.json").unlink()
    work.fetch(2)
    assert (folder / "checkpoint.json").read_bytes() == lazy, "keeping or not keeping changes no result"


def test_what_a_broken_fetch_left_is_discarded_too(pythia, work):
    work.audit()
    folder = work.fetch(2, keep=False)
    (folder / ".model.safetensors.0123456789abcdef.part").write_bytes(bytes(100))
    assert fetching.discard(folder) == 100
    assert not list(folder.glob(".*.part"))


def trained(work, folder):
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights(1))
    sha256 = tables.sha256(folder / "model.safetensors")
    entry = {"sha256": sha256, "size": len(weights(1))}
    manifest = {"model": "pythia-70m", "step": 1, "revision": None, "commit": None, "dtype": "float32", "weights_sha256": sha256}
    tables.write_json(folder / "checkpoint.json", manifest | {"files": {"model.safetensors": entry}})


def test_a_checkpoint_that_was_trained_here_is_never_discarded(work):
    folder = work.layout.checkpoint("pythia-70m", 1)
    trained(work, folder)
    assert fetching.discard(folder) == 0
    assert (folder / "model.safetensors").read_bytes() == weights(1)


def test_trained_weights_that_are_cut_short_are_one_clear_sentence(work):
    folder = work.layout.checkpoint("pythia-70m", 1)
    trained(work, folder)
    (folder / "model.safetensors").write_bytes(weights(1)[:-1])
    with pytest.raises(UserError, match=r"model\.safetensors' is damaged \(absent.*; delete"):
        fetching.ensure(work.model, work.layout, 1)


def test_the_audit_of_a_trained_suite_reads_the_manifests(work):
    trained(work, work.layout.checkpoint("pythia-70m", 1))
    work.suite = suite_of([1, 2], repository=None, revision=None).model_copy(update={"source": "trained"})
    table = work.audit()
    assert dict(table["status"]) == {1: "ok", 2: "missing"}
    assert table.at[1, "sha256"] == tables.sha256(work.layout.checkpoint("pythia-70m", 1) / "model.safetensors")


def test_too_little_disk_is_told_before_anything_is_fetched(hub, pythia, work, monkeypatch):
    work.audit()
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: fetching.shutil._ntuple_diskusage(10, 9, 1))
    before = len(hub.requests)
    with pytest.raises(UserError, match=r"needs 0\.0 GB more .*keep_checkpoints: false"):
        work.fetch(2)
    assert len(hub.requests) == before
