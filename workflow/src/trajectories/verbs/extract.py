"""``trajectories extract``: measure a checkpoint on an experiment's stimuli.

The first of a checkpoint's jobs loads its weights once and measures all experiments whose stimuli are there into the store; each job then
copies its own table out of the store, and only the one that measures imports torch.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from trajectories import tables
from trajectories.cli import Machine
from trajectories.errors import UserError
from trajectories.extraction import devices
from trajectories.extraction.ahead import Ahead
from trajectories.extraction.requests import Checkpoint, Request, verify
from trajectories.extraction.store import Entry, Store
from trajectories.hub import fetch
from trajectories.hub.room import Room
from trajectories.layout import Layout
from trajectories.locks import Held
from trajectories.progress import Progress
from trajectories.provenance import package_versions, provenance
from trajectories.recipes import Settings

AHEAD = 90.0
"""Seconds within which a process goes on to further checkpoints of its model: its start takes longer than to measure a small one."""

AHEAD_OF_FETCH = 1800.0
"""The same where weights are not kept: a process that goes on measures while the next weights arrive."""

_log = logging.getLogger(__name__)


def run(settings: Settings, layout: Layout, machine: Machine, model: str, step: int, experiment: str) -> None:
    """Write ``measurements/<model>/step<step>/<experiment>.parquet`` and the tensors beside it.

    Raises:
        UserError: no such checkpoint or stimuli, damaged ones, stimuli that do not fit the model, or too little memory.
    """
    began = time.monotonic()
    store = Store(layout.store)
    checkpoint = Checkpoint.read(settings, layout, model, step)
    own = Request.read(layout, experiment)
    if checkpoint.manifest.get("missing"):
        _leave_out(settings, checkpoint, own)
        return
    passing = not machine.keep_checkpoints and settings.suite.source == "hub"
    work = _Work(model, settings, layout, machine, store, Room(layout, store, machine.weights_disk), passing)
    entry = store.get(checkpoint.key(own))
    if entry is None:
        work.requests = [own, *_siblings(layout, machine, experiment)]
        with contextlib.ExitStack() as stack:
            following = work.begin(checkpoint, began, stack)
            entry = store.get(checkpoint.key(own))
            if entry is None:
                raise UserError(f"The store '{store.root}' lost an entry while it was read; run again, one run at a time.")
            _deliver(settings, checkpoint, own, entry)
            for other, held in following:
                work.go_on(other, held)
    else:
        _deliver(settings, checkpoint, own, entry)
        if passing and fetch.weights_on_disk(checkpoint.folder):
            # waits: who holds the lock may be at another checkpoint with the same weights, and would leave these where they are
            with store.lock(checkpoint.weights) as held:
                work.let_go(checkpoint, held)


def _leave_out(settings: Settings, checkpoint: Checkpoint, request: Request) -> None:
    """Write a measurement without items for a checkpoint that its manifest says is missing; the analysis leaves it out by the audit."""
    layout, model, step = checkpoint.layout, checkpoint.model, checkpoint.step
    _log.warning("%s step %d is left out: %s", model, step, checkpoint.manifest["missing"])
    targets = {"model": model, "step": step, "experiment": request.experiment}
    inputs = [layout.stimuli(request.experiment), checkpoint.folder / "checkpoint.json"]
    about = provenance(settings, layout, "extract", inputs, targets=targets, missing=checkpoint.manifest["missing"])
    tables.write_table(pa.table({"item_id": pa.array([], pa.string())}), layout.measurement(model, step, request.experiment), about)


def _siblings(layout: Layout, machine: Machine, experiment: str) -> list[Request]:
    """The other experiments of the run whose stimuli are there; what is wrong with one of them is for its own job to say."""
    found = []
    for name in machine.experiments:
        if name != experiment and layout.stimuli(name).is_file():
            try:
                found.append(Request.read(layout, name))
            except UserError as error:
                _log.info("%s is left to its own job: %s", name, error)
    return found


def _deliver(settings: Settings, checkpoint: Checkpoint, request: Request, entry: Entry) -> None:
    """Copy an entry to where the contract has it, tensors first."""
    layout, model, step = checkpoint.layout, checkpoint.model, checkpoint.step
    for name in entry.tensors:
        entry.copy_tensor(name, layout.tensor(model, step, request.experiment, name))
    about = provenance(
        settings,
        layout,
        "extract",
        [layout.stimuli(request.experiment), checkpoint.folder / "checkpoint.json"],
        targets={"model": model, "step": step, "experiment": request.experiment},
        revision=checkpoint.manifest.get("revision"),
        commit=checkpoint.manifest.get("commit"),
        extraction=entry.record,
    )
    # the measurement stands on the code that made its numbers, not on that which copies them
    about["code"] = entry.record["code"]
    tables.write_table(entry.table(), layout.measurement(model, step, request.experiment), about, tensors=entry.tensors)


@dataclass
class _Work:
    """What a process does with checkpoints of its model, whose locks the caller holds.

    Attributes:
        passing: weights are fetched for the extraction, and removed after it.
        requests: what is measured; the first one must not fail.
    """

    model: str
    settings: Settings
    layout: Layout
    machine: Machine
    store: Store
    room: Room
    passing: bool
    requests: list[Request] = field(default_factory=list)

    def missing(self, checkpoint: Checkpoint) -> list[Request]:
        """The requests that the store has no answer to."""
        return [r for r in self.requests if self.store.get(checkpoint.key(r)) is None]

    def begin(self, checkpoint: Checkpoint, began: float, stack: contextlib.ExitStack) -> Iterable[tuple[Checkpoint, Held]]:
        """Measure the job's own checkpoint; returns those that follow, which are fetched meanwhile where weights pass through.

        A process that was stopped for longer than the lock's lease finds that another one has measured, and removed the weights.
        """
        following: Iterable[tuple[Checkpoint, Held]] | None = None
        while True:
            with self.store.lock(checkpoint.weights) as held:
                try:
                    if self.missing(checkpoint):
                        self.bring(checkpoint)
                    if following is None:
                        ahead = (checkpoint.step, began)
                        following = stack.enter_context(self.ahead(*ahead)) if self.passing else self.here(*ahead)
                    self.measure(checkpoint)
                except UserError as error:
                    if held:
                        raise
                    _log.info("another process took over %s step %d (%s); looking again", checkpoint.model, checkpoint.step, error)
                    continue
                self.let_go(checkpoint, held)
                return following

    def bring(self, checkpoint: Checkpoint) -> None:
        """Have the weights on the disk, once there is room for them."""
        if self.passing:
            self.room.claim(checkpoint)
        self.fetch(checkpoint)

    def fetch(self, checkpoint: Checkpoint) -> None:
        """Have the weights on the disk, for which there is room."""
        fetch.ensure(self.settings.suite.model(checkpoint.model), self.layout, checkpoint.step)

    def measure(self, checkpoint: Checkpoint) -> None:
        """Load the checkpoint, unless all is in the store by now, and store what is missing."""
        missing, machine = self.missing(checkpoint), self.machine
        if not missing:
            return
        devices.claim(machine.device, machine.gpus)
        import torch

        from trajectories.extraction import configuration
        from trajectories.extraction import model as models
        from trajectories.extraction.run import measure

        models.choose_device(machine.device)
        verify(checkpoint.folder, checkpoint.manifest)
        configuration.check(checkpoint.folder, self.settings.suite.model(checkpoint.model))
        loaded = models.load(checkpoint.folder, checkpoint.dtype, machine.device, machine.threads, machine.gpus)
        versions = package_versions(("numpy", "torch", "transformers"))
        total = sum(len(r.items) * (2 if r.plan.generate else 1) for r in missing)
        with Progress(f"measuring {checkpoint.model} step {checkpoint.step}", total=total, unit="item") as progress:
            for request in missing:
                try:
                    table, tensors = measure(loaded, request.items, request.plan, machine.batch_tokens, request.experiment, progress.update)
                except UserError as error:
                    if request is self.requests[0]:
                        raise
                    _log.info("%s is left to its own job: %s", request.experiment, error)
                    continue
                record = checkpoint.record(request) | {"device": loaded.device.type, "packages": versions}
                if loaded.device.type == "cuda":
                    record["device_name"] = torch.cuda.get_device_name(loaded.device)
                if loaded.shards > 1:
                    record["devices"] = loaded.shards
                self.store.put(checkpoint.key(request), table, tensors, record)

    def let_go(self, checkpoint: Checkpoint, held: Held) -> None:
        """Remove fetched weights once every experiment of the run is in the store; the manifest brings them back when needed."""
        if not self.passing:
            return
        known = {r.experiment: r for r in self.requests}
        for name in self.machine.experiments:
            try:
                request = known.get(name) or Request.read(self.layout, name)
            except UserError:
                return
            if not _stored(self.store, checkpoint, request):
                return
        # not after another process has taken the lock over, since it may be reading them
        freed = self.room.release(checkpoint) if held else 0
        if freed:
            _log.info("removed %.1f GB of fetched weights: %s", freed / 1e9, checkpoint.folder)

    def go_on(self, checkpoint: Checkpoint, held: Held) -> None:
        """Measure a further checkpoint."""
        try:
            self.measure(checkpoint)
            self.let_go(checkpoint, held)
        except UserError as error:
            _log.info("step %d is left to its own job: %s", checkpoint.step, error)
        gc.collect()  # the model, before the next one is loaded

    def here(self, step: int, began: float) -> Iterator[tuple[Checkpoint, Held]]:
        """Further checkpoints whose weights lie here, locked; each is still loaded once, and one that another process has is left to it."""
        for checkpoint in self._candidates(step, self._until(began, AHEAD)):
            if all((checkpoint.folder / name).is_file() for name in checkpoint.manifest["files"]):
                with self.store.lock(checkpoint.weights, wait=False) as held:
                    if held:
                        yield checkpoint, held

    def ahead(self, step: int, began: float) -> Ahead:
        """Further checkpoints, fetched while others are measured."""
        return Ahead(self._candidates(step, self._until(began, AHEAD_OF_FETCH)), self.store, self.room, self.fetch)

    def _until(self, began: float, longest: float) -> float:
        """When to go on no more: a checkpoint begun then still ends within the job's time, of which one takes less than half."""
        return began + (longest if self.machine.minutes is None else min(longest, 30 * self.machine.minutes))

    def _candidates(self, step: int, until: float) -> Iterator[Checkpoint]:
        """The checkpoints of the model that wait to be measured, later steps first, until a time of :func:`time.monotonic`.

        Loading torch and transformers takes seconds, measuring a small model less: the other jobs then only copy.
        """
        names = (name.removeprefix("step") for name in os.listdir(self.layout.checkpoint(self.model, step).parent))
        ready = sorted(int(name) for name in names if name.isdigit())
        chosen = [s for s in ready if s != step and (self.machine.steps is None or s in self.machine.steps)]
        for other in sorted(chosen, key=lambda s: (s < step, s)):
            if time.monotonic() > until:
                return
            try:
                checkpoint = Checkpoint.read(self.settings, self.layout, self.model, other)
            except UserError:
                continue  # its own job says what is wrong
            if not checkpoint.manifest.get("missing") and not all(_stored(self.store, checkpoint, r) for r in self.requests):
                yield checkpoint


def _stored(store: Store, checkpoint: Checkpoint, request: Request) -> bool:
    """Whether there is an answer; whoever takes it checks that it is undamaged."""
    return (store.root / checkpoint.key(request) / "entry.json").is_file()
