"""How many labels could be otherwise in another precision: those that hang on two logits closer than the precision tells apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.run import Run
from trajectories.findings import Findings


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Share of the labels below the precision's gap at every checkpoint (level ``labels``), and what that says at the last one."""
    if "min_margin" not in run.outcomes:
        return
    dtype = run.model.dtype
    gap = float(getattr(context.settings.labels, dtype))
    doubtful = run.outcomes["min_margin"] <= gap
    memorized = run.outcomes["memorized"].astype(bool)
    for i, step in enumerate(run.steps.tolist()):
        place = {"model": run.model.name, "step": step, "setting": str(run.window), "level": "labels", "metric": "doubtful"}
        found.trajectories.append(place | {"group": "matched length"} | counted(doubtful[:, i], gap))
        if memorized[:, i].any():
            found.trajectories.append(place | {"group": "memorized"} | counted(doubtful[memorized[:, i], i], gap))
    if run.primary:
        found.note(_sentence(run, gap, doubtful, memorized))


def counted(doubtful: np.ndarray, gap: float) -> dict[str, Any]:
    """A share of these very labels: a count, not an estimate, so without an interval."""
    unknown = dict.fromkeys(("stderr", "ci_low", "ci_high"), np.nan)
    return {"value": float(np.mean(doubtful)), **unknown, "n": len(doubtful), "method": f"count of labels with a gap of at most {gap:g}"}


def _sentence(run: Run, gap: float, doubtful: np.ndarray, memorized: np.ndarray) -> str:
    label = "labels equal those of float32" if run.model.dtype != "float32" else "labels do not hang on the sequence of additions"
    return (
        f"{run.model.name}, measured in {run.model.dtype}: {label} where the best logit leads by more than {gap:g} up to the first error. "
        f"Over all checkpoints {int(doubtful.sum()):,} of {doubtful.size:,} matched lengths lie below, "
        f"{int((doubtful & memorized).sum()):,} of them of the {int(memorized.sum()):,} memorized."
    )
