"""The public data sets: declared whole, verified, from data_dir or downloaded."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from published.archives import COMMIT, Archives, archive
from trajectories import data
from trajectories.errors import UserError

COUNTS = {"blimp": 67, "crows-pairs": 3, "winobias": 11, "winogender": 3, "pararel": 80}


def test_every_set_names_its_origin_licence_citation_and_files() -> None:
    assert set(data.declared()) == set(COUNTS)
    for name, count in COUNTS.items():
        assert len(data.files(name)) == count
        found = data.sources(name)
        assert found["licence"] in {"CC-BY-4.0", "CC-BY-SA-4.0", "MIT"}
        assert re.search(r"\(20\d\d\)", found["citation"])
        assert re.fullmatch("[0-9a-f]{64}", found["sha256"])


def test_every_line_of_the_checksums_belongs_to_one_set() -> None:
    lines = (data.HERE / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(lines) == sum(COUNTS.values())
    assert all(re.fullmatch(r"[0-9a-f]{64}  [^ /].*", line) for line in lines)


@pytest.mark.parametrize("name", COUNTS)
def test_the_local_copy_is_the_declared_set(name: str, data_dir: Path) -> None:
    folder = data.folder(name, data_dir)
    assert folder == data_dir / data.declared()[name].folder
    assert all((folder / path).is_file() for path in data.files(name))


def test_blimp_has_67_paradigms_of_1000_pairs(data_dir: Path) -> None:
    paths = sorted(data.folder("blimp", data_dir).glob("*.jsonl"))
    assert [p.name for p in paths] == sorted(data.files("blimp"))
    assert {len(p.read_bytes().splitlines()) for p in paths} == {1000}


@pytest.fixture
def copy(data_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(data_dir / "winogender", tmp_path / "local" / "winogender")
    for path in (tmp_path / "local").rglob("*"):
        path.chmod(0o755)
    return tmp_path / "local"


def test_an_altered_file_is_named(copy: Path) -> None:
    altered = copy / "winogender" / "data" / "templates.tsv"
    altered.write_bytes(altered.read_bytes() + b"\n")
    with pytest.raises(
        UserError, match=r"templates\.tsv' of the data set 'winogender' has SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}; copy it again"
    ) as raised:
        data.folder("winogender", copy)
    assert "\n" not in str(raised.value)


def test_an_absent_file_is_named(copy: Path) -> None:
    (copy / "winogender" / "data" / "templates.tsv").unlink()
    with pytest.raises(UserError, match=r"templates\.tsv' of the data set 'winogender' cannot be read \(No such file"):
        data.folder("winogender", copy)


def test_an_absent_set_is_named_with_what_to_do(copy: Path) -> None:
    with pytest.raises(
        UserError, match=r"has no folder 'blimp/data'; copy 'data' of github\.com/\S+ there, or leave data_dir out to download it"
    ):
        data.folder("blimp", copy)


def test_an_unknown_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Unknown data set 'blimb' \(did you mean 'blimp'\?\)"):
        data.folder("blimb")


@pytest.fixture
def upstream(archives: Archives, monkeypatch: pytest.MonkeyPatch) -> Archives:
    declared = data.declared()["winogender"].model_copy(update={"repository": "owner/name", "commit": COMMIT})
    monkeypatch.setattr(data, "declared", lambda: {"winogender": declared})
    return archives


def members(data_dir: Path) -> dict[str, bytes]:
    return {f"data/{path}": (data_dir / "winogender" / "data" / path).read_bytes() for path in data.files("winogender")}


def test_a_downloaded_set_is_verified_and_holds_only_the_declared_files(upstream: Archives, data_dir: Path) -> None:
    upstream.body = archive(members(data_dir) | {"data/extra.txt": b"x", "README.md": b"y"})
    folder = data.folder("winogender")
    assert sorted(p.name for p in folder.iterdir()) == sorted(data.files("winogender"))
    assert data.folder("winogender") == folder
    assert len(upstream.requests) == 1


def test_a_downloaded_set_that_differs_is_refused(upstream: Archives, data_dir: Path) -> None:
    upstream.body = archive(members(data_dir) | {"data/templates.tsv": b"something else"})
    with pytest.raises(UserError, match=r"templates\.tsv.*has SHA-256"):
        data.folder("winogender")


def test_a_cached_set_that_was_altered_is_refused(upstream: Archives, data_dir: Path) -> None:
    upstream.body = archive(members(data_dir))
    folder = data.folder("winogender")
    (folder / "templates.tsv").write_bytes(b"edited")
    with pytest.raises(UserError, match=r"has SHA-256 .*; delete the folder '.*' and run again"):
        data.folder("winogender")
