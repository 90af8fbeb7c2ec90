"""``trajectories count ORDER EXPERIMENT``: count an experiment's terms in a training order, up to each checkpoint of its models.

Needs: terms/<experiment>.parquet, which the experiment's stimuli name; order/<order>/order.json.
Makes: counts/<order>/<experiment>.parquet. What was counted is kept in the store as well, so that stimuli that are made anew with the same
       terms cost nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from trajectories import experiments, tables
from trajectories.code import code_digest
from trajectories.errors import UserError
from trajectories.orders import RowReader, open_order
from trajectories.orders.counting import count
from trajectories.orders.terms import Terms
from trajectories.provenance import provenance

if TYPE_CHECKING:
    from trajectories.cli import Machine
    from trajectories.layout import Layout
    from trajectories.recipes import Settings

COUNTS = pa.schema(
    [
        ("order", pa.string()),
        ("term", pa.string()),
        ("other", pa.string()),
        ("step", pa.int64()),
        ("count", pa.float64()),
        ("stderr", pa.float64()),
    ]
)
"""``other`` is empty for a single term; for a pair ``count`` is the number of documents in which both occur."""
log = logging.getLogger(__name__)


def run(settings: Settings, layout: Layout, machine: Machine, order: str, experiment: str) -> None:
    """Write ``counts/<order>/<experiment>.parquet``.

    Raises:
        UserError: the experiment has no terms, no model is trained on the order, or a file that it needs is absent or damaged.
    """
    if not experiments.counts_terms(experiment):
        raise UserError(f"Experiment '{experiment}' names no terms that could be counted.")
    if not settings.extra["steps"]:
        raise UserError(f"No model of suite '{settings.suite.name}' is trained on order '{order}', so nothing is counted in it.")
    wanted = tables.read_table(layout.terms(experiment))
    reader = open_order(layout.order(order))
    stored = layout.store / "counts" / f"{_key(settings, wanted, reader)}.parquet"
    found = _kept(stored)
    if found is None:
        reader.verify()
        found, reading = counted(settings, wanted, reader)
        tables.write_table(found, stored, None, COUNTS, reading=reading)
    else:
        log.info("These terms were counted in this order before.")
    inputs = [layout.terms(experiment), layout.order(order) / "order.json"]
    record = provenance(settings, layout, "count", inputs, ("numpy",), targets={"order": order, "experiment": experiment})
    tables.write_table(found, layout.counts(order, experiment), record, COUNTS, reading=tables.metadata(stored)["reading"])


def counted(settings: Settings, wanted: pd.DataFrame, reader: RowReader) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the order and count.

    Args:
        settings: ``extra`` holds ``steps`` and ``tokens``.
        wanted: ``term, other, input_ids``, as the verb ``stimuli`` writes them.
        reader: the order.

    Returns:
        The table of :data:`COUNTS`; and how many ``rows`` there are below the last step, and how many were ``read``.
    """
    single, pairs = wanted[wanted["other"] == ""], wanted[wanted["other"] != ""]
    sequences = single.groupby("term", sort=False)["input_ids"].agg(list).to_dict()
    terms = Terms(sequences, list(zip(pairs["term"], pairs["other"], strict=True)), settings.suite.end_of_text)
    random = np.random.default_rng([settings.seed, *reader.name.encode()])
    found = count(reader, terms, settings.extra["steps"], settings.extra["tokens"], random)
    names, others = [*terms.names, *pairs["term"]], [""] * len(terms.names) + list(pairs["other"])
    table = pd.DataFrame(
        {
            "order": reader.name,
            "term": np.tile(np.array(names, object), len(found.steps)),
            "other": np.tile(np.array(others, object), len(found.steps)),
            "step": np.repeat(found.steps, len(names)),
            "count": found.count.ravel(),
            "stderr": found.stderr.ravel(),
        }
    )
    return table, {"rows": found.rows, "read": found.read}


def _key(settings: Settings, wanted: pd.DataFrame, reader: RowReader) -> str:
    """Digest of all that the counts depend on."""
    asked: list[list[Any]] = [
        [term, other, [int(token) for token in ids]] for term, other, ids in wanted[["term", "other", "input_ids"]].to_numpy()
    ]
    order = {name: value for name, value in reader.manifest.items() if name != "provenance"}
    code = code_digest("trajectories.orders.counting", __name__)
    return tables.digest([asked, order, settings.suite.end_of_text, settings.seed, settings.extra, code], 32)


def _kept(path: Path) -> pd.DataFrame | None:
    """What was counted before, or None; a damaged file is counted again."""
    try:
        return tables.read_table(path)
    except UserError:
        return None
