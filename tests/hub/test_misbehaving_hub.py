"""The Hub at its worst: what breaks off goes on where it stopped, what is wrong is not kept, what stays wrong is one sentence."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from email.utils import formatdate

import pytest
from hub.tiny import NAME, TOKEN, checkpoint, weights
from trajectories import tables
from trajectories.errors import UserError
from trajectories.hub import client
from trajectories.hub import fetch as fetching

WEIGHTS = r"^/storage/.*/model\.safetensors"
LONG = 3_000_000


@pytest.fixture
def audited(hub, pythia, work):
    """The audit is done; step 2 has weights of 3 MB, and nothing has been asked for since."""
    pythia.commit("step2", checkpoint(2) | {"model.safetensors": weights(2, LONG)})
    work.audit()
    hub.requests.clear()
    return work


def content(work, step=2):
    return (work.layout.checkpoint("pythia-70m", step) / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", ["truncate", "drop"])
def test_a_body_that_ends_early_is_continued_not_started_again(hub, audited, waits, running, kind):
    hub.misbehave(kind, WEIGHTS, after=1_000_000)
    audited.fetch(2)
    assert content(audited) == weights(2, LONG)
    first, second = hub.asked(WEIGHTS)
    assert first.range is None
    assert second.range is not None
    start = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start < LONG
    assert second.sent == len(weights(2, LONG)) - start
    assert running() <= len(weights(2, LONG)) + (1 << 20), "what was received is not sent again"


def test_a_fetch_that_was_killed_goes_on_where_it_stopped(hub, audited, running, tmp_path):
    hub.misbehave("slow", WEIGHTS, seconds=0.05)
    code = "import sys; from hub.tiny import Workplace; from pathlib import Path; Workplace(Path(sys.argv[1])).fetch(2)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment, stderr=subprocess.PIPE)
    folder = audited.layout.checkpoint("pythia-70m", 2)
    deadline = time.monotonic() + 30
    while not any(p.stat().st_size > 1_500_000 for p in folder.glob(".model.safetensors.*.part")):
        assert time.monotonic() < deadline, "the fetch does not get going"
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    [part] = folder.glob(".model.safetensors.*.part")
    kept = part.stat().st_size
    assert 1_500_000 < kept < LONG
    assert not (folder / "checkpoint.json").exists()
    audited.fetch(2)
    assert content(audited) == weights(2, LONG)
    last = hub.asked(WEIGHTS)[-1]
    assert last.range == f"bytes={kept}-"
    assert last.sent == len(weights(2, LONG)) - kept
    assert not list(folder.glob(".*.part"))


def test_a_partial_file_of_another_commit_is_not_continued(hub, pythia, audited):
    folder = audited.layout.checkpoint("pythia-70m", 2)
    folder.mkdir(parents=True)
    (folder / ".model.safetensors.0123456789abcdef.part").write_bytes(b"of an older commit")
    audited.fetch(2)
    assert content(audited) == weights(2, LONG)
    assert not list(folder.glob(".*.part"))


def test_a_server_that_ignores_ranges_makes_it_start_again_and_end_well(hub, audited, waits):
    hub.misbehave("truncate", WEIGHTS, after=1_000_000)
    hub.misbehave("no-range", WEIGHTS)
    audited.fetch(2)
    assert content(audited) == weights(2, LONG)


def test_a_body_that_is_always_cut_at_the_same_place_ends_in_one_sentence(hub, audited, waits):
    hub.misbehave("truncate", WEIGHTS, times=float("inf"), after=1_000_000)
    with pytest.raises(UserError, match=r"'model\.safetensors' of EleutherAI/pythia-70m@.*what is here is kept"):
        audited.fetch(2)
    assert not (audited.layout.checkpoint("pythia-70m", 2) / "model.safetensors").exists()
    assert len(hub.asked(WEIGHTS)) < 40


def test_a_wrong_hash_is_fetched_once_more(hub, audited, running):
    hub.misbehave("corrupt", WEIGHTS)
    audited.fetch(2)
    assert content(audited) == weights(2, LONG)
    assert running() == 2 * len(weights(2, LONG))


def test_a_hash_that_stays_wrong_leaves_nothing_and_says_so(hub, audited):
    hub.misbehave("corrupt", WEIGHTS, times=float("inf"))
    with pytest.raises(UserError, match=r"'model\.safetensors' .* arrived twice with another content .*SHA-256"):
        audited.fetch(2)
    folder = audited.layout.checkpoint("pythia-70m", 2)
    assert not (folder / "model.safetensors").exists()
    assert not list(folder.glob(".model.safetensors*.part"))
    assert not (folder / "checkpoint.json").exists()


def test_a_small_file_with_a_wrong_hash_is_fetched_once_more(hub, audited):
    hub.misbehave("corrupt", r"resolve/.*/config\.json")
    folder = audited.fetch(2)
    assert (folder / "config.json").read_bytes() == checkpoint(2)["config.json"]
    assert len(hub.asked(r"resolve/.*/config\.json")) == 2


def test_discarded_weights_that_changed_on_the_way_back_are_refused(hub, audited):
    folder = audited.fetch(2)
    fetching.discard(folder)
    hub.misbehave("corrupt", WEIGHTS, times=float("inf"))
    with pytest.raises(UserError, match="another content"):
        fetching.ensure(audited.model, audited.layout, 2)


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("path", ["/storage/", "/resolve/.*safetensors"])
def test_retry_after_is_waited_for_when_fetching(hub, audited, waits, status, path):
    hub.misbehave("status", path, times=2, status=status, retry_after="7")
    audited.fetch(2)
    assert content(audited) == weights(2, LONG)
    assert waits == [7.0, 7.0]


@pytest.mark.parametrize("path", ["/refs$", "/tree/"])
def test_retry_after_is_waited_for_when_auditing(hub, pythia, work, waits, path):
    hub.misbehave("status", path, status=429, retry_after="3")
    assert set(work.audit()["status"]) == {"ok"}
    assert waits == [3.0]


def test_retry_after_may_be_a_date(hub, audited, waits):
    hub.misbehave("status", "/storage/", status=503, retry_after=formatdate(time.time() + 20, usegmt=True))
    audited.fetch(2)
    assert len(waits) == 1
    assert 15 < waits[0] <= 20


def test_waits_grow_where_the_hub_does_not_say_how_long(hub, audited, waits):
    hub.misbehave("status", "/storage/", times=3, status=500)
    audited.fetch(2)
    assert waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [429, 500])
def test_retries_are_bounded_and_end_in_one_sentence(hub, audited, waits, status):
    hub.misbehave("status", "/storage/", times=float("inf"), status=status, retry_after="1")
    with pytest.raises(UserError, match=rf"answered {status} for 'model\.safetensors' .* {client.ATTEMPTS} times in a row"):
        audited.fetch(2)
    assert len(waits) == client.ATTEMPTS - 1
    assert len(hub.asked("/storage/")) == client.ATTEMPTS


def test_a_wait_of_hours_is_told_instead_of_slept(hub, audited, waits):
    hub.misbehave("status", "/storage/", status=429, retry_after="7200")
    with pytest.raises(UserError, match="asks to wait 7200 s"):
        audited.fetch(2)
    assert waits == []


def test_no_network_is_one_clear_sentence(monkeypatch, work, waits):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"Cannot reach http://127\.0\.0\.1:9 for repository 'EleutherAI/pythia-70m'.*check the network"):
        work.audit()
    assert len(waits) == client.ATTEMPTS - 1


def test_an_endpoint_that_is_no_hub_is_one_clear_sentence(hub, work, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint + "/elsewhere")
    with pytest.raises(UserError, match=r"answered 404 for repository"):
        work.audit()


def test_offline_mode_is_respected(hub, pythia, work, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        work.audit()
    assert not hub.requests


def test_a_private_repository_asks_for_a_token(hub, pythia, work, monkeypatch):
    pythia.token = "hf_" + "another" * 4
    with pytest.raises(UserError, match=r"private.*hf auth login") as caught:
        work.audit()
    assert TOKEN not in str(caught.value)


def test_a_full_disk_is_one_clear_sentence(hub, audited, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(client, "_stream", full)
    with pytest.raises(UserError, match=r"No space left in .*keep_checkpoints: false"):
        audited.fetch(2)


def test_an_unwritable_folder_is_one_clear_sentence(hub, audited):
    folder = audited.layout.checkpoint("pythia-70m", 2)
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"Cannot write to .*results"):
        audited.fetch(2)


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, pythia, work, waits, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    pythia.token = TOKEN
    hub.misbehave("status", "/storage/", status=429, retry_after="1")
    hub.misbehave("corrupt", "/storage/")
    work.audit()
    folder = work.fetch(2)
    to_hub = [r for r in hub.requests if r.host.startswith("127.0.0.1")]
    to_storage = [r for r in hub.requests if r.host.startswith("localhost")]
    assert to_hub
    assert all(r.authorization == f"Bearer {TOKEN}" for r in to_hub)
    assert to_storage
    assert all(r.authorization is None for r in to_storage), "the storage's signed address must not be shown the token"
    written = [p for p in work.layout.root.rglob("*") if p.is_file()]
    assert folder / "checkpoint.json" in written
    assert not [p for p in written if TOKEN.encode() in p.read_bytes()]
    out = capfd.readouterr()
    assert TOKEN not in caplog.text + out.out + out.err
    assert tables.metadata(work.layout.audit("pythia-70m"))


def test_one_checkpoint_asked_for_by_several_processes_is_fetched_once(hub, audited, running):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: audited.fetch(2), range(4)))
    assert content(audited) == weights(2, LONG)
    assert running() == len(weights(2, LONG))
    assert NAME in hub.asked("/resolve/")[0].path
