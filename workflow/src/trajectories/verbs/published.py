"""``trajectories published``: read a model's published results into a table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trajectories import memorized_rows, published, row_lists, tables
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.provenance import provenance
from trajectories.recipes import Settings

if TYPE_CHECKING:
    from trajectories.cli import Machine

log = logging.getLogger(__name__)


def run(settings: Settings, layout: Layout, machine: Machine, model: str) -> None:
    """Write ``published/<model>.parquet`` in the form that the suite's format has; a model without results has an empty table, whose notes
    say so.
    """
    suite = settings.suite
    if suite.published is None:
        raise UserError(f"Suite '{suite.name}' has no published results; its numbers come from checkpoints.")
    source, what, extra = suite.published, suite.model(model), {}
    found: published.Collected | memorized_rows.Collected
    if source.format == "memorized-rows":
        found = memorized_rows.collect(what, source, settings.extra.get("rows"), machine.data_dir)
        extra, schema = {"splits": found.splits}, row_lists.SCHEMA
    else:
        found, schema = published.collect(what, published.root(source, machine.data_dir), source.items), published.SCHEMA
    for note in found.notes:
        log.info("%s", note)
    origin = {"repository": source.repository, "commit": source.commit}
    record = provenance(settings, layout, "published", found.files, (), targets={"model": model}, published=origin)
    tables.write_table(found.table, layout.published(model), record, schema, notes=found.notes, missing=found.missing, **extra)
