"""Downloads of repositories' archives: pinned, checked, safe, patient."""

from __future__ import annotations

import hashlib
import tarfile
import threading
from pathlib import Path

import pytest
from published.archives import COMMIT, Archives, archive
from trajectories import download
from trajectories.errors import UserError

FILES = {"results/a.json": b"{}", "results/deep/b.json": b"[1]", "other/c.txt": b"c"}


def fetch(prefix: str = "results", **more: object) -> Path:
    return download.github("owner/name", COMMIT, prefix, "point data_dir elsewhere", **({"check": lambda folder: None} | more))  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_folder_of_a_repository_is_downloaded_once(archives: Archives) -> None:
    archives.body = archive(FILES)
    folder = fetch()
    assert names(folder) == ["a.json", "deep/b.json"]
    assert (folder / "deep/b.json").read_bytes() == b"[1]"
    assert fetch() == folder
    assert archives.requests == [f"/owner/name/tar.gz/{COMMIT}"]


def test_only_the_wanted_files_are_kept(archives: Archives) -> None:
    archives.body = archive(FILES)
    assert names(fetch(keep={"a.json"})) == ["a.json"]


def test_a_redirect_is_followed(archives: Archives) -> None:
    archives.body, archives.redirect = archive(FILES), True
    assert names(fetch()) == ["a.json", "deep/b.json"]


def test_a_busy_server_is_asked_again(archives: Archives) -> None:
    archives.body = archive(FILES)
    archives.failures = [(500, {}, b""), (429, {"Retry-After": "0"}, b""), (503, {"Retry-After": "0"}, b"")]
    assert names(fetch()) == ["a.json", "deep/b.json"]
    assert len(archives.requests) == 4


def test_a_truncated_body_is_downloaded_again(archives: Archives) -> None:
    archives.body = archive(FILES)
    archives.failures = [(200, {"Content-Length": str(len(archives.body))}, archives.body[:40])]
    assert names(fetch()) == ["a.json", "deep/b.json"]
    assert len(archives.requests) == 2


def test_patience_ends_with_one_sentence(archives: Archives) -> None:
    archives.failures = [(500, {}, b"")] * download.ATTEMPTS
    with pytest.raises(UserError, match=r"Cannot download http://127\.0\.0\.1:\d+/owner/name/.*status 500.*; point data_dir elsewhere\."):
        fetch()
    assert len(archives.requests) == download.ATTEMPTS


def test_an_unknown_commit_is_not_asked_for_twice(archives: Archives) -> None:
    with pytest.raises(UserError, match="404"):
        download.github("owner/absent", COMMIT, "", "point data_dir elsewhere", lambda folder: None)
    assert len(archives.requests) == 1


def test_no_network_is_one_sentence(archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.HOST_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"Cannot download .*; point data_dir elsewhere") as raised:
        fetch()
    assert "\n" not in str(raised.value)


def test_what_is_no_archive_is_refused(archives: Archives) -> None:
    archives.body = b"<html>sign in</html>"
    with pytest.raises(UserError, match="is damaged"):
        fetch()


def test_a_repository_without_the_folder_is_refused(archives: Archives) -> None:
    archives.body = archive({"other/c.txt": b"c"})
    with pytest.raises(UserError, match="holds nothing below 'results'"):
        fetch()


def test_members_that_leave_the_folder_and_links_are_not_written(archives: Archives, tmp_path: Path) -> None:
    link = tarfile.TarInfo(f"name-{COMMIT}/results/link.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archives.body = archive({"results/a.json": b"{}", "results/../../../../escaped.json": b"out"}, link)
    assert names(fetch()) == ["a.json"]
    assert not list(tmp_path.rglob("escaped.json"))


def test_what_fails_the_check_never_enters_the_cache(archives: Archives) -> None:
    archives.body = archive(FILES)

    def refuse(folder: Path) -> None:
        assert names(folder) == ["a.json", "deep/b.json"]
        raise UserError("not the expected files.")

    with pytest.raises(UserError, match="not the expected files"):
        fetch(check=refuse)
    assert not list(download.cache().rglob("*.json"))
    assert names(fetch()) == ["a.json", "deep/b.json"]


def test_two_at_once_download_once(archives: Archives) -> None:
    archives.body = archive(FILES)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(archives.requests) == 1


def test_an_unwritable_cache_is_named(archives: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(UserError, match=f"name another folder in {download.CACHE_VARIABLE}"):
        fetch()


def test_the_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"")
    first = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n"
    second = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b  b/x\n"
    assert download.digest(tmp_path) == hashlib.sha256((first + second).encode()).hexdigest()
