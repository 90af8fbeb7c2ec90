"""``trajectories audit``: a model's checkpoints or results and what is wrong with them, as a table; ``all`` joins the models' tables."""

from __future__ import annotations

import logging

import pandas as pd

from trajectories import tables
from trajectories.cli import Machine
from trajectories.hub import audit
from trajectories.layout import Layout
from trajectories.provenance import provenance
from trajectories.recipes import Settings

_log = logging.getLogger(__name__)


def run(settings: Settings, layout: Layout, machine: Machine, model: str) -> None:
    """Write ``audit/<model>.parquet``, or ``audit.parquet`` for the model ``all``.

    Raises:
        UserError: the Hub cannot be read, or a table that is joined does not exist.
    """
    suite = settings.suite
    if model == "all":
        inputs = [layout.audit(m.name) for m in suite.models]
        table = audit.across_models(pd.concat([tables.read_table(path) for path in inputs], ignore_index=True), suite)
        path = layout.audit()
    else:
        what, path = suite.model(model), layout.audit(model)
        if suite.source == "hub":
            inputs, table = [], audit.of_hub(what)
        elif suite.source == "trained":
            manifests = [layout.checkpoint(model, step) / "checkpoint.json" for step in what.all_steps]
            inputs, table = [m for m in manifests if m.exists()], audit.of_trained(what, layout)
        else:
            inputs = [layout.published(model)]
            rows = suite.published is not None and suite.published.format == "memorized-rows"
            listed = audit.of_memorized_rows if rows else audit.of_published
            table = listed(what, layout, suite.published.commit if suite.published else None)
    counts = table["status"].value_counts()
    _log.info("%s: %s", model, ", ".join(f"{counts[status]} {status}" for status in sorted(counts.index)))
    tables.write_table(table, path, provenance(settings, layout, "audit", inputs, targets={"model": model}), schema=audit.SCHEMA)
