"""The weights of the checkpoints that a process measures next, fetched while it measures."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from trajectories.errors import UserError

if TYPE_CHECKING:
    from trajectories.extraction.requests import Checkpoint
    from trajectories.extraction.store import Store
    from trajectories.hub.room import Room
    from trajectories.locks import Held

PAUSE = 0.5
"""Seconds between two looks for room."""

_log = logging.getLogger(__name__)


class Ahead:
    """Fetches checkpoints one after another in a thread, at most two before they are taken; use as a context manager and iterate.

    Each checkpoint is handed over with its lock held until the next one is asked for. One for which there is no room now is waited for as
    long as nothing else is ready, so what was fetched is always measured; one that another process has in hands is left to it.

    Args:
        candidates: checkpoints in the sequence in which they are wanted; asked for the next one only when it is to be fetched, so it
            decides when to stop.
        store: whose locks guard the weights.
        room: what bounds the weights on the disk.
        bring: fetches a checkpoint's weights.
    """

    def __init__(self, candidates: Iterator[Checkpoint], store: Store, room: Room, bring: Callable[[Checkpoint], object]):
        self._candidates, self._store, self._room, self._bring = candidates, store, room, bring
        self._ready: queue.Queue[tuple[Checkpoint, Held, contextlib.ExitStack] | None] = queue.Queue(maxsize=1)
        self._waits = threading.Event()  # nothing is measured: who iterates waits for the thread
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ahead", daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[tuple[Checkpoint, Held]]:
        while True:
            self._waits.set()
            taken = self._ready.get()
            self._waits.clear()
            if taken is None:
                return
            checkpoint, held, stack = taken
            with stack:
                yield checkpoint, held

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # not joined: it may be in the middle of a long download, which the next process continues
        self._stop.set()
        with contextlib.suppress(queue.Empty):
            while (taken := self._ready.get_nowait()) is not None:
                taken[2].close()

    def _work(self) -> None:
        try:
            for checkpoint in self._candidates:
                try:
                    self._fetch(checkpoint)
                except UserError as error:
                    _log.info("%s step %d is left to its own job: %s", checkpoint.model, checkpoint.step, error)
                if self._stop.is_set():
                    return
        finally:
            self._put(None)

    def _fetch(self, checkpoint: Checkpoint) -> None:
        while not self._stop.is_set():
            idle = self._waits.is_set() and self._ready.empty()
            with contextlib.ExitStack() as stack:
                held = stack.enter_context(self._store.lock(checkpoint.weights, wait=False))
                if not held:
                    return
                if self._room.claim(checkpoint, wait=False):
                    self._bring(checkpoint)
                    self._put((checkpoint, held, stack.pop_all()))
                    return
            if idle:  # nothing is under way here that would free some, so others have it
                return
            self._waits.wait(PAUSE)

    def _put(self, item: tuple[Checkpoint, Held, contextlib.ExitStack] | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(item, timeout=PAUSE)
                return
        if item is not None:
            item[2].close()
