"""How far models agree on the order of acquisition: all of them, those that share a size, an order or a seed, and pair by pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trajectories.experiments.grammar import acquired
from trajectories.experiments.grammar.parts import Material
from trajectories.findings import Findings
from trajectories.statistics import intervals, rank_agreement
from trajectories.suites import Suite

ALL = "all models"
FEATURES = {"size": "parameters_non_embedding", "order": "order", "seed": "seed"}


def analyse(material: Material, found: Findings) -> None:
    """Tables ``concordance`` (one row per group of models) and ``agreement`` (one per pair of models)."""
    if material.acquisition.empty:
        return
    for (setting, kind), _ in material.acquisition.groupby(["setting", "criterion"], sort=False):
        _of(material, str(setting), str(kind), found)


def groups(suite: Suite, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Groups of at least two models: all, then those that share a size, an order or a seed where not all do."""
    yield ALL, list(names)
    for what, attribute in FEATURES.items():
        values = {name: getattr(suite.model(name), attribute) for name in names}
        different = list(dict.fromkeys(values.values()))
        if len(different) < 2:
            continue
        for value in different:
            members = [name for name in names if values[name] == value]
            if len(members) > 1 and value is not None:
                yield f"{what} {value:,}" if what == "size" else f"{what} {value}", members


def differs(suite: Suite, model: str, other: str) -> str:
    """In what two models differ: ``size``, ``order``, ``seed``, joined by commas."""
    a, b = suite.model(model), suite.model(other)
    return ", ".join(what for what, attribute in FEATURES.items() if getattr(a, attribute) != getattr(b, attribute)) or "nothing named"


def _of(material: Material, setting: str, kind: str, found: Findings) -> None:
    context, table = material.context, material.acquisition
    wide, final = acquired.matrix(table, setting, kind), acquired.matrix(table, setting, kind, "final")
    if min(wide.shape) < 2:
        return
    own = table[(table["setting"] == setting) & (table["criterion"] == kind)]
    phenomena, draws = acquired.phenomena(table, wide.columns), context.settings.permutations
    difficulty = final[wide.columns].loc[wide.index]
    rows = []
    for group, members in groups(context.suite, list(wide.index)):
        values, hard = wide.loc[members].to_numpy(), difficulty.loc[members].to_numpy()
        low, high = _w_interval(values, phenomena)
        rho, _ = rank_agreement.pairwise(values, 1, context.generator("unused"))
        partial, p_partial = rank_agreement.mean_partial(values, hard, draws, context.generator(f"partial {setting} {kind} {group}"))
        censored = own[own["model"].isin(members)]["censored"]
        rows.append(
            {
                "setting": setting,
                "criterion": kind,
                "group": group,
                "models": len(members),
                "paradigms": wide.shape[1],
                "w": rank_agreement.kendalls_w(values),
                "ci_low": low,
                "ci_high": high,
                "p": rank_agreement.permutation_w(values, draws, context.generator(f"concordance {setting} {kind} {group}")),
                "rho": _mean_finite(rho[np.triu_indices_from(rho, 1)]),
                "partial": partial,
                "p_partial": p_partial,
                "tied_first": float((censored == "left").mean()),
                "tied_last": float((censored == "right").mean()),
            }
        )
    found.add("concordance", *rows)
    pairs = _pairs(material, setting, kind, wide, difficulty)
    found.add("agreement", *pairs)
    if kind == "midway":
        found.note(_said(rows[0]))
        for sentence in (_within(rows[1:], setting), _by_difference(pairs, setting)):
            if sentence:
                found.note(sentence)
    elif kind == "isotonic":
        found.note(
            f"Set {setting}: with the crossing of an isotonic regression instead of the last crossing, Kendall's W of all models is "
            f"{rows[0]['w']:.2f}."
            f"{_moved(table, setting)}"
        )


def _moved(table: pd.DataFrame, setting: str) -> str:
    """How many steps of acquisition the isotonic crossing moves."""
    last, smooth = (acquired.matrix(table, setting, kind, "upper_step") for kind in ("midway", "isotonic"))
    moved = last.to_numpy() != smooth.to_numpy()
    return f" It moves {moved.mean():.0%} of the {moved.size} steps of acquisition."


def _pairs(material: Material, setting: str, kind: str, wide: pd.DataFrame, difficulty: pd.DataFrame) -> list[dict[str, Any]]:
    context = material.context
    rho, p = rank_agreement.pairwise(wide.to_numpy(), context.settings.permutations, context.generator(f"pairwise {setting} {kind}"))
    rows = []
    for i, model in enumerate(wide.index):
        for j, other in enumerate(wide.index):
            hard = difficulty.iloc[[i, j]].to_numpy().mean(0)
            partial = 1.0 if i == j else rank_agreement.partial_spearman(wide.iloc[i].to_numpy(), wide.iloc[j].to_numpy(), hard)
            row = {
                "setting": setting,
                "criterion": kind,
                "model": model,
                "other": other,
                "rho": rho[i, j],
                "p": p[i, j],
                "partial": partial,
            }
            rows.append(row | {"differs_in": "" if i == j else differs(context.suite, model, other)})
    return rows


def _said(row: Mapping[str, Any]) -> str:
    """One sentence on the agreement of all models."""
    return (
        f"Set {row['setting']}: over {row['paradigms']} paradigms the orders of acquisition of {row['models']} models agree with Kendall's "
        f"W = {row['w']:.2f} (95 % from {row['ci_low']:.2f} to {row['ci_high']:.2f}; permutation p {row['p']:.2g}; mean rank "
        "correlation of two "
        f"models {row['rho']:.2f}, given final accuracy {row['partial']:.2f}); {row['tied_first']:.0%} of the steps are before the first "
        f"checkpoint and {row['tied_last']:.0%} after the last, counted as ties."
    )


def _within(rows: Sequence[Mapping[str, Any]], setting: str) -> str:
    listed = "; ".join(f"{r['group']} ({r['models']} models) {r['w']:.2f}" for r in rows)
    return f"Set {setting}: Kendall's W among models that share something: {listed}." if rows else ""


def _by_difference(pairs: Sequence[Mapping[str, Any]], setting: str) -> str:
    table = pd.DataFrame([r for r in pairs if r["model"] < r["other"]])
    if table.empty:
        return ""
    means = table.groupby("differs_in")[["rho", "partial"]].agg(["mean", "count"])
    listed = "; ".join(f"{what} {row['rho', 'mean']:.2f} ({int(row['rho', 'count'])} pairs)" for what, row in means.iterrows())
    return f"Set {setting}: mean rank correlation of two models by what they differ in: {listed}."


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
