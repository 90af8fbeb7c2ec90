"""Trains one model of an embedded suite, saving checkpoints on the way; after a kill it goes on with a bit-equal result."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import GPTNeoXForCausalLM
from transformers.utils import logging as transformers_logging

from trajectories import tables
from trajectories.errors import UserError, require_known
from trajectories.nano.fast import ATTENTION, cross_entropy
from trajectories.nano.model import build
from trajectories.nano.settings import Optimizer, Training
from trajectories.orders import RowReader
from trajectories.progress import Progress
from trajectories.suites import Model

log = logging.getLogger(__name__)

SCHEDULES = ("cosine", "constant")


def learning_rate(step: int, model: Model, optimizer: Optimizer) -> float:
    """Learning rate of the update from ``step`` to ``step + 1``: linear warm-up, then a cosine down to the floor, or constant."""
    warmup = max(1, round(optimizer.warmup * model.steps_total))
    if step < warmup:
        return model.learning_rate * (step + 1) / warmup
    if model.schedule == "constant":
        return model.learning_rate
    done = (step - warmup) / max(1, model.steps_total - warmup)
    return model.learning_rate * (optimizer.floor + (1 - optimizer.floor) * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer:
    """One training run and its files.

    Args:
        model: the suite's facts of the model; the run ends at its last checkpoint.
        training: corpus and optimizer.
        reader: the order; step *s* trains on its rows [r·s, r·(s+1)).
        folder: ``checkpoints/<model>``; holds ``step<step>/`` and ``.state/``.
        tokenizer: files to copy into every checkpoint.
        parent: for a branch: the state of its parent at the branch step.
        identity: JSON-able; a saved state is taken up only by a run of the same identity.
        record: provenance of the checkpoints.
    """

    def __init__(
        self,
        model: Model,
        training: Training,
        reader: RowReader,
        folder: Path,
        tokenizer: list[Path],
        parent: Path | None,
        identity: dict[str, Any],
        record: dict[str, Any],
    ):
        self.model, self.training, self.reader, self.folder, self.tokenizer = model, training, reader, folder, tokenizer
        self.record, self.parent = record, parent
        require_known("schedule", model.schedule or "cosine", SCHEDULES)
        self.identity = tables.digest(identity | {"torch": torch.__version__, "threads": torch.get_num_threads()}, 64)
        self.first = model.branch_step or 0
        self.steps = [s for s in model.all_steps if s >= self.first]
        self.written: dict[int, dict[str, Any]] = {}
        self.network: GPTNeoXForCausalLM = build(model, training.row_tokens - 1)
        self.network.set_attn_implementation(ATTENTION)
        settings = training.optimizer
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=0.0,
            betas=settings.betas,
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.step = self.first
        self.losses: list[float] = []

    def run(self) -> None:
        """Train to the last checkpoint, taking up a state that an interrupted run has left."""
        if not self._take_up() and self.parent is not None:
            self._load(torch.load(self.parent, weights_only=True))
        with Progress(f"training {self.model.name}", total=self.steps[-1], unit="step", initial=self.step) as progress:
            self._save_if_due()
            while self.step < self.steps[-1]:
                self._update()
                progress.update(1)
                self._save_if_due()

    def _update(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.model, self.training.optimizer)
        rows = self.training.rows_per_step
        batch = torch.from_numpy(self.reader[rows * self.step : rows * (self.step + 1)].astype("int64"))
        loss = mean_loss(self.network, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.training.optimizer.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.append(loss.item())
        if not math.isfinite(self.losses[-1]):
            raise UserError(
                f"The loss of '{self.model.name}' is no longer finite at step {self.step}; lower its learning_rate in the suite."
            )
        self.step += 1

    def _save_if_due(self) -> None:
        keep = self.step in self.training.states
        if self.step in self.steps and self.step not in self.written:
            self._save_checkpoint()
        elif not keep:
            return
        state = {"identity": self.identity, "step": self.step, "written": json.dumps({str(k): v for k, v in self.written.items()})}
        state |= {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        names = ["latest.pt", *([f"step{self.step}.pt"] if keep else [])]
        for name in reversed(names):
            # into an open file: given a path, torch writes its (random) name into the archive, and a branch's provenance holds its digest
            with tables.replacing(self.folder / ".state" / name) as temporary, open(temporary, "wb") as file:
                torch.save(state, file)
        if self.step in self.written:
            self._write_manifest(self.step)

    def _save_checkpoint(self) -> None:
        target = self.folder / f"step{self.step}"
        shutil.rmtree(target, ignore_errors=True)
        self.network.save_pretrained(target)
        for file in self.tokenizer:
            shutil.copyfile(file, target / file.name)
        files = {p.name: {"sha256": tables.sha256(p), "size": p.stat().st_size} for p in sorted(target.iterdir())}
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        self.losses = []
        self.written[self.step] = {"weights_sha256": files["model.safetensors"]["sha256"], "loss": loss, "files": files}

    def _write_manifest(self, step: int) -> None:
        manifest = {"model": self.model.name, "step": step, "revision": None, "commit": None, "dtype": "float32"}
        tables.write_json(self.folder / f"step{step}" / "checkpoint.json", {**manifest, **self.written[step], "provenance": self.record})

    def _take_up(self) -> bool:
        """Go on from the latest state if it is this run's own and all its checkpoints are still whole."""
        path = self.folder / ".state" / "latest.pt"
        if not path.exists():
            return False
        try:
            state = torch.load(path, weights_only=True)
            written = {int(step): entry for step, entry in json.loads(state["written"]).items()}
            same = state["identity"] == self.identity
        except Exception:  # torch raises many kinds on a damaged file, and a damaged state is only worth a new start
            log.warning("The saved state '%s' is damaged; training starts anew.", path)
            return False
        if not same or not all(self._whole(step, entry) for step, entry in written.items()):
            return False
        if not all((self.folder / ".state" / f"step{s}.pt").exists() for s in self.training.states if self.first <= s <= state["step"]):
            return False
        self._load(state)
        self.step, self.written = state["step"], written
        for step in written:
            self._write_manifest(step)
        log.info("Training of %s goes on from step %d.", self.model.name, self.step)
        return True

    def _whole(self, step: int, entry: dict[str, Any]) -> bool:
        folder = self.folder / f"step{step}"
        return all((folder / name).exists() and tables.sha256(folder / name) == file["sha256"] for name, file in entry["files"].items())

    def _load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def mean_loss(network: GPTNeoXForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of all targets of int64 rows [batch, row_tokens]; matrix products in bfloat16, the loss in float32."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(batch[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


def prepare(threads: int) -> None:
    """Fix what the result's bits depend on besides the processor: the number of threads and the choice of algorithms."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a third of the time
    transformers_logging.disable_progress_bar()  # one bar per checkpoint would bury ours
