"""``trajectories audit``: a model's checkpoints or results and what is wrong with them, as a table; ``all`` joins the models' tables.

For people, ``trajectories audit <owner>/<name>`` does the same for any repository of the Hub whose branches or tags are training steps.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from trajectories import __version__, tables
from trajectories.cli import Machine
from trajectories.errors import UserError
from trajectories.hub import audit
from trajectories.layout import Layout
from trajectories.plans import columns
from trajectories.provenance import provenance
from trajectories.recipes import Settings
from trajectories.suites import REPOSITORY

ANOMALIES = 3
"""Exit code where checkpoints are not sound (1 is an error, 2 a wrong option)."""
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


def of_repository(repository: str, everything: bool = False, tensors: bool = True, output: Path | None = None) -> int:
    """Print what is wrong with the checkpoints of a repository that no suite need describe.

    Args:
        repository: ``owner/name`` on the Hub.
        everything: print the sound checkpoints too.
        tensors: read a few tensors of each checkpoint by range, else compare hashes alone.
        output: file for the whole table, ``.parquet`` or ``.csv``.

    Returns:
        Exit code: 0, or :data:`ANOMALIES` if a checkpoint is not sound.

    Raises:
        UserError: the repository cannot be read or has no steps, or the output is of another kind or cannot be written.
    """
    if not REPOSITORY.fullmatch(repository):
        raise UserError(f"Expected a model of the suite or a repository of the Hub (owner/name), found '{repository}'.")
    if output is not None and output.suffix not in (".parquet", ".csv"):
        raise UserError(f"--output should end in '.parquet' or '.csv', found '{output.name}'.")
    table = audit.of_repository(repository, tensors)
    wrong = table["status"].ne("ok")
    shown = table if everything else table[wrong]
    if len(shown):
        words = shown[["model", "step", "status", "detail"]].rename(columns={"model": "stage"})
        print("\n".join(columns(words if words["stage"].any() else words.drop(columns="stage"))), end="\n\n")
    for stage, own in table.groupby("model", sort=False):
        counts = own["status"].value_counts()
        told = ", ".join(f"{counts[status]} {status}" for status in sorted(counts.index, key=lambda s: (s != "ok", s)))
        print(f"{f'{repository} {stage}'.strip()}: {len(own)} checkpoints, steps {own['step'].min()} to {own['step'].max()}: {told}")
    if output is not None:
        if output.suffix == ".csv":
            with tables.replacing(output) as part:
                table.to_csv(part, index=False)
        else:
            record = {"verb": "audit", "repository": repository, "tensors": tensors, "version": __version__}
            tables.write_table(table, output, record, schema=audit.SCHEMA)
    return ANOMALIES if wrong.any() else 0
