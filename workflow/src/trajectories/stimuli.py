"""Stimuli: the tables of token sequences that are shown to every checkpoint, and the measures asked of them.

The request travels in the table's own metadata (key ``measures``), so extraction never imports an experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from trajectories.orders import RowReader
    from trajectories.suites import Suite

REQUIRED = ("item_id", "input_ids", "start", "end")
EXPOSURES = ("item_id", "order", "row", "step")
TERMS = ("term", "input_ids")
TOGETHER = ("term", "other")


@dataclass(frozen=True)
class Measure:
    """A measure that extraction is asked to take.

    Args:
        name: ``logprob``, ``greedy``, ``generate``, ``hidden`` or ``lens``.
        options: what the measure can be told, for instance ``{"token_logprobs": True}`` or ``{"layers": [0, 4], "positions": "last"}``.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it stands in the metadata of the stimuli."""
        return {"name": self.name, "options": self.options}


@dataclass
class Stimuli:
    """What an experiment shows to every checkpoint.

    Args:
        table: one row per item: ``item_id`` (str, unique), ``input_ids`` (sequence of int), ``start`` and ``end`` (half-open span whose
            tokens are scored, 1 ≤ start < end ≤ length), then the experiment's own columns; ``pair_id`` and ``variant`` where items belong
            together.
        measures: what to take from each item.
        exposures: ``item_id, order, row, step``, then the experiment's own columns; one row per time that an order shows the item; empty if
            not known.
        notes: what the report should say about how the stimuli were chosen.
        sources: data sets used: name to ``{"licence", "citation", "sha256"}``.
        terms: ``term, input_ids``: what is to be counted in the training orders; a term's rows (with and without a space before it, for
            instance) are counted together.
        together: ``term, other``: pairs of terms of which it is counted in how many documents both occur.
    """

    table: pd.DataFrame
    measures: list[Measure]
    exposures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({c: [] for c in EXPOSURES}))
    notes: list[str] = field(default_factory=list)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    terms: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({c: [] for c in TERMS}))
    together: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({c: [] for c in TOGETHER}))

    def check(self) -> None:
        """Raise ValueError unless the table keeps its contract."""
        missing = [c for c in REQUIRED if c not in self.table]
        if missing:
            raise ValueError(f"stimuli lack the columns {missing}")
        if self.table["item_id"].duplicated().any():
            raise ValueError("item_id repeats")
        length = self.table["input_ids"].map(len).to_numpy()
        start, end = self.table["start"].to_numpy(), self.table["end"].to_numpy()
        if not (np.all(start >= 1) and np.all(start < end) and np.all(end <= length)):
            raise ValueError("a span is empty, starts before position 1 or ends after its sequence")
        unknown = set(self.exposures["item_id"]) - set(self.table["item_id"])
        if unknown:
            raise ValueError(f"exposures of unknown items, for instance {sorted(unknown)[:3]}")
        if (self.terms["input_ids"].map(len) == 0).any():
            raise ValueError("a term to be counted has no tokens")
        undeclared = {*self.together["term"], *self.together["other"]} - set(self.terms["term"])
        if undeclared:
            raise ValueError(f"pairs of terms that are not among the terms, for instance {sorted(undeclared)[:3]}")


def joined(parts: Mapping[str, Stimuli], measures: list[Measure]) -> Stimuli:
    """The stimuli of an experiment that has several parts, as one table.

    Args:
        parts: by name; a column ``part`` is added with it, names of items begin with it, and columns that a part lacks are empty.
        measures: what is taken from all items.
    """
    tables, exposures = [], []
    for name, one in parts.items():
        tables.append(one.table.assign(item_id=name + "/" + one.table["item_id"], part=name))
        exposures.append(one.exposures.assign(item_id=name + "/" + one.exposures["item_id"].astype(str)))
    return Stimuli(
        pd.concat(tables, ignore_index=True),
        measures,
        pd.concat(exposures, ignore_index=True),
        [note for one in parts.values() for note in one.notes],
        {name: source for one in parts.values() for name, source in one.sources.items()},
        pd.concat([one.terms for one in parts.values()], ignore_index=True),
        pd.concat([one.together for one in parts.values()], ignore_index=True).drop_duplicates(ignore_index=True),
    )


@dataclass(frozen=True)
class StimuliContext:
    """What an experiment may look at when it chooses stimuli: never a model.

    Attributes:
        suite: the suite without its models.
        settings: the ``stimuli`` part of the experiment's ``Settings``, validated.
        seed: seed of every random choice.
        orders: the suite's training orders by name, opened when first read; empty where none can be read.
        rows_per_step: order to rows per training step.
        tokenizer: the suite's tokenizer (a ``tokenizers.Tokenizer``), loaded when first called.
        truth: embedded suites: table name to data frame of planted truth; raises KeyError for a table that does not exist.
        has_truth: whether the suite has planted truth.
        data: name of a public data set to the folder that holds it (downloaded and verified, or ``data_dir``).
        memorized: order to the rows that a public table lists as memorized, ascending (int64), or None where the suite names no table.
    """

    suite: Suite
    settings: Any
    seed: int
    orders: Mapping[str, RowReader]
    rows_per_step: dict[str, int]
    tokenizer: Callable[[], Tokenizer]
    truth: Callable[[str], pd.DataFrame]
    has_truth: bool
    data: Callable[[str], Path]
    memorized: Callable[[str], np.ndarray | None] = lambda order: None

    def generator(self, purpose: str) -> np.random.Generator:
        """A random generator that depends on the seed and on what it is for, so that one use never shifts another."""
        return np.random.default_rng([self.seed, *purpose.encode()])
