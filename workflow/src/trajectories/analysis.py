"""What an experiment's analysis is given, and the tables that it returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from trajectories.suites import Model, Suite


def _schema(text: str) -> pa.Schema:
    """A schema from names with their types: ``name`` is text, ``name:i`` an integer, ``name:f`` a float, ``name:b`` true or false."""
    kinds = {"": pa.string(), "i": pa.int64(), "f": pa.float64(), "b": pa.bool_()}
    pairs = [entry.partition(":") for entry in text.split()]
    return pa.schema([(name, kinds[kind]) for name, _, kind in pairs])


TRAJECTORIES = _schema("""
    suite model order seed:i branch parameters_total:i parameters_non_embedding:i step:i tokens:i revision dtype experiment metric
    level group setting value:f stderr:f ci_low:f ci_high:f n:i method source
""")
CLAIMS = _schema("""
    id experiment role family statement prediction rival model step:i metric group estimate:f ci_low:f ci_high:f conf_level:f scale
    margin:f p_supported:f p_refuted:f p_supported_adjusted:f p_refuted_adjusted:f n:i n_clusters:i n_events:i method verdict reason
""")
CALIBRATION = _schema("""
    claim test scale truth:f margin:f n:i n_clusters:i n_sim:i seed:i rate_supported:f rate_refuted:f rate_inconclusive:f
""")
RECOVERY = _schema("""
    parameter model step:i truth:f estimate:f ci_low:f ci_high:f covered:b n:i method comment
""")


def empty(schema: pa.Schema) -> pd.DataFrame:
    """A data frame without rows and with the schema's columns."""
    return schema.empty_table().to_pandas()


@dataclass
class Analysis:
    """What an experiment found: four tidy tables, whose columns are those of this module's schemas.

    Args:
        trajectories: metrics by checkpoint, only the experiment's own columns (``model, step, metric, level, group, setting, value, stderr,
            ci_low, ci_high, n, method``); the suite's facts are joined by the caller.
        claims: one row per claim, as :func:`trajectories.statistics.claims.table` makes them.
        calibration: how each claim's decision behaves on simulated data of known truth.
        recovery: embedded suites: planted parameters against their estimates.
        extra: further tables for figures, by name; each is written as ``trajectories/<experiment>.<name>.parquet``.
        notes: sentences that the report prints with the experiment (assumptions that failed, what was left out).
    """

    trajectories: pd.DataFrame
    claims: pd.DataFrame = field(default_factory=lambda: empty(CLAIMS))
    calibration: pd.DataFrame = field(default_factory=lambda: empty(CALIBRATION))
    recovery: pd.DataFrame = field(default_factory=lambda: empty(RECOVERY))
    extra: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AnalysisContext:
    """What an experiment may look at when it analyses: tables, never a model.

    Attributes:
        suite: the suite with the chosen models only.
        settings: the ``analyse`` part of the experiment's ``Settings``, validated.
        seed: seed of bootstrap, permutations and simulations.
        checkpoints: ``model, step, tokens`` of the sound checkpoints at hand, ascending by step within model.
        left_out: ``model, step, status, detail`` of the checkpoints that the audit left out.
        stimuli: the experiment's stimuli (without ``input_ids``), or None for published results.
        exposures: ``item_id, order, row, step``, or None.
        truth: embedded suites: table of planted truth by name.
        has_truth: whether the suite has planted truth.
        history: what each model was trained on, as :meth:`trajectories.suites.Suite.history` tells.
        published: rows of published results (``model, step, task, metric, value, stderr, n, …``), or None.
        rows_memorized: published lists of memorized rows: model → rows (int32, ascending) by step of its sound checkpoints, read when
            asked for since they are long; or None.
        read_tensor: (model, step, measure) → the tensor that extraction wrote beside the measurement, in float32, first axis as the
            stimuli's rows, or those of them that the measure's option ``rows`` chose.
        counted: ``order, term, other, step, count, stderr``: how often a term (``other`` empty) occurs, or in how many documents two terms
            occur together, in the rows of an order below a step; or None where nothing was counted.
    """

    suite: Suite
    settings: Any
    seed: int
    checkpoints: pd.DataFrame
    left_out: pd.DataFrame
    stimuli: pd.DataFrame | None
    exposures: pd.DataFrame | None
    truth: Callable[[str], pd.DataFrame]
    has_truth: bool
    published: pd.DataFrame | None
    read: Callable[[str, int], pd.DataFrame]
    history: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    rows_memorized: Callable[[str], dict[int, np.ndarray]] | None = None
    read_tensor: Callable[[str, int, str], np.ndarray] | None = None
    counted: pd.DataFrame | None = None

    def model(self, name: str) -> Model:
        """The facts of a model of the suite."""
        return self.suite.model(name)

    def measurements(self, model: str | None = None) -> Iterator[tuple[str, int, pd.DataFrame]]:
        """Yield ``(model, step, table)``, so that memory holds one checkpoint at a time; ``table`` has ``item_id`` and measures."""
        for row in self.checkpoints.itertuples():
            if model is None or row.model == model:
                yield str(row.model), int(row.step), self.read(str(row.model), int(row.step))  # type: ignore[arg-type]

    def exposures_of(self, model: str) -> pd.DataFrame:
        """The exposures of the rows that a model is trained on: for a branch its parent's up to the branch, then its own.

        Returns:
            ``item_id, order, row, step``; without rows where the experiment knows no exposures.
        """
        if self.exposures is None:
            return pd.DataFrame({name: [] for name in ("item_id", "order", "row", "step")})
        own = self.suite.model(model).order
        spans = list(self.history.get(model, [(own, 0)] if own else []))
        ends = [start for _, start in spans[1:]] + [math.inf]
        order, step = self.exposures["order"], self.exposures["step"]
        kept = [self.exposures[(order == name) & (step >= start) & (step < end)] for (name, start), end in zip(spans, ends, strict=True)]
        return pd.concat([self.exposures.iloc[:0], *kept], ignore_index=True)

    def counts_of(self, model: str) -> pd.DataFrame:
        """How often terms occur in what a model was trained on: for a branch in its parent's order up to the branch, then in its own.

        Returns:
            ``term, other, step, count, stderr`` as :attr:`counted`, cumulative, at every step of the history at which was counted; without
            rows where no order of the model's was. ``stderr`` is 0 where every row was read.
        """
        columns = ["term", "other", "step", "count", "stderr"]
        if self.counted is None:
            return pd.DataFrame({name: [] for name in columns})
        own = self.suite.model(model).order
        spans = list(self.history.get(model, [(own, 0)] if own else []))
        found = [self.counted.loc[self.counted.index[:0], columns]]
        for i, (order, start) in enumerate(spans):
            table = self.counted.loc[self.counted["order"] == order, columns]
            if i > 0:
                table = _gone_on(found[-1], table, start)
            end = spans[i + 1][1] if i + 1 < len(spans) else math.inf
            found.append(table[table["step"] <= end])
        return pd.concat(found, ignore_index=True)

    def final(self, model: str) -> int:
        """Step of the last sound checkpoint of a model."""
        return int(self.checkpoints.loc[self.checkpoints["model"] == model, "step"].max())

    def generator(self, purpose: str) -> np.random.Generator:
        """A random generator that depends on the seed and on what it is for, so that one use never shifts another."""
        return np.random.default_rng([self.seed, *purpose.encode()])


def _gone_on(before: pd.DataFrame, own: pd.DataFrame, start: int) -> pd.DataFrame:
    """Cumulative counts after a branch: those before it at its step ``start``, and what its own order adds from there on."""
    key = ["term", "other"]
    base = before.loc[before["step"] == start, [*key, "count", "stderr"]]
    own = own[own["step"] >= start].merge(base, on=key, suffixes=("", "_before"))
    own = own.merge(own.loc[own["step"] == start, [*key, "count", "stderr"]], on=key, suffixes=("", "_skipped"))
    own = own[own["step"] > start]
    # the parts of an order are sampled independently; a part whose sample holds no occurrence is no more certain than the whole
    gained = own["stderr"] ** 2 - own["stderr_skipped"] ** 2
    variance = own["stderr_before"] ** 2 + gained.where(gained > 0, own["stderr"] ** 2)
    counts = own["count_before"] + own["count"] - own["count_skipped"]
    return own.assign(count=counts, stderr=np.sqrt(variance))[[*key, "step", "count", "stderr"]]
