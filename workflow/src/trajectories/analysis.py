"""What an experiment's analysis is given, and the tables that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from trajectories.suites import Model, Suite

_S, _F, _I = pa.string(), pa.float64(), pa.int64()

TRAJECTORIES = pa.schema(
    [("suite", _S), ("model", _S), ("order", _S), ("seed", _I), ("branch", _S), ("parameters_total", _I), ("parameters_non_embedding", _I)]
    + [("step", _I), ("tokens", _I), ("revision", _S), ("dtype", _S), ("experiment", _S), ("metric", _S), ("level", _S), ("group", _S)]
    + [("setting", _S), ("value", _F), ("stderr", _F), ("ci_low", _F), ("ci_high", _F), ("n", _I), ("method", _S), ("source", _S)]
)
CLAIMS = pa.schema(
    [("id", _S), ("experiment", _S), ("role", _S), ("family", _S), ("statement", _S), ("prediction", _S), ("rival", _S), ("model", _S)]
    + [("step", _I), ("metric", _S), ("group", _S), ("estimate", _F), ("ci_low", _F), ("ci_high", _F), ("conf_level", _F), ("scale", _S)]
    + [("margin", _F), ("p_supported", _F), ("p_refuted", _F), ("p_supported_adjusted", _F), ("p_refuted_adjusted", _F)]
    + [("n", _I), ("n_clusters", _I), ("n_events", _I), ("method", _S), ("verdict", _S), ("reason", _S)]
)
CALIBRATION = pa.schema(
    [("claim", _S), ("test", _S), ("scale", _S), ("truth", _F), ("margin", _F), ("n", _I), ("n_clusters", _I), ("n_sim", _I), ("seed", _I)]
    + [("rate_supported", _F), ("rate_refuted", _F), ("rate_inconclusive", _F)]
)
RECOVERY = pa.schema(
    [("parameter", _S), ("model", _S), ("step", _I), ("truth", _F), ("estimate", _F), ("ci_low", _F), ("ci_high", _F), ("covered", pa.bool_())]
    + [("n", _I), ("method", _S), ("comment", _S)]
)


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
        published: rows of published results (``model, step, task, metric, value, stderr, n, …``), or None.
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

    def model(self, name: str) -> Model:
        return self.suite.model(name)

    def measurements(self, model: str | None = None) -> Iterator[tuple[str, int, pd.DataFrame]]:
        """Yield ``(model, step, table)`` checkpoint by checkpoint, so that memory holds one at a time; ``table`` has ``item_id`` and measures."""
        for row in self.checkpoints.itertuples():
            if model is None or row.model == model:
                yield str(row.model), int(row.step), self.read(str(row.model), int(row.step))  # type: ignore[arg-type]

    def final(self, model: str) -> int:
        """Step of the last sound checkpoint of a model."""
        return int(self.checkpoints.loc[self.checkpoints["model"] == model, "step"].max())

    def generator(self, purpose: str) -> np.random.Generator:
        """A random generator that depends on the seed and on what it is for, so that one use never shifts another."""
        return np.random.default_rng([self.seed, *purpose.encode()])
