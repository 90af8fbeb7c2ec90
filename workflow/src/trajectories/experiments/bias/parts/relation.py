"""Do reproducing and recognizing develop together? Their changes from checkpoint to checkpoint, and which leads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import signal

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.parts.probe import PROBE
from trajectories.experiments.bias.parts.prompts import AVERAGED
from trajectories.experiments.bias.scores import STEREOTYPED, own_runs
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection
from trajectories.statistics.rank_agreement import spearman

LEAST = 5
"""With fewer changes nothing is said."""


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Rank correlations of changes at each lag, for all pairs and by category; the claim where there are checkpoints enough."""
    table = pd.DataFrame(found.trajectories)
    if table.empty or context.published is not None:
        return
    settings = context.settings
    claim = claims(settings)["develop-together"]
    few = False
    for part, name in STEREOTYPED.items():
        for model in own_runs(context):
            mine = table[(table["model"] == model.name)]
            for group, kind, reproduced, recognized in _series(mine, part, name):
                both = pd.concat([reproduced, recognized], axis=1, join="inner").dropna().to_numpy(dtype=float)
                changes = np.diff(both, axis=0)
                if len(changes) < LEAST:
                    continue
                enough = len(changes) >= settings.least_points
                few |= not enough
                place = {"model": model.name, "set": name, "group": group, "recognized": kind, "decided": enough}
                found.add("relation", *(place | r for r in lagged(changes[:, 0], changes[:, 1], settings.lags)))
                if group == "all pairs" and kind == PROBE:
                    result = together(changes[:, 0], changes[:, 1], settings.least_points)
                    step = int(mine["step"].max())
                    found.claims.append(decisions.row(claim, result, model.name, step, name))
                    simulate = simulation(changes, settings.least_points)
                    note = "Changes are two first-order autoregressions with the autocorrelation found and innovations that correlate."
                    found.calibrands.append(Calibrand(claim, model.name, simulate, objection(result), note=note))
    if few:
        found.note(
            f"Relation of reproducing and recognizing: with fewer than {settings.least_points} changes between checkpoints, correlations "
            "of changes describe these runs only, and nothing is decided."
        )
    if "relation" in found.extra:
        found.note(
            "Relation of reproducing and recognizing: rank correlations of first differences, since two levels that both rise with "
            "training correlate whatever they are. The null is that of circular shifts of one series against the other, which keep each "
            "one's own course; p counts shifts whose correlation is as far from 0. Checkpoints are unevenly spaced, so a lead is one in "
            "checkpoints."
        )


def _series(table: pd.DataFrame, part: str, name: str) -> Iterator[tuple[str, str, pd.Series, pd.Series]]:
    """Group, kind of recognizing, and the two trajectories by step."""

    def pick(**wanted: str) -> pd.Series:
        kept = np.logical_and.reduce([table[column] == value for column, value in wanted.items()])
        return table[kept].set_index("step")["value"].sort_index()

    preferred = {"metric": "likelihood_difference", "setting": part}
    whole = pick(level="all", **preferred)
    areas = {"metric": "recognition_area", "level": "set", "group": name}
    layers = sorted(
        {s for s in table.loc[table["group"] == name, "setting"] if str(s).startswith("probe, layer ")}, key=lambda s: int(s.split()[-1])
    )
    if layers:
        yield "all pairs", PROBE, whole, pick(setting=layers[-1], **areas)
    yield "all pairs", "prompts", whole, pick(setting=AVERAGED, **areas)
    for category in sorted(set(table.loc[(table["level"] == "category") & (table["setting"] == part), "group"])):
        recognized = pick(metric="recognition_area", level="category", group=category, setting=f"{part}, {PROBE}")
        yield category, PROBE, pick(level="category", group=category, **preferred), recognized


def overlapping(a: np.ndarray, b: np.ndarray, lag: int) -> float:
    """Rank correlation of a with what b is ``lag`` places later; positive lags are those by which a leads."""
    n = len(a)
    first, second = (a[: n - lag], b[lag:]) if lag >= 0 else (a[-lag:], b[: n + lag])
    return spearman(first, second)


def lagged(a: np.ndarray, b: np.ndarray, lags: int) -> Iterator[dict[str, Any]]:
    """Correlation at each lag, with the range and p of circular shifts.

    Args:
        a, b: changes of reproducing and of recognizing [n].
        lags: the most places by which one may lead.
    """
    n = len(a)
    for lag in range(-min(lags, n - LEAST), min(lags, n - LEAST) + 1):
        value = overlapping(a, b, lag)
        null = np.array([overlapping(a, np.roll(b, shift), lag) for shift in range(1, n)])
        low, high = np.nanquantile(null, [0.025, 0.975]) if np.isfinite(null).any() else (math.nan, math.nan)
        p = (1 + int((np.abs(null) >= abs(value) - 1e-12).sum())) / n if math.isfinite(value) else math.nan
        yield {"lag": lag, "value": value, "null_low": float(low), "null_high": float(high), "p": p, "n": n}


def _autocorrelation(x: np.ndarray) -> float:
    x = x - x.mean()
    return float(np.clip(x[1:] @ x[:-1] / max(x @ x, 1e-300), -0.9, 0.9))


def together(a: np.ndarray, b: np.ndarray, least: int) -> Result:
    """artanh of the rank correlation of changes, its error that of as many independent ones as they are worth.

    Two autocorrelated series of length n are worth n (1 − ρaρb) / (1 + ρaρb) independent pairs, with ρ their first autocorrelations
    (Bartlett 1935, *J. R. Stat. Soc.* 98); the error of the ranks is 1.03 / √(n − 3) (Fieller, Hartley and Pearson 1957).
    """
    n, method = len(a), "Spearman of first differences, Fisher's scale, Bartlett's effective number"
    if n < least:
        return Result(math.nan, n=n, method=method, problem=f"there are {n} changes between checkpoints, and a verdict needs {least}")
    product = _autocorrelation(a) * _autocorrelation(b)
    worth = min(n * (1 - product) / (1 + product), n)
    rho = float(np.clip(spearman(a, b), -1 + 1 / n**2, 1 - 1 / n**2))
    return Result(math.atanh(rho), 1.03 / math.sqrt(max(worth - 3, 1)), max(worth - 3, 1), n=n, method=method)


def simulation(changes: np.ndarray, least: int) -> Any:
    """The whole decision on changes of known correlation: (generator, artanh of the true rank correlation) → result."""
    n, course = len(changes), float(np.mean([_autocorrelation(changes[:, i]) for i in (0, 1)]))

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        rho = 2 * math.sin(math.pi * math.tanh(truth) / 6)  # Pearson's, of normal variables with that rank correlation
        first, other = generator.standard_normal((2, n + 50))
        second = rho * first + math.sqrt(1 - rho**2) * other
        a, b = (signal.lfilter([1.0], [1.0, -course], series)[50:] for series in (first, second))
        return together(a, b, least)

    return simulate
