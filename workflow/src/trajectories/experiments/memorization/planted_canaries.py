"""What was planted with the canaries, counted and measured again: rows for the table ``recovery``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from trajectories.experiments.memorization.run import Run
from trajectories.statistics.intervals import t_interval, wilson

LEAST_AHEAD = 20
"""So many canaries must lie ahead of a checkpoint before those not yet seen are judged."""


def design(run: Run, truth: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The canaries' design as the model's order shows it: copies, windows, and places that depend on nothing.

    Args:
        run: a model's run in the primary window.
        truth: the suite's table ``canaries``.
    """
    canaries = run.items[run.items["kind"] == "canary"].merge(truth, on="canary_id", suffixes=("", "_planted"))
    exposures = run.exposures[run.exposures["item_id"].isin(canaries["item_id"])]
    seen = exposures.groupby("item_id")["step"].agg(["size", "min", "max", "mean"]).reindex(canaries["item_id"])
    place = {"model": run.model.name, "step": run.final}
    for planted, chosen in canaries.assign(found=seen["size"].fillna(0).to_numpy()).groupby("repetitions"):
        found = chosen["found"].to_numpy(dtype=float)
        yield place | {
            "parameter": f"exposures of canaries with {int(planted)} copies",  # type: ignore[call-overload]
            "truth": float(planted),  # type: ignore[arg-type]
            "estimate": float(found.mean()),
            "ci_low": float(found.min()),
            "ci_high": float(found.max()),
            "covered": bool((found == planted).all()),
            "n": len(chosen),
            "method": "search of the order for the scored tokens; the interval is the range over canaries",
            "comment": "covered if every canary's exposures equal its planted copies",
        }
    if (canaries["repetitions"] > 0).sum() < 4:
        return
    planted_ones = (canaries["repetitions"] > 0).to_numpy()
    spread = (seen["max"] - seen["min"] + 1).to_numpy(dtype=float)[planted_ones]
    window = (canaries["window_end"] - canaries["window_start"])[planted_ones].to_numpy(dtype=float)
    yield place | {
        "parameter": "steps from a canary's first to its last copy",
        "truth": float(window.max()),
        "estimate": float(np.nanmax(spread)),
        "ci_low": float(np.nanmin(spread)),
        "ci_high": float(np.nanmax(spread)),
        "covered": bool(np.nanmax(spread - window) <= 0),
        "n": len(spread),
        "method": "the longest, with the range over canaries",
        "comment": "truth is the window's width; covered if no canary's copies lie further apart",
    }
    incidental = canaries["incidental_grams"].to_numpy(dtype=float)
    yield place | {
        "parameter": "pieces of canaries outside their planted copies",
        "truth": 0.0,
        "estimate": float(incidental.sum()),
        "ci_low": float(incidental.min()),
        "ci_high": float(incidental.max()),
        "covered": bool((incidental == 0).all()),
        "n": len(canaries),
        "method": "search of the corpus; the interval is the range over canaries",
        "comment": "covered if there are none",
    }
    places = seen["mean"].to_numpy(dtype=float) / max(run.model.steps_total - 1, 1)
    yield from _randomized(places[planted_ones], canaries[planted_ones], place)


def _randomized(places: np.ndarray, canaries: pd.DataFrame, place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Places are centred on the middle of training, and uncorrelated with the number of copies and with the content."""
    n = len(places)
    stderr = float(places.std(ddof=1) / math.sqrt(n))
    low, high = t_interval(float(places.mean()), stderr, n - 1)
    yield place | {
        "parameter": "mean place of the canaries in training",
        "truth": 0.5,
        "estimate": float(places.mean()),
        "ci_low": low,
        "ci_high": high,
        "covered": bool(low <= 0.5 <= high),
        "n": n,
        "method": "mean, t interval",
        "comment": "0 is the first step and 1 the last",
    }
    others = {"number of copies": np.log2(canaries["repetitions"]), "zlib bits per token": canaries["zlib_bits"]}
    for name, other in others.items():
        values = other.to_numpy(dtype=float)
        if values.std() == 0 or places.std() == 0:
            continue
        found = stats.pearsonr(places, values)
        low, high = found.confidence_interval(0.95)
        yield place | {
            "parameter": f"correlation of a canary's place with its {name}",
            "truth": 0.0,
            "estimate": float(found.statistic),
            "ci_low": float(low),
            "ci_high": float(high),
            "covered": bool(low <= 0 <= high),
            "n": n,
            "method": "Pearson, Fisher's interval",
            "comment": "places are drawn at random within each number of copies",
        }


def monotone(panel: pd.DataFrame, model: str, step: int) -> Iterator[dict[str, Any]]:
    """Extraction should never fall from fewer to more copies; the largest fall between neighbours, against 0."""
    groups = panel.groupby("n_all")["memorized"].agg(["sum", "size"])
    if len(groups) < 2:
        return
    events, sizes = groups["sum"].to_numpy(dtype=float), groups["size"].to_numpy(dtype=float)
    falls = events[:-1] / sizes[:-1] - events[1:] / sizes[1:]
    i = int(np.argmax(falls))
    low, high = confint_proportions_2indep(events[i], sizes[i], events[i + 1], sizes[i + 1], method="newcomb", compare="diff")
    yield {
        "parameter": "largest fall of extraction between neighbouring numbers of copies",
        "model": model,
        "step": step,
        "truth": 0.0,
        "estimate": float(falls[i]),
        "ci_low": float(low),
        "ci_high": float(high),
        "covered": bool(low <= 0),
        "n": int(sizes[i] + sizes[i + 1]),
        "method": "Newcombe's interval of the difference, at the worst pair of neighbours",
        "comment": f"{int(groups.index[i])} and {int(groups.index[i + 1])} copies; covered if the interval reaches down to 0",
    }


def never_shown(panel: pd.DataFrame, model: str, step: int) -> Iterator[dict[str, Any]]:
    """Canaries that are never planted, and those whose copies all lie ahead, cannot be extractable.

    Args:
        panel: canaries at a checkpoint.
        model: its name.
        step: of the checkpoint.
    """
    unseen = panel["n_seen"] == 0
    groups = {
        "not yet seen": (unseen & (panel["n_all"] > 0), f"at the last checkpoint that has not seen at least {LEAST_AHEAD} of them"),
        "never planted": (panel["n_all"] == 0, "at the last checkpoint"),
    }
    for name, (mine, comment) in groups.items():
        ahead = panel[mine]
        if not len(ahead):
            continue
        events = int(ahead["memorized"].sum())
        low, high = wilson(np.array(events), np.array(len(ahead)))
        yield {
            "parameter": f"extractable share of canaries {name}",
            "model": model,
            "step": step,
            "truth": 0.0,
            "estimate": events / len(ahead),
            "ci_low": float(low),
            "ci_high": float(high),
            "covered": bool(low <= 0),
            "n": len(ahead),
            "method": "Wilson",
            "comment": comment,
        }
