"""``trajectories stimuli``: make an experiment's stimuli and their exposures, and say which terms are to be counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from trajectories import data, experiments, memorized_rows, tables
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.orders import RowReader, open_order
from trajectories.provenance import provenance
from trajectories.recipes import Settings
from trajectories.stimuli import EXPOSURES, Stimuli, StimuliContext
from trajectories.suites import Suite

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from trajectories.cli import Machine

_EXPOSURES = pa.schema([("item_id", pa.string()), ("order", pa.string()), ("row", pa.int64()), ("step", pa.int64())])
_TERMS = pa.schema([("term", pa.string()), ("other", pa.string()), ("input_ids", pa.list_(pa.int32()))])
_CONTRACT = {"item_id": pa.string(), "input_ids": pa.list_(pa.int32()), "start": pa.int32(), "end": pa.int32()}


class Orders(Mapping[str, RowReader]):
    """A suite's training orders by name, each opened when first read.

    Args:
        folders: order to its folder.
        opened: called with the manifest of each order that is opened.
    """

    def __init__(self, folders: dict[str, Path], opened: Callable[[Path], None] = lambda path: None):
        self._folders, self._opened = folders, opened
        self._readers: dict[str, RowReader] = {}

    def __getitem__(self, name: str) -> RowReader:
        folder = self._folders[name]
        if name not in self._readers:
            self._readers[name] = open_order(folder)
            self._readers[name].verify()
            self._opened(folder / "order.json")
        return self._readers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def __len__(self) -> int:
        return len(self._folders)


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a ``tokenizer.json``; raises UserError if it is none."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"'{path}' is no tokenizer ({error}); delete it and run again.") from error


def tokenizer_file(suite: Suite, layout: Layout, data_dir: Path | None) -> Path:
    """The ``tokenizer.json`` of a suite: the embedded suite's own, a local copy, or the Hub's.

    The Hub's is fetched once, at the commit that the repository's main branch names then, and kept under ``<results>/<suite>/tokenizer``.

    Raises:
        UserError: there is none, or it cannot be fetched.
    """
    if suite.source == "trained":
        path = layout.corpus / "tokenizer.json"
        if not path.is_file():
            raise UserError(f"'{path}' does not exist; run `trajectories corpus` first.")
        return path
    if data_dir is not None and suite.tokenizer_copy is not None and (Path(data_dir) / suite.tokenizer_copy).is_file():
        return Path(data_dir) / suite.tokenizer_copy
    if suite.tokenizer is None:
        raise UserError(f"Suite '{suite.name}' names no tokenizer; add the key 'tokenizer' to its file.")
    path = layout.root / "tokenizer" / "tokenizer.json"
    if not path.is_file():
        from trajectories.hub import client

        commit = client.refs(suite.tokenizer).get("main")
        found = [f for f in client.files(suite.tokenizer, commit) if f.name == path.name] if commit else []
        if not commit or not found:
            raise UserError(f"Repository '{suite.tokenizer}' has no {path.name} on its main branch; correct the suite.")
        with tables.replacing(path) as temporary:
            client.download(suite.tokenizer, commit, found[0], temporary)
            if not found[0].matches(temporary):
                raise UserError(f"'{path.name}' of {suite.tokenizer}@{commit[:12]} arrived damaged; run again later.")
    return path


def context(settings: Settings, layout: Layout, machine: Machine, experiment: str, used: Callable[[Path], None]) -> StimuliContext:
    """What the experiment may look at, read when it looks; ``used`` is called with each file of the results that it does look at."""
    suite = settings.suite
    embedded = suite.source == "trained"

    @cache
    def tokenizer() -> Tokenizer:
        path = tokenizer_file(suite, layout, machine.data_dir)
        found = read_tokenizer(path)
        used(path)
        return found

    @cache
    def truth(name: str) -> pd.DataFrame:
        path = layout.truth(name)
        if embedded and not layout.corpus.is_dir():
            raise UserError(f"'{layout.corpus}' holds no corpus; run `trajectories corpus` first.")
        if not embedded or not path.is_file():
            raise KeyError(name)
        used(path)
        return tables.read_table(path)

    @cache
    def memorized(order: str) -> np.ndarray | None:
        listed = suite.orders[order].memorized
        if listed is None:
            return None
        copied = machine.data_dir is not None and (Path(machine.data_dir) / listed.repository.rpartition("/")[2]).is_dir()
        found = memorized_rows.read(listed.repository, listed.split, listed.revision, machine.data_dir if copied else None)
        for path in found.files:
            used(path)
        return found.rows

    return StimuliContext(
        suite=suite,
        settings=experiments.settings(experiment, "stimuli", settings.section),
        seed=settings.seed,
        orders=Orders({name: layout.order(name) for name in suite.readable_orders()}, used),
        rows_per_step=settings.extra.get("rows_per_step", {}),
        tokenizer=tokenizer,
        truth=truth,
        has_truth=embedded,
        data=lambda name: data.folder(name, machine.data_dir),
        memorized=memorized,
    )


def as_table(stimuli: Stimuli) -> pa.Table:
    """The stimuli with the contract's types (``input_ids`` list of int32, ``start`` and ``end`` int32), then its own columns."""
    frame = stimuli.table
    fixed = {name: pa.array(list(frame[name]), kind) for name, kind in _CONTRACT.items()}
    own = pa.Table.from_pandas(frame.drop(columns=list(_CONTRACT)), preserve_index=False)
    return pa.table(fixed | {name: own[name] for name in own.column_names})


def terms_table(stimuli: Stimuli) -> pd.DataFrame:
    """What is to be counted: ``term, other, input_ids``; a row per token sequence of a term, then one per pair, which has no tokens."""
    terms, pairs = stimuli.terms.assign(other=""), stimuli.together.assign(input_ids=[[] for _ in range(len(stimuli.together))])
    return pd.concat([terms, pairs], ignore_index=True)[_TERMS.names].astype(object)


def run(settings: Settings, layout: Layout, machine: Machine, experiment: str) -> None:
    """Write ``exposures/`` and ``terms/<experiment>.parquet``, then ``stimuli/<experiment>.parquet`` with the measures in its metadata."""
    used: list[Path] = []
    stimuli: Stimuli = experiments.part(experiment, "stimuli")(context(settings, layout, machine, experiment, used.append))
    stimuli.check()
    record = provenance(
        settings,
        layout,
        "stimuli",
        sorted(set(used)),
        ("numpy", "pandas", "tokenizers"),
        targets={"experiment": experiment},
        data=stimuli.sources,
    )
    exposures = stimuli.exposures.sort_values(list(EXPOSURES), kind="stable").astype({"row": "int64", "step": "int64"})
    further = pa.Schema.from_pandas(exposures.drop(columns=list(EXPOSURES)), preserve_index=False)
    tables.write_table(exposures, layout.exposures(experiment), record, schema=pa.schema([*_EXPOSURES, *further]))
    tables.write_table(terms_table(stimuli), layout.terms(experiment), record, _TERMS)
    tables.write_table(
        as_table(stimuli),
        layout.stimuli(experiment),
        record,
        measures=[m.as_json() for m in stimuli.measures],
        notes=stimuli.notes,
        sources=stimuli.sources,
    )
