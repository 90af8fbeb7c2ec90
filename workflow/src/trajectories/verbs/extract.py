"""``trajectories extract``: measure a checkpoint on an experiment's stimuli.

The first of a checkpoint's jobs loads its weights once and measures all experiments whose stimuli are there into the store; each job then
copies its own table out of the store, and only the one that measures imports torch.
"""

from __future__ import annotations

import logging
import time

import pyarrow as pa

from trajectories import tables
from trajectories.cli import Machine
from trajectories.errors import UserError
from trajectories.extraction import devices
from trajectories.extraction.requests import Checkpoint, Request, verify
from trajectories.extraction.store import Entry, Store
from trajectories.hub import fetch
from trajectories.layout import Layout
from trajectories.progress import Progress
from trajectories.provenance import package_versions, provenance
from trajectories.recipes import Settings

AHEAD = 90.0
"""Seconds within which a process goes on to further checkpoints of its model: its start takes longer than to measure a small one."""

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
    entry = store.get(checkpoint.key(own))
    if entry is None:
        requests = _measure_locked(settings, machine, store, checkpoint, own)
        entry = store.get(checkpoint.key(own))
        if entry is None:
            raise UserError(f"The store '{store.root}' lost an entry while it was read; run again, one run at a time.")
        _deliver(settings, checkpoint, own, entry)
        _go_on(settings, layout, machine, store, model, step, requests, began)
    else:
        _deliver(settings, checkpoint, own, entry)
    if not machine.keep_checkpoints and settings.suite.source == "hub":
        _discard(store, checkpoint, layout, machine, own)


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


def _measure_locked(settings: Settings, machine: Machine, store: Store, checkpoint: Checkpoint, own: Request) -> list[Request]:
    """Measure under the weights' lock; returns what was asked for, the own request first.

    A process that was stopped for longer than the lock's lease finds that another one has measured meanwhile and removed the weights.
    """
    while True:
        with store.lock(checkpoint.weights) as held:
            requests = [own, *_siblings(checkpoint.layout, machine, own.experiment)]
            try:
                _measure(settings, machine, store, checkpoint, requests)
                return requests
            except UserError as error:
                if held:
                    raise
                _log.info("another process took over %s step %d (%s); looking again", checkpoint.model, checkpoint.step, error)


def _measure(settings: Settings, machine: Machine, store: Store, checkpoint: Checkpoint, requests: list[Request]) -> None:
    """Load the checkpoint, unless all is there by now, and store what is missing; the first request is the one that must not fail."""
    missing = [r for r in requests if store.get(checkpoint.key(r)) is None]
    if not missing:
        return
    devices.claim(machine.device, machine.gpus)
    import torch

    from trajectories.extraction import model as models
    from trajectories.extraction.run import measure

    models.choose_device(machine.device)
    folder = fetch.ensure(settings.suite.model(checkpoint.model), checkpoint.layout, checkpoint.step)
    verify(folder, checkpoint.manifest)
    loaded = models.load(folder, checkpoint.dtype, machine.device, machine.threads, machine.gpus)
    versions = package_versions(("numpy", "torch", "transformers"))
    total = sum(len(r.items) * (2 if r.plan.generate else 1) for r in missing)
    with Progress(f"measuring {checkpoint.model} step {checkpoint.step}", total=total, unit="item") as progress:
        for request in missing:
            try:
                table, tensors = measure(loaded, request.items, request.plan, machine.batch_tokens, request.experiment, progress.update)
            except UserError as error:
                if request is requests[0]:
                    raise
                _log.info("%s is left to its own job: %s", request.experiment, error)
                continue
            record = checkpoint.record(request) | {"device": loaded.device.type, "packages": versions}
            if loaded.device.type == "cuda":
                record["device_name"] = torch.cuda.get_device_name(loaded.device)
            if loaded.shards > 1:
                record["devices"] = loaded.shards
            store.put(checkpoint.key(request), table, tensors, record)


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
    tables.write_table(entry.table(), layout.measurement(model, step, request.experiment), about)


def _go_on(
    settings: Settings, layout: Layout, machine: Machine, store: Store, model: str, step: int, requests: list[Request], began: float
) -> None:
    """Measure further checkpoints of the model that wait for it, as long as less than :data:`AHEAD` seconds have passed.

    Loading torch and transformers takes seconds, measuring a small model less: its other jobs then only copy. Each checkpoint's weights are
    still loaded once, and a checkpoint that another process has in hands is left to it.
    """
    manifests = layout.checkpoint(model, step).parent.glob("step*/checkpoint.json")
    ready = sorted(int(path.parent.name.removeprefix("step")) for path in manifests)
    chosen = [s for s in ready if s != step and (machine.steps is None or s in machine.steps)]
    for other in sorted(chosen, key=lambda s: (s < step, s)):
        if time.monotonic() - began > AHEAD:
            return
        try:
            checkpoint = Checkpoint.read(settings, layout, model, other)
            if checkpoint.manifest.get("missing") or not all((checkpoint.folder / name).is_file() for name in checkpoint.manifest["files"]):
                continue
            with store.lock(checkpoint.weights, wait=False) as held:
                if held:
                    _measure(settings, machine, store, checkpoint, requests)
        except UserError as error:
            _log.info("step %s is left to its own job: %s", other, error)


def _discard(store: Store, checkpoint: Checkpoint, layout: Layout, machine: Machine, own: Request) -> None:
    """Remove fetched weights once every experiment of the run is in the store; the manifest stays and brings them back when needed."""
    # waits: who holds the lock may be at another checkpoint with the same weights, and would leave these where they are
    with store.lock(checkpoint.weights) as held:
        for name in machine.experiments:
            if name == own.experiment:
                continue
            if not layout.stimuli(name).is_file():
                return
            try:
                if store.get(checkpoint.key(Request.read(layout, name))) is None:
                    return
            except UserError:
                return
        # not after another process has taken the lock over, since it may be reading them
        freed = fetch.discard(checkpoint.folder) if held else 0
        if freed:
            _log.info("removed %.1f GB of fetched weights: %s", freed / 1e9, checkpoint.folder)
