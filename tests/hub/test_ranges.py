"""Parts of files, read by range from a Hub that misbehaves."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hub.server import LoopbackHub
from hub.tiny import TOKEN
from trajectories.errors import UserError
from trajectories.hub import ranges

NAME = "EleutherAI/pile"
CONTENT = {"a.bin": np.random.default_rng(1).bytes(300_000), "b.bin": np.random.default_rng(2).bytes(5_000), "small.json": b'{"a": 1}'}
PARTS = [(0, 10), (299_990, 300_000), (7, 7), (100, 200_000), (0, 10)]


@pytest.fixture
def commit(hub: LoopbackHub) -> str:
    return hub.add(NAME, {"main": CONTENT}, kind="datasets").branches["main"]


def read(commit: str, parts: list[tuple[int, int]] = PARTS, name: str = "a.bin") -> list[bytes]:
    found = ranges.read(NAME, commit, name, parts, kind="datasets")
    assert found == [CONTENT[name][start:stop] for start, stop in parts]
    return found


def test_parts_come_in_the_sequence_asked_for_and_the_hub_is_asked_once_for_the_address(hub: LoopbackHub, commit: str) -> None:
    read(commit, PARTS * 20)
    assert len(hub.asked("/resolve/")) == 1
    assert len(hub.asked("^/storage/")) == 80


def test_a_small_file_comes_from_the_hub_itself(commit: str) -> None:
    read(commit, [(0, 4), (3, 8)], "small.json")


def test_the_token_is_shown_to_the_hub_alone_and_signed_addresses_stand_in_no_log(
    hub: LoopbackHub, commit: str, caplog: pytest.LogCaptureFixture, waits: list[float]
) -> None:
    caplog.set_level(logging.INFO, logger="trajectories")
    hub.misbehave("status", "^/storage/", times=3, status=503)
    read(commit)
    assert {r.authorization for r in hub.asked("^/storage/")} == {None}
    assert {r.authorization for r in hub.asked("/resolve/")} == {f"Bearer {TOKEN}"}
    assert "trying again" in caplog.text
    assert not any("signature" in r.getMessage() for r in caplog.records if r.name.startswith("trajectories"))


@pytest.mark.parametrize("status", [403, 401, 410])
def test_an_address_that_has_expired_is_asked_for_anew(hub: LoopbackHub, commit: str, status: int, waits: list[float]) -> None:
    hub.misbehave("status", "^/storage/", times=1, status=status)
    read(commit)
    assert len(hub.asked("/resolve/")) == 2
    assert not waits


def test_an_address_that_is_refused_again_and_again_is_one_sentence(hub: LoopbackHub, commit: str) -> None:
    hub.misbehave("status", "^/storage/", times=float("inf"), status=403)
    with pytest.raises(UserError, match=r"refuses access to 'a\.bin'") as caught:
        read(commit)
    assert "signature" not in str(caught.value)
    assert len(hub.asked("/resolve/")) < 100


@pytest.mark.parametrize("kind", ["drop", "truncate"])
def test_only_what_is_absent_is_asked_for_again(hub: LoopbackHub, commit: str, kind: str, waits: list[float]) -> None:
    hub.misbehave(kind, "^/storage/", times=2, after=70_000)  # type: ignore[arg-type]
    read(commit, [(0, 250_000)])
    assert len(hub.asked("^/storage/")) == 3
    assert hub.sent("^/storage/") <= 250_000 + 2 * (1 << 16)
    assert waits == ([1.0, 1.0] if kind == "drop" else [1.0, 2.0])  # the second answer cut short is empty


def test_the_server_says_how_long_to_wait(hub: LoopbackHub, commit: str, waits: list[float]) -> None:
    hub.misbehave("status", "^/storage/", times=1, status=429, retry_after="17")
    hub.misbehave("status", "/resolve/", times=1, status=503, retry_after="9")
    read(commit)
    assert waits == [9.0, 17.0]


def test_a_server_that_stays_down_is_one_sentence_and_the_other_parts_are_not_asked_for(
    hub: LoopbackHub, commit: str, waits: list[float]
) -> None:
    hub.misbehave("status", "^/storage/", times=float("inf"), status=500)
    with pytest.raises(UserError, match=r"answered 500 for 'a\.bin'.* 5 times in a row"):
        read(commit, [(0, 10)] * 1000)
    assert len(hub.asked("^/storage/")) <= 5 * ranges.CONNECTIONS


def test_after_a_failure_the_same_object_can_be_asked_again(hub: LoopbackHub, commit: str, waits: list[float]) -> None:
    files, found = ranges.Ranges(NAME, commit, "datasets"), []
    hub.misbehave("status", "/resolve/", times=5, status=500)
    with pytest.raises(UserError, match="5 times in a row"):
        files.fetch([ranges.Part("a.bin", 0, 10)], lambda number, data: found.append(data))
    files.fetch([ranges.Part("a.bin", 0, 10)], lambda number, data: found.append(data))
    assert found == [CONTENT["a.bin"][:10]]


def test_an_address_that_leads_nowhere_is_one_sentence(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges._File, "_ask", lambda self: "http://storage:port/")
    with pytest.raises(UserError, match="leads nowhere"):
        read(commit)


def test_a_server_that_ignores_ranges_is_refused_before_its_body_is_read(hub: LoopbackHub, commit: str) -> None:
    hub.misbehave("no-range", "^/storage/", times=float("inf"))
    with pytest.raises(UserError, match="ignores ranges"):
        read(commit, [(5, 10)])


def test_bytes_beyond_the_end_are_refused(commit: str) -> None:
    with pytest.raises(UserError, match="instead of bytes 4990-5009"):
        ranges.read(NAME, commit, "b.bin", [(4_990, 5_010)], kind="datasets")
    with pytest.raises(UserError, match="ends before byte 6000"):
        ranges.read(NAME, commit, "b.bin", [(5_000, 6_000)], kind="datasets")


def test_a_file_or_commit_that_is_not_there_is_one_sentence(commit: str) -> None:
    with pytest.raises(UserError, match=r"answered 404 for 'c\.bin'"):
        ranges.read(NAME, commit, "c.bin", [(0, 1)] * 100, kind="datasets")
    with pytest.raises(UserError, match="no longer has the commit"):
        ranges.read(NAME, "0" * 40, "a.bin", [(0, 1)], kind="datasets")
