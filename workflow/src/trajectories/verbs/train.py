"""``trajectories train``: train a model of an embedded suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajectories import tables
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.nano.settings import training
from trajectories.nano.tokenizer import FILES
from trajectories.orders import open_order
from trajectories.provenance import provenance
from trajectories.recipes import Settings

if TYPE_CHECKING:
    from trajectories.cli import Machine


def run(settings: Settings, layout: Layout, machine: Machine, model: str) -> None:
    """Write ``checkpoints/<model>/step<step>/`` for all steps of the model."""
    facts = settings.suite.model(model)
    if settings.suite.source != "trained" or facts.order is None:
        raise UserError(
            f"Model '{model}' of suite '{settings.suite.name}' is not trained here; its checkpoints are fetched or its results read."
        )
    plan = training(settings.suite)
    order = layout.order(facts.order) / "order.json"
    reader = open_order(order.parent)
    reader.verify()
    same_shape = (plan.row_tokens, plan.rows_per_step) == (reader.row_tokens, reader.rows_per_step)
    if not same_shape or facts.steps_total * plan.rows_per_step > len(reader):
        raise UserError(f"The order '{facts.order}' does not fit the suite's rows and steps; write it again.")
    inputs, parent = [order], None
    if facts.parent is not None:
        parent = layout.checkpoint(facts.parent, 0).parent / ".state" / f"step{facts.branch_step}.pt"
        if not parent.exists():
            raise UserError(
                f"'{parent}' does not exist; train '{facts.parent}' first, with {facts.branch_step} among the suite's 'states'."
            )
        inputs.append(parent)
    from trajectories.nano import train

    train.prepare(machine.threads)
    record = provenance(settings, layout, "train", inputs, ("torch", "transformers", "numpy"), targets={"model": model})
    identity = {
        "code": settings.code,
        "model": facts.model_dump(mode="json"),
        "training": plan.model_dump(mode="json"),
        "shards": [shard["sha256"] for shard in reader.manifest["shards"]],
        "parent": tables.sha256(parent) if parent is not None else None,
    }
    folder = layout.checkpoint(model, 0).parent
    train.Trainer(facts, plan, reader, folder, [layout.corpus / name for name in FILES], parent, identity, record).run()
