"""Steps of acquisition of every paradigm by every model, and how far models agree on their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.grammar.scores import CHANCE, Scores
from trajectories.statistics import intervals, rank_agreement
from trajectories.statistics.acquisition import Criterion, acquired

KINDS = ("midway", "fixed")


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


def agreement(context: AnalysisContext, acquisition: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How far the models agree on the order of acquisition.

    Returns:
        Concordance of all models: ``setting, criterion, models, paradigms, w`` (Kendall's W) with its 95 % jackknife interval over
        phenomena ``ci_low, ci_high``, permutation ``p``, ``rho`` (mean rank correlation of two models), and the shares of steps tied:
        ``tied_first`` (before the first checkpoint) and ``tied_last`` (not by the end). Then each pair's rank correlation:
        ``setting, criterion, model, other, rho, p``.
    """
    overall, pairs = [], []
    for (setting, kind), own in acquisition.groupby(["setting", "criterion"], sort=False):
        wide = matrix(acquisition, str(setting), str(kind))
        if min(wide.shape) < 2:
            continue
        values, draws = wide.to_numpy(), context.settings.permutations
        rho, p = rank_agreement.pairwise(values, draws, context.generator(f"pairwise {setting} {kind}"))
        low, high = _w_interval(values, phenomena(acquisition, wide.columns))
        overall.append(
            {
                "setting": setting,
                "criterion": kind,
                "models": len(wide),
                "paradigms": wide.shape[1],
                "w": rank_agreement.kendalls_w(values),
                "ci_low": low,
                "ci_high": high,
                "p": rank_agreement.permutation_w(values, draws, context.generator(f"concordance {setting} {kind}")),
                "rho": _mean_finite(rho[np.triu_indices_from(rho, 1)]),
                "tied_first": float((own["censored"] == "left").mean()),
                "tied_last": float((own["censored"] == "right").mean()),
            }
        )
        for i, model in enumerate(wide.index):
            for j, other in enumerate(wide.index):
                pairs.append({"setting": setting, "criterion": kind, "model": model, "other": other, "rho": rho[i, j], "p": p[i, j]})
    return pd.DataFrame(overall), pd.DataFrame(pairs, columns=["setting", "criterion", "model", "other", "rho", "p"])


def _mean_finite(values: np.ndarray) -> float:
    """Mean of the finite values, NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _w_interval(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """95 % interval of Kendall's W, by the jackknife over clusters of things on the logit scale."""

    def logit_w(mask: np.ndarray) -> float:
        w = np.clip(rank_agreement.kendalls_w(values[:, mask]), 1e-9, 1 - 1e-9)
        return float(np.log(w / (1 - w)))

    low, high = intervals.t_interval(*intervals.cluster_jackknife(logit_w, clusters))
    return float(1 / (1 + np.exp(-low))), float(1 / (1 + np.exp(-high)))
