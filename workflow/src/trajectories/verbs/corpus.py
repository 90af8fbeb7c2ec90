"""``trajectories corpus``: make the embedded suite's corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trajectories import tables
from trajectories.layout import Layout
from trajectories.nano import tokenizer
from trajectories.nano.corpus import build
from trajectories.nano.settings import training
from trajectories.provenance import provenance
from trajectories.recipes import Settings

if TYPE_CHECKING:
    from trajectories.cli import Machine


def run(settings: Settings, layout: Layout, machine: Machine) -> None:
    """Write ``corpus/``: rows, tokenizer, truth tables, and ``corpus.json`` last."""
    plan = training(settings.suite)
    folder = layout.corpus
    (folder / "corpus.json").unlink(missing_ok=True)
    corpus = build(plan)
    record = provenance(settings, layout, "corpus", [], ("numpy", "pandas", "tokenizers", *plan.text.packages))
    tokenizer.save(corpus.tokenizer, folder, plan.row_tokens - 1)
    for name, table in corpus.truth.items():
        tables.write_table(table, layout.truth(name), record)
    with tables.replacing(folder / "rows.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, corpus.packed.rows)
    names = ["rows.npy", *tokenizer.FILES, *(f"truth/{name}.parquet" for name in sorted(corpus.truth))]
    manifest = {
        "rows": plan.rows,
        "never_seen": plan.never_seen,
        "row_tokens": plan.row_tokens,
        "rows_per_step": plan.rows_per_step,
        "vocabulary": plan.vocabulary,
        "files": {name: {"sha256": tables.sha256(folder / name), "size": (folder / name).stat().st_size} for name in names},
        "provenance": record,
    }
    tables.write_json(folder / "corpus.json", manifest)
