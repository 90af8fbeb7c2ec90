"""Room for weights: how much of the disk those fetched from the Hub may take, over all processes of a run.

Whoever brings in weights first claims the room for all of them, so that no two are ever half there and wait for each other. A claim is a
small file; it holds while the lock on the weights is held, as it is by whoever fetches or measures them, so the claim of a process that was
killed ends with it. What counts is what is claimed and, of checkpoints in nobody's hands, what is really on the disk, parts of files
included; such weights are removed when another checkpoint needs their room.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trajectories import tables
from trajectories.errors import UserError
from trajectories.hub.fetch import MANIFEST, discard, weights_bytes, weights_on_disk

if TYPE_CHECKING:
    from trajectories.extraction.requests import Checkpoint
    from trajectories.extraction.store import Store
    from trajectories.layout import Layout

LONGEST_PAUSE = 5.0
"""Seconds between two looks for room, at most."""
_LOCK = "room"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Claim:
    model: str
    step: int
    size: int
    waiting: bool
    since: float
    weights: str = ""
    """SHA-256 of the weights, under which whoever has them in hand holds a lock; empty where nobody can have."""


def check(manifest: dict[str, Any], bound: int | None) -> None:
    """Raise UserError if a checkpoint's weights alone exceed the bound (bytes)."""
    size = weights_bytes(manifest)
    if bound is not None and size > bound:
        raise UserError(
            f"The weights of '{manifest['model']}' at step {manifest['step']} take {size / 1e9:.3g} GB, more than 'weights_disk_gb' allows "
            f"({bound / 1e9:.3g} GB); raise it, or leave the model out."
        )


class Room:
    """The room for the weights of one suite's checkpoints.

    Args:
        layout: where the checkpoints lie.
        store: whose locks say which checkpoint is in somebody's hands; claims lie below it.
        bound: bytes; None for no bound, where every claim is granted and none is written.
    """

    def __init__(self, layout: Layout, store: Store, bound: int | None):
        self._layout, self._store, self._bound = layout, store, bound
        self._folder = store.root / _LOCK
        self._looked = False

    def claim(self, checkpoint: Checkpoint, wait: bool = True) -> bool:
        """Claim the room for a checkpoint's weights; the caller holds the lock on them, and may then fetch them.

        Those who wait are served in the order in which they came; who does not wait gets nothing while somebody waits.

        Args:
            checkpoint: whose weights.
            wait: until others let go of theirs; or give up at once.

        Returns:
            Whether the room is claimed.

        Raises:
            UserError: the weights alone exceed the bound.
        """
        if self._bound is None:
            return True
        check(checkpoint.manifest, self._bound)
        size, since, pause, told = weights_bytes(checkpoint.manifest), time.time(), 0.05, False
        while True:
            with self._store.lock(_LOCK):
                granted = self._make_room(checkpoint, size, since)
                if granted or wait:
                    self._write(_Claim(checkpoint.model, checkpoint.step, size, not granted, since, checkpoint.weights))
            if granted or not wait:
                return granted
            if pause == LONGEST_PAUSE and not told:
                _log.info("Waiting for room for the weights of %s at step %d.", checkpoint.model, checkpoint.step)
                told = True
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def release(self, checkpoint: Checkpoint) -> int:
        """Remove the weights of a checkpoint whose lock the caller holds, and the claim; returns the bytes freed."""
        freed = discard(checkpoint.folder)
        self._path(checkpoint.model, checkpoint.step).unlink(missing_ok=True)
        return freed

    def _make_room(self, wanted: Checkpoint, size: int, since: float) -> bool:
        """Whether the weights fit, once idle ones have gone; under the lock of the room."""
        used, idle = 0, []
        for claim in self._claims():
            if (claim.model, claim.step) == (wanted.model, wanted.step):
                continue
            folder = self._layout.checkpoint(claim.model, claim.step)
            with self._idle(claim, wanted.weights) as free:
                here = sum(weights_on_disk(folder).values())
                if not free:
                    if claim.waiting and claim.since < since:
                        return False
                    used += max(here, 0 if claim.waiting else claim.size)
                elif here:
                    used += here
                    idle.append((claim, here))
                else:
                    self._path(claim.model, claim.step).unlink(missing_ok=True)
        assert self._bound is not None
        for claim, here in sorted(idle, key=lambda one: one[0].since):
            if used + size <= self._bound:
                break
            with self._idle(claim, wanted.weights) as free:
                if free:
                    discard(self._layout.checkpoint(claim.model, claim.step))
                    self._path(claim.model, claim.step).unlink(missing_ok=True)
                    used -= here
        return used + size <= self._bound

    @contextlib.contextmanager
    def _idle(self, claim: _Claim, own: str) -> Iterator[bool]:
        """Whether claimed weights are in nobody's hands, nor come into somebody's before the block ends."""
        if claim.weights in ("", own):  # whoever asks holds the lock on the same weights under another step
            yield True
            return
        with self._store.lock(claim.weights, wait=False) as held:
            yield bool(held)

    def _claims(self) -> list[_Claim]:
        """All claims; the first look finds also the weights that were fetched when there was no bound."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._looked:
            for folder in self._layout.checkpoint("*", 0).parent.parent.glob("*/step*"):
                model, number = folder.parent.name, folder.name.removeprefix("step")
                if number.isdecimal() and not self._path(model, int(number)).exists() and weights_on_disk(folder):
                    self._write(_Claim(model, int(number), 0, False, 0.0, _weights_of(folder)))
            self._looked = True
        found = []
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                found.append(_Claim(**json.loads(path.read_text(encoding="utf-8"))))
        return found

    def _path(self, model: str, step: int) -> Path:
        return self._folder / f"{model}.step{step}.json"

    def _write(self, claim: _Claim) -> None:
        tables.write_json(self._path(claim.model, claim.step), claim.__dict__)


def _weights_of(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights as its manifest has it; empty without one, where nothing can be in use."""
    try:
        return str(tables.read_json(folder / MANIFEST)["weights_sha256"])
    except (UserError, KeyError):
        return ""
