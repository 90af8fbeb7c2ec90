"""What is asked of which checkpoint, and the key under which the answer is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajectories import tables
from trajectories.code import code_digest
from trajectories.errors import Damaged, UserError
from trajectories.extraction import items, measures
from trajectories.layout import Layout
from trajectories.recipes import Settings

CODE = ("trajectories.extraction.run", "trajectories.extraction.model")
"""What a measurement's numbers stand on; an edit of any other code leaves the store valid."""


@dataclass(frozen=True)
class Request:
    """One experiment's stimuli, read and checked, and the key under which a checkpoint's measurements of them are stored."""

    experiment: str
    plan: measures.Plan
    asked: list[dict[str, Any]]
    items: items.Items
    digest: str

    @classmethod
    def read(cls, layout: Layout, experiment: str) -> Request:
        """Raises UserError if the stimuli are absent or damaged, or ask for what no measure offers."""
        path = layout.stimuli(experiment)
        if not path.is_file():
            raise UserError(f"'{path}' does not exist; run `trajectories stimuli {experiment}` first.")
        asked = tables.metadata(path).get("measures") or []
        plan = measures.plan(asked, path.name)
        found = items.from_table(tables.read_arrow(path), plan, path.name)
        return cls(experiment, plan, asked, found, found.digest())


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint and what its measurements depend on."""

    layout: Layout
    model: str
    step: int
    dtype: str
    manifest: dict[str, Any]

    @classmethod
    def read(cls, settings: Settings, layout: Layout, model: str, step: int) -> Checkpoint:
        """Raises UserError if the manifest is absent or damaged; the weights are not looked at."""
        manifest = tables.read_json(layout.checkpoint(model, step) / "checkpoint.json")
        return cls(layout, model, step, settings.suite.model(model).dtype, manifest)

    @property
    def folder(self) -> Path:
        """The Hugging Face model directory."""
        return self.layout.checkpoint(self.model, self.step)

    @property
    def weights(self) -> str:
        """SHA-256 of the weights, their identity."""
        return str(self.manifest["weights_sha256"])

    def record(self, request: Request) -> dict[str, Any]:
        """Everything that decides about the numbers, device and versions (float noise) aside."""
        files = self.manifest["files"]
        return {
            "weights_sha256": self.weights,
            "config_sha256": files["config.json"]["sha256"] if "config.json" in files else None,
            "stimuli": request.digest,
            "measures": request.asked,
            "dtype": self.dtype,
            "code": code_digest(*CODE),
        }

    def key(self, request: Request) -> str:
        """Where the store has, or will have, the measurements of a request."""
        return tables.digest(self.record(request), length=40)


def verify(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise Damaged unless configuration and weights are byte by byte the files that the checkpoint's manifest lists."""
    for name, entry in sorted(manifest["files"].items()):
        if not (name == "config.json" or name.endswith((".safetensors", ".bin", ".index.json"))):
            continue
        path = folder / name
        if not path.is_file():
            raise Damaged(path, "the checkpoint's manifest lists it, but it is absent")
        found = tables.sha256(path)
        if found != entry["sha256"]:
            raise Damaged(path, f"SHA-256 {found[:12]}…, expected {entry['sha256'][:12]}…")
