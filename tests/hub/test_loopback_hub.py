"""The loopback Hub speaks the protocol: the real client's own functions work against it."""

from __future__ import annotations

import pytest
from hub.tiny import NAME, checkpoint, weights
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

DATA = "EleutherAI/pile-standard-pythia-preshuffled"


@pytest.fixture
def api(hub, pythia):
    return HfApi(endpoint=hub.endpoint)


def test_refs_name_branches_tags_and_commits(api, pythia):
    pythia.commit("v1", checkpoint(5), tag=True)
    refs = api.list_repo_refs(NAME)
    assert {b.name: b.target_commit for b in refs.branches} == pythia.branches
    assert [t.name for t in refs.tags] == ["v1"]


def test_a_revision_is_described_with_its_files(api, pythia):
    info = api.model_info(NAME, revision="step2", files_metadata=True)
    assert info.sha == pythia.branches["step2"]
    assert "model.safetensors" in [s.rfilename for s in info.siblings]


def test_the_tree_and_the_paths_tell_size_and_hash(api, pythia):
    files = {f.path: f for f in api.list_repo_tree(NAME, revision="step2")}
    [asked] = api.get_paths_info(NAME, ["model.safetensors", "absent"], revision="step2")
    entry = pythia.commits[pythia.branches["step2"]]["model.safetensors"]
    for found in (files["model.safetensors"], asked):
        assert (found.size, found.lfs.sha256, found.blob_id) == (entry.size, entry.sha256, entry.blob)
    assert files["config.json"].lfs is None


def test_files_have_commit_hash_and_size_in_their_headers(hub, pythia):
    url = hf_hub_url(NAME, "model.safetensors", revision="step2", endpoint=hub.endpoint)
    found = get_hf_file_metadata(url)
    entry = pythia.commits[pythia.branches["step2"]]["model.safetensors"]
    assert (found.commit_hash, found.etag, found.size) == (pythia.branches["step2"], entry.sha256, entry.size)
    assert found.location.startswith(hub.storage)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_is_downloaded(hub, pythia, tmp_path, name):
    path = hf_hub_download(NAME, name, revision="step2", endpoint=hub.endpoint, local_dir=tmp_path)
    with open(path, "rb") as file:
        assert file.read() == checkpoint(2)[name]


def test_a_snapshot_is_downloaded(hub, pythia, tmp_path):
    folder = snapshot_download(
        NAME, revision="step1", endpoint=hub.endpoint, cache_dir=tmp_path, allow_patterns=["*.json", "*.safetensors"]
    )
    with open(f"{folder}/model.safetensors", "rb") as file:
        assert file.read() == weights(1)


def test_data_sets_are_served_beside_models(hub, api, tmp_path):
    hub.add(DATA, {"main": {"document.idx": b"MMIDIDX", "document-00000-of-00020.bin": bytes(100)}}, kind="datasets")
    sizes = {f.path: f.size for f in api.list_repo_tree(DATA, repo_type="dataset")}
    assert sizes == {"document.idx": 7, "document-00000-of-00020.bin": 100}
    path = hf_hub_download(DATA, "document.idx", repo_type="dataset", endpoint=hub.endpoint, local_dir=tmp_path)
    with open(path, "rb") as file:
        assert file.read() == b"MMIDIDX"


def test_what_is_not_there_is_said_as_the_hub_says_it(hub, api):
    with pytest.raises(RepositoryNotFoundError):
        api.list_repo_refs("EleutherAI/absent")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(NAME, revision="step7")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(NAME, "absent.json", endpoint=hub.endpoint)


def test_checkpoint_folders_of_a_suite_are_served_as_branches(hub, tmp_path):
    for step in (0, 16):
        folder = tmp_path / f"step{step}"
        folder.mkdir()
        for name, content in (checkpoint(step) | {"checkpoint.json": b"{}", ".hidden": b""}).items():
            (folder / name).write_bytes(content)
    served = hub.add_checkpoints("EleutherAI/nano", tmp_path)
    assert set(served.branches) == {"main", "step0", "step16"}
    assert set(served.commits[served.branches["step16"]]) == set(checkpoint(16))
    assert {e.sha256 for e in served.commits[served.branches["main"]].values()} == {
        e.sha256 for e in served.commits[served.branches["step16"]].values()
    }
