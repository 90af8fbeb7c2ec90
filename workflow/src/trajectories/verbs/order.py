"""``trajectories order``: write an embedded suite's training order, or the reader's index of a remote one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories import tables
from trajectories.errors import Damaged, UserError, require_known
from trajectories.layout import Layout
from trajectories.nano.settings import training
from trajectories.orders.remote import write_remote
from trajectories.orders.writer import write_order
from trajectories.provenance import provenance
from trajectories.recipes import Settings

if TYPE_CHECKING:
    from trajectories.cli import Machine

EDITS = ("swap-pronouns",)


def swap_pronouns(rows: np.ndarray, pronouns: pd.DataFrame) -> np.ndarray:
    """Rows with the gendered pronouns of the planted text swapped; all other tokens are as they were.

    Args:
        rows: uint16 [rows, row_tokens].
        pronouns: ``row, offset, token, swapped`` of each gendered pronoun.
    """
    where = pronouns["row"].to_numpy(), pronouns["offset"].to_numpy()
    if np.any(rows[where] != pronouns["token"].to_numpy()):
        raise UserError("The table of pronouns does not fit the corpus's rows; delete the corpus folder and run again.")
    edited = rows.copy()
    edited[where] = pronouns["swapped"].to_numpy().astype(np.uint16)
    return edited


def run(settings: Settings, layout: Layout, machine: Machine, order: str) -> None:
    """Write ``order/<order>/``, ``order.json`` last."""
    suite = settings.suite
    require_known("order", order, suite.orders)
    what, folder = suite.orders[order], layout.order(order)
    (folder / "order.json").unlink(missing_ok=True)
    if suite.source != "trained":
        record = provenance(settings, layout, "order", [], ("huggingface_hub",), targets={"order": order})
        write_remote(folder, order, what, settings.extra.get("rows_per_step"), record)
        return
    plan = training(suite)
    manifest = tables.read_json(layout.corpus / "corpus.json")
    inputs = [layout.corpus / "rows.npy"]
    if tables.sha256(inputs[0]) != manifest["files"]["rows.npy"]["sha256"]:
        raise Damaged(inputs[0], "another SHA-256 than 'corpus.json' names")
    rows = np.load(inputs[0])
    # the corpus holds the rows that are trained on, then those that are not
    rows = rows[plan.rows :] if what.held_out else rows[: plan.rows]
    if what.edit is not None:
        require_known("edit of an order", what.edit, EDITS)
        inputs.append(layout.truth("pronouns"))
        rows = swap_pronouns(rows, tables.read_table(inputs[-1]))
    if what.reversed:
        rows = rows[::-1]
    record = provenance(settings, layout, "order", inputs, ("numpy",), targets={"order": order})
    corpus = manifest["files"]["rows.npy"]["sha256"]
    write_order(
        folder, order, rows, plan.rows_per_step, plan.shard_bytes, corpus=corpus, edit=what.edit, reversed=what.reversed, provenance=record
    )
