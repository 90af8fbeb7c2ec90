"""Weights within a bound on the disk: it holds at every moment, whoever is killed, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from extraction.tiny import Place, table_of
from hub.server import LoopbackHub
from trajectories import tables
from trajectories.errors import UserError
from trajectories.extraction.requests import Checkpoint
from trajectories.extraction.store import Store
from trajectories.hub import fetch
from trajectories.hub.room import Room
from trajectories.verbs import extract

STEPS = [0, 1, 2, 3, 4, 5]
WIDTH = 96
MODEL = "tiny-a"
SUMS = [{"name": "logprob", "options": {}}]
EXPERIMENTS = ("grammar", "memorization")
SEQUENCES = [[0, *((7 * i + j) % 96 + 1 for j in range(5 + i % 20))] for i in range(40)]


def show(place: Place) -> None:
    for experiment, sequences in zip(EXPERIMENTS, (SEQUENCES, SEQUENCES[:9]), strict=True):
        place.show(experiment, table_of(sequences), SUMS)


@contextmanager
def watched(folder: Path) -> Iterator[list[int]]:
    """The bytes of weights below a folder, looked at again and again."""
    seen, stop = [0], threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.append(sum(sum(fetch.weights_on_disk(step).values()) for step in folder.glob("*/step*")))
            time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's checkpoints, a megabyte each."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "max_position_embeddings": 64,
    }
    folder = tmp_path_factory.mktemp("made")
    for step in STEPS:
        torch.manual_seed(step)
        Place(folder).save(GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=97, bos_token_id=0, eos_token_id=0, **sizes)), step)
    return folder


@pytest.fixture
def place(made: Path, hub: LoopbackHub, tmp_path: Path) -> Place:
    """A Hub suite whose manifests are there and whose weights are not, and stimuli."""
    served, found = Place(made), Place(tmp_path, source="hub", width=WIDTH)
    commits = hub.add_checkpoints("owner/tiny-a", served.layout.checkpoint(MODEL, 0).parent).branches
    for step in STEPS:
        manifest = tables.read_json(served.layout.checkpoint(MODEL, step) / "checkpoint.json")
        folder = found.layout.checkpoint(MODEL, step)
        folder.mkdir(parents=True)
        for name in set(manifest["files"]) - {"model.safetensors"}:
            (folder / name).write_bytes((served.layout.checkpoint(MODEL, step) / name).read_bytes())
        tables.write_json(folder / "checkpoint.json", manifest | {"repository": "owner/tiny-a", "commit": commits[f"step{step}"]})
    show(found)
    return found


def checkpoint(place: Place, step: int) -> Checkpoint:
    return Checkpoint.read(place.settings, place.layout, MODEL, step)


@pytest.fixture
def size(place: Place) -> int:
    """Bytes of one checkpoint's weights."""
    return fetch.weights_bytes(checkpoint(place, 0).manifest)


@pytest.fixture
def room(place: Place) -> Callable[[float], tuple[Store, Room]]:
    def make(bound: float) -> tuple[Store, Room]:
        store = Store(place.layout.store)
        return store, Room(place.layout, store, int(bound))

    return make


def ensure(place: Place, step: int) -> None:
    fetch.ensure(place.suite.model(MODEL), place.layout, step)


def on_disk(place: Place) -> int:
    return sum(sum(fetch.weights_on_disk(p).values()) for p in place.layout.checkpoint(MODEL, 0).parent.iterdir())


@pytest.fixture(scope="module")
def kept(made: Path) -> dict[tuple[int, str], Any]:
    """What is measured where the weights simply lie there."""
    whole = Place(made, width=WIDTH)
    show(whole)
    return {(s, e): whole.extract(e, s, experiments=EXPERIMENTS) for e in EXPERIMENTS for s in STEPS}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which thread brought which step."""
    found: list[tuple[str, int]] = []
    bring = fetch.ensure

    def noted(model: Any, layout: Any, step: int) -> Path:
        found.append((threading.current_thread().name, step))
        return bring(model, layout, step)

    monkeypatch.setattr(fetch, "ensure", noted)
    return found


@pytest.mark.parametrize("bound", [1.0, 2.5, None])
def test_the_bound_holds_at_every_moment_and_the_tables_are_those_of_kept_weights(place, size, kept, fetched, bound):
    limit = None if bound is None else int(bound * size)
    with watched(place.layout.root / "checkpoints") as seen:
        for step in STEPS:
            for experiment in EXPERIMENTS:
                found = place.extract(experiment, step, experiments=EXPERIMENTS, keep_checkpoints=False, weights_disk=limit)
                assert found.equals(kept[step, experiment])
    assert size <= max(seen) <= (limit or 4 * size)
    assert fetched == [("MainThread", 0), *(("ahead", step) for step in STEPS[1:])], "one process takes them all, each is fetched once"
    assert on_disk(place) == 0


def test_the_bound_holds_over_several_extractions_at_once(place, size, kept, hub):
    hub.misbehave("slow", "^/storage/", times=float("inf"), seconds=0.003)
    limit, failed = int(2.2 * size), []

    def extracted(steps: list[int]) -> None:
        try:
            for step in steps:
                place.extract("grammar", step, experiments=EXPERIMENTS, keep_checkpoints=False, weights_disk=limit)
        except BaseException as error:
            failed.append(error)

    with watched(place.layout.root / "checkpoints") as seen:
        threads = [threading.Thread(target=extracted, args=(STEPS[i::3],)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not failed
    assert not any(thread.is_alive() for thread in threads)
    assert size < max(seen) <= limit
    assert on_disk(place) == 0
    for step in STEPS:
        assert tables.read_table(place.layout.measurement(MODEL, step, "grammar")).equals(kept[step, "grammar"])


def test_those_who_wait_are_served_in_turn_and_nothing_is_fetched_ahead_of_them(place, size, room):
    store, first = room(size)
    served, held = [], [checkpoint(place, step) for step in (0, 1, 2, 3)]

    def wait(step: int) -> None:
        store, mine = room(size)
        with store.lock(held[step].weights):
            mine.claim(held[step])
            served.append(step)
            mine.release(held[step])

    with store.lock(held[0].weights):
        assert first.claim(held[0])
        threads = []
        for step in (1, 2):
            threads.append(threading.Thread(target=wait, args=(step,)))
            threads[-1].start()
            while not (store.root / "room" / f"{MODEL}.step{step}.json").exists():
                time.sleep(0.01)
        first.release(held[0])
    with store.lock(held[3].weights):
        while len(served) < 2:
            if first.claim(held[3], wait=False):
                assert served == [1, 2]
                break
            time.sleep(0.01)
    for thread in threads:
        thread.join(10)
    assert served == [1, 2]


KILLED = """
import sys
from pathlib import Path
from extraction.tiny import Place
from trajectories.extraction.requests import Checkpoint
from trajectories.extraction.store import Store
from trajectories.hub import fetch
from trajectories.hub.room import Room
place = Place(Path(sys.argv[1]), source="hub")
store = Store(place.layout.store)
wanted = Checkpoint.read(place.settings, place.layout, "tiny-a", 0)
with store.lock(wanted.weights):
    Room(place.layout, store, int(sys.argv[2])).claim(wanted)
    fetch.ensure(place.suite.model("tiny-a"), place.layout, 0)
"""


def test_a_claim_ends_with_its_process_and_what_it_left_goes_when_room_is_needed(place, size, room, hub, tmp_path):
    hub.misbehave("slow", "^/storage/", seconds=0.1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), str(size)], env=environment)
    while not on_disk(place):
        assert process.poll() is None
        time.sleep(0.01)
    store, here = room(1.05 * size)
    wanted = checkpoint(place, 1)
    with store.lock(wanted.weights):
        assert not here.claim(wanted, wait=False), "it holds while its process lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = on_disk(place)
        assert 0 < left < size
        assert here.claim(wanted, wait=False)
    assert on_disk(place) == (left if left < 0.05 * size else 0)


def test_weights_alone_above_the_bound_are_told_in_one_sentence(place, size, room):
    _, here = room(size - 1)
    with pytest.raises(UserError, match=r"take 0\.00.* GB, more than 'weights_disk_gb' allows .* raise it, or leave the model out"):
        here.claim(checkpoint(place, 0))


def test_weights_from_before_the_bound_count_and_go_when_room_is_needed(place, size, room):
    for step in (0, 1, 2):
        ensure(place, step)
    store, here = room(2 * size)
    wanted = checkpoint(place, 3)
    with store.lock(wanted.weights):
        assert here.claim(wanted)
        assert on_disk(place) == size


def test_weights_in_use_never_go(place, size, room):
    ensure(place, 0)
    store, here = room(size)
    used, wanted = checkpoint(place, 0), checkpoint(place, 1)
    with store.lock(used.weights), store.lock(wanted.weights):
        assert not here.claim(wanted, wait=False)
    assert on_disk(place) == size


def test_room_claimed_for_a_checkpoint_whose_manifest_has_gone_is_free_again(place, size, room):
    store, here = room(size)
    lost, wanted = checkpoint(place, 0), checkpoint(place, 1)
    with store.lock(lost.weights):
        assert here.claim(lost)
        place.layout.forget(lost.folder / "model.safetensors")
        with store.lock(wanted.weights):
            assert not here.claim(wanted, wait=False), "somebody has it in hand"
    with store.lock(wanted.weights):
        assert here.claim(wanted, wait=False)


def test_a_folder_that_is_no_checkpoints_does_not_matter(place, size, room):
    ensure(place, 0)
    folder = place.layout.checkpoint(MODEL, 0)
    folder.rename(folder.with_name("step0.old"))
    store, here = room(size)
    wanted = checkpoint(place, 1)
    with store.lock(wanted.weights):
        assert here.claim(wanted, wait=False)


def test_what_cannot_be_fetched_ahead_is_left_to_its_own_job(place, size, kept, hub):
    commits = hub.repositories["models", "owner/tiny-a"].branches
    broken = hub.misbehave("status", f"{commits['step2']}/model.safetensors", times=float("inf"), status=404)
    place.extract("grammar", 0, experiments=EXPERIMENTS, keep_checkpoints=False, weights_disk=2 * size)
    stored = [step for step in STEPS if extract._stored(Store(place.layout.store), checkpoint(place, step), _request(place))]
    assert stored == [0, 1, 3, 4, 5]
    broken.times = 0
    found = place.extract("grammar", 2, experiments=EXPERIMENTS, keep_checkpoints=False, weights_disk=2 * size)
    assert found.equals(kept[2, "grammar"])


def test_a_process_goes_on_for_half_of_its_jobs_time_at_most(place, size, kept):
    found = place.extract("grammar", 0, experiments=EXPERIMENTS, keep_checkpoints=False, weights_disk=2 * size, minutes=1e-6)
    assert found.equals(kept[0, "grammar"])
    assert [step for step in STEPS if extract._stored(Store(place.layout.store), checkpoint(place, step), _request(place))] == [0]


def _request(place: Place) -> Any:
    from trajectories.extraction.requests import Request

    return Request.read(place.layout, "grammar")
