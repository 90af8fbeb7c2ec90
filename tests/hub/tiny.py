"""Tiny checkpoints as a Hub holds them, a suite of one model, and a results folder with the verbs on it."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from trajectories import tables
from trajectories.cli import Machine
from trajectories.layout import Layout
from trajectories.recipes import Settings
from trajectories.suites import Suite
from trajectories.verbs import audit as audit_verb
from trajectories.verbs import fetch as fetch_verb

NAME = "EleutherAI/pythia-70m"
TOKEN = "hf_" + "secret" * 5


def weights(seed: int, size: int = 4000) -> bytes:
    """A valid safetensors file with one tensor of bytes that differ by seed."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    block = bytes((seed * 31 + i * (seed + 7)) % 251 for i in range(1009))
    return struct.pack("<Q", len(header)) + header + (block * (size // len(block) + 1))[:size]


def checkpoint(seed: int, **more: bytes) -> dict[str, bytes]:
    """The files of a revision, also some that must never be fetched."""
    return {
        "config.json": json.dumps({"model_type": "gpt_neox", "torch_dtype": "float16"}).encode(),
        "tokenizer.json": b'{"version": "1.0"}',
        "model.safetensors": weights(seed),
        "pytorch_model.bin": b"PICKLE" * 100 + bytes([seed]),
        "README.md": b"# A model",
        "modeling_custom.py": b"raise SystemExit('code from the Hub')",
        "training_args.bin": b"pickle",
        "optimizer.pt": b"pickle",
        **more,
    }


def sharded(seeds: list[int], kind: str = "safetensors", absent: int | None = None, index: bytes | None = None) -> dict[str, bytes]:
    """A revision whose weights lie in several files, one per seed."""
    stem = {"safetensors": "model", "bin": "pytorch_model"}[kind]
    names = [f"{stem}-{i + 1:05d}-of-{len(seeds):05d}.{kind}" for i in range(len(seeds))]
    table = json.dumps({"metadata": {}, "weight_map": {f"t{i}": n for i, n in enumerate(names)}}).encode()
    files = {"config.json": b"{}", "tokenizer.json": b"{}", f"{stem}.{kind}.index.json": index or table}
    return files | {n: weights(s) for i, (n, s) in enumerate(zip(names, seeds, strict=True)) if i != absent}


def suite_of(steps: list[int], **model: Any) -> Suite:
    """A Hub suite with one model that has these steps."""
    facts = {
        "name": "pythia-70m",
        "layers": 1,
        "width": 8,
        "heads": 2,
        "head_width": 4,
        "vocabulary": 16,
        "parameters_total": 1000,
        "parameters_non_embedding": 744,
        "learning_rate": 1e-3,
        "rows_per_step": 1024,
        "tokens_per_step": 2097152,
        "steps": steps,
        "steps_total": 143000,
        "dtype": "float16",
        "repository": NAME,
        "revision": "step{step}",
    }
    return Suite.model_validate(
        {"name": "pythia", "title": "Pythia", "description": "Served on loopback.", "source": "hub", "models": [{**facts, **model}]}
    )


class Workplace:
    """A suite's results folder, and the verbs on it."""

    def __init__(self, root: Path):
        self.layout = Layout(root / "pythia")
        self.suite = suite_of([0, 1, 2, 143000])
        self.machine = Machine()

    @property
    def model(self) -> Any:
        return self.suite.models[0]

    @property
    def settings(self) -> Settings:
        return Settings(self.suite, {}, 0, {}, "0" * 16)

    def audit(self, model: str | None = None) -> Any:
        audit_verb.run(self.settings, self.layout, self.machine, model=model or self.model.name)
        return tables.read_table(self.layout.audit(None if model == "all" else model or self.model.name)).set_index("step")

    def fetch(self, step: int, keep: bool = True) -> Path:
        fetch_verb.run(self.settings, self.layout, replace(self.machine, keep_checkpoints=keep), model=self.model.name, step=step)
        return self.layout.checkpoint(self.model.name, step)
