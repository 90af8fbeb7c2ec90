"""Steps of acquisition of every paradigm by every model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.grammar.scores import CHANCE, Scores
from trajectories.statistics.acquisition import Criterion, acquired

KINDS = ("midway", "fixed", "isotonic")


def criterion(kind: str, settings: Any) -> Criterion:
    """The criterion of a kind with the numbers of the ``analyse`` settings."""
    return Criterion(kind, CHANCE, settings.least_gain, settings.criterion, settings.final_checkpoints)


def table(context: AnalysisContext, scores: Sequence[Scores]) -> pd.DataFrame:
    """When each model acquires each paradigm: one row per model, set, paradigm and criterion.

    Returns:
        ``model, setting, criterion, paradigm, phenomenon, field, frequency, n, final, threshold, censored``, then ``lower`` and ``upper``
        (it is acquired after ``lower`` and not after ``upper``), ``ci_low`` and ``ci_high`` (95 %), each in steps and in tokens
        (``…_step``, ``…_tokens``; ``upper`` and ``ci_high`` are infinite where it is not acquired by the end), and ``share`` of the
        resamples in which it is acquired. Empty where no model has two checkpoints.
    """
    rows = []
    for one in scores:
        if len(one.steps) < 2:
            continue
        replicates = one.replicates(context.settings.draws, context.generator(f"acquisition {one.set} {one.model}"))
        per_step = one.tokens[-1] / one.steps[-1]
        for index, paradigm in enumerate(one.paradigms.itertuples()):
            drawn = replicates(index)
            for kind in KINDS:
                found = acquired(one.steps, one.accuracy[:, index], drawn, criterion(kind, context.settings))
                ends = {name: getattr(found, name) for name in ("lower", "upper", "ci_low", "ci_high")}
                rows.append(
                    {
                        "model": one.model,
                        "setting": one.set,
                        "criterion": kind,
                        "paradigm": paradigm.paradigm,
                        "phenomenon": paradigm.phenomenon,
                        "field": paradigm.field,
                        "frequency": paradigm.frequency,
                        "n": int(one.n[index]),
                        "final": found.final,
                        "threshold": found.threshold,
                        "censored": found.censored,
                        **{f"{name}_step": end for name, end in ends.items()},
                        **{f"{name}_tokens": end * per_step for name, end in ends.items()},
                        "share": found.share,
                    }
                )
    return pd.DataFrame(rows)


def matrix(acquisition: pd.DataFrame, setting: str, kind: str, column: str = "upper_tokens") -> pd.DataFrame:
    """Models (rows) by paradigms (columns that every model has) of one set and criterion; rows and columns in order of appearance."""
    own = acquisition[(acquisition["setting"] == setting) & (acquisition["criterion"] == kind)]
    wide = own.pivot(index="model", columns="paradigm", values=column)
    wide = wide.loc[list(dict.fromkeys(own["model"])), list(dict.fromkeys(own["paradigm"]))]
    return wide.dropna(axis="columns")


def phenomena(acquisition: pd.DataFrame, paradigms: pd.Index) -> np.ndarray:
    """Phenomenon of each paradigm."""
    return acquisition.drop_duplicates("paradigm").set_index("paradigm")["phenomenon"].loc[paradigms].to_numpy()
