"""``trajectories published``: read a model's published results into a table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trajectories import published, tables
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.provenance import provenance
from trajectories.recipes import Settings

if TYPE_CHECKING:
    from trajectories.cli import Machine

log = logging.getLogger(__name__)


def run(settings: Settings, layout: Layout, machine: Machine, model: str) -> None:
    """Write ``published/<model>.parquet``; a model without results has an empty table, whose notes say so."""
    suite = settings.suite
    if suite.published is None:
        raise UserError(f"Suite '{suite.name}' has no published results; its numbers come from checkpoints.")
    root = published.root(suite.published, machine.data_dir)
    found = published.collect(suite.model(model), root, suite.published.items)
    for note in found.notes:
        log.info("%s", note)
    origin = {"repository": suite.published.repository, "commit": suite.published.commit}
    record = provenance(settings, layout, "published", found.files, (), targets={"model": model}, published=origin)
    tables.write_table(found.table, layout.published(model), record, published.SCHEMA, notes=found.notes, missing=found.missing)
