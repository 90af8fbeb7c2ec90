"""Stimuli and checkpoints of a tiny model, and the verb that measures it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from trajectories import tables
from trajectories.cli import Machine
from trajectories.extraction import items, measures
from trajectories.layout import Layout
from trajectories.recipes import Settings
from trajectories.suites import Suite
from trajectories.verbs import extract

VOCABULARY = 97
ALL = [{"name": n, "options": {}} for n in ("logprob", "greedy", "generate", "hidden")]


def table_of(sequences: list[list[int]], start: int | list[int] = 1, end: list[int] | None = None, **columns: Any) -> pa.Table:
    """Stimuli of these sequences, whose spans reach to the end unless told otherwise."""
    n = len(sequences)
    return pa.table(
        {
            "item_id": [f"item-{i}" for i in range(n)],
            "input_ids": pa.array(sequences, pa.list_(pa.int32())),
            "start": pa.array([start] * n if isinstance(start, int) else start, pa.int32()),
            "end": pa.array(end or [len(s) for s in sequences], pa.int32()),
            **columns,
        }
    )


def asked(*names: str, **options: Any) -> measures.Plan:
    """A plan of these measures; ``options`` are the last one's."""
    request = [{"name": name, "options": {}} for name in names]
    request[-1]["options"] = options
    return measures.plan(request, "test")


def items_of(sequences: list[list[int]], plan: measures.Plan, **columns: Any) -> items.Items:
    return items.from_table(table_of(sequences, **columns), plan, "test")


class Place:
    """A suite's results folder with tiny checkpoints, and the verb ``extract`` on it."""

    def __init__(self, root: Path, source: str = "trained", dtype: str = "float32", width: int = 32):
        self.layout = Layout(root / "tiny")
        facts = {
            "name": "tiny-a",
            "layers": 3,
            "width": width,
            "heads": 4,
            "head_width": width // 4,
            "vocabulary": VOCABULARY,
            "parameters_total": 2 * VOCABULARY * width + 1,
            "parameters_non_embedding": 1,
            "learning_rate": 1e-3,
            "rows_per_step": 4,
            "tokens_per_step": 64,
            "steps": [],
            "steps_total": 10,
            "dtype": dtype,
            "repository": "owner/tiny-a",
        }
        self.suite = Suite.model_validate({"name": "tiny", "title": "", "description": "", "source": source, "models": [facts]})
        self.settings = Settings(self.suite, {}, 0, {}, "0" * 16)

    def save(self, module: Any, step: int, safe: bool = True) -> Path:
        """Write a model as the checkpoint of a step, its manifest last."""
        import torch

        folder = self.layout.checkpoint("tiny-a", step)
        module.save_pretrained(folder)
        if not safe:
            (folder / "model.safetensors").unlink()
            torch.save({k: v.clone() for k, v in module.state_dict().items()}, folder / "pytorch_model.bin")
        files = {
            p.name: {"sha256": tables.sha256(p), "size": p.stat().st_size} for p in sorted(folder.iterdir()) if p.name != "checkpoint.json"
        }
        weights = files["model.safetensors" if safe else "pytorch_model.bin"]["sha256"]
        commit = "c" * 40 if self.suite.source == "hub" else None
        manifest = {"model": "tiny-a", "step": step, "revision": None, "commit": commit, "dtype": "float32", "weights_sha256": weights}
        tables.write_json(folder / "checkpoint.json", manifest | {"files": files})
        return folder

    def show(self, experiment: str, table: pa.Table, request: list[dict[str, Any]]) -> None:
        """Write an experiment's stimuli."""
        tables.write_table(table, self.layout.stimuli(experiment), measures=request)

    def extract(self, experiment: str, step: int = 0, experiments: tuple[str, ...] = (), **machine: Any) -> pd.DataFrame:
        options = Machine(device="cpu", experiments=experiments or (experiment,), **machine)
        extract.run(self.settings, self.layout, options, model="tiny-a", step=step, experiment=experiment)
        return tables.read_table(self.layout.measurement("tiny-a", step, experiment))
