"""How many dimensions do the trajectories have? Principal components against sampling noise and against shuffled paradigms."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from trajectories.experiments.grammar.parts import Material
from trajectories.experiments.grammar.scores import Scores
from trajectories.findings import Findings

TABLE = "dimensions"
DRAWS = 200


def analyse(material: Material, found: Findings) -> None:
    """Components of paradigms (rows) by checkpoints (columns) for each model; table ``dimensions``."""
    context = material.context
    for setting, scores, _ in material.sets():
        said = []
        for one in scores:
            if min(one.accuracy.shape) < 4:
                continue
            rows = components(one, context.generator(f"dimensions {setting} {one.model}"), context.settings.draws)
            found.add(TABLE, *({"setting": setting, "model": one.model, **row} for row in rows))
            counted = [sum(r[null] for r in rows) for null in ("above_noise", "above_shuffled")]
            said.append(f"{one.model} {counted[0]}, {counted[1]} ({rows[0]['share']:.0%}, {rows[0]['share'] + rows[1]['share']:.0%})")
        if said:
            found.note(
                f"Set {setting}, dimensions of the trajectories (principal components of paradigms by checkpoints, each paradigm's "
                "mean over "
                "training taken off): how many exceed sampling noise and how many exceed shuffled paradigms, in brackets the share "
                "of variance "
                f"of the first and of the first two: {'; '.join(said)}. A component counts if its variance exceeds the 95 % "
                "quantile of the null "
                "and those before it do. Beyond noise is what is real in this run; beyond shuffling is what paradigms have in common."
            )


def components(one: Scores, generator: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Variance of each component with the 95 % quantile of two nulls.

    Noise: the largest variance of a component of the deviations of resampled accuracies from the observed ones. Shuffled (Horn 1965,
    *Psychometrika* 30): the same component's variance once every checkpoint's accuracies are shuffled over paradigms.
    """
    observed = _centred(one.accuracy.T)
    fitted = PCA().fit(observed)
    draw = one.replicates(min(draws, DRAWS), generator)
    noisy = np.stack([draw(i) for i in range(len(one.n))], 1) - one.accuracy.T
    noise = np.square([_singular(d)[0] for d in noisy]) / (len(observed) - 1)
    shuffled = np.square([_singular(generator.permuted(observed, axis=0)) for _ in range(DRAWS)]) / (len(observed) - 1)
    limits = {"noise": np.full(shuffled.shape[1], np.quantile(noise, 0.95)), "shuffled": np.quantile(shuffled, 0.95, axis=0)}
    variance = fitted.explained_variance_
    above = {name: np.logical_and.accumulate(variance > limit[: len(variance)]) for name, limit in limits.items()}
    return [
        {
            "component": k + 1,
            "share": float(variance[k] / variance.sum()),
            **{name: float(limit[k] / variance.sum()) for name, limit in limits.items()},
            **{f"above_{name}": bool(counts[k]) for name, counts in above.items()},
        }
        for k in range(len(variance))
    ]


def _centred(matrix: np.ndarray) -> np.ndarray:
    """Each paradigm's mean over checkpoints taken off, since how hard it is is no part of its trajectory's shape."""
    return matrix - matrix.mean(-1, keepdims=True)


def _singular(matrix: np.ndarray) -> np.ndarray:
    rows = _centred(matrix)
    return np.linalg.svd(rows - rows.mean(0), compute_uv=False)
