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
SHOWN = 8
"""Components in the table."""


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
            above = [r["above_noise"] for r in rows]
            dimensions = above.index(False) if False in above else len(above)
            said.append(f"{one.model} {dimensions} ({rows[0]['share']:.0%}, {rows[0]['share'] + rows[1]['share']:.0%})")
        if said:
            found.note(
                f"Set {setting}, dimensions of the trajectories beyond sampling noise (principal components of paradigms by checkpoints, in "
                f"brackets the share of variance of the first and of the first two; at most {SHOWN} are tested): {'; '.join(said)}. A component "
                "counts if its variance exceeds the largest of pure sampling noise in 95 % of redraws, and those before it do."
            )


def components(one: Scores, generator: np.random.Generator, draws: int) -> list[dict[str, Any]]:
    """Variance of each component with the 95 % quantile of two nulls.

    Noise: the largest variance of a component of the deviations of resampled accuracies from the observed ones. Shuffled (Horn 1965,
    *Psychometrika* 30): the same component's variance once every checkpoint's accuracies are shuffled over paradigms.
    """
    observed = one.accuracy.T
    fitted = PCA().fit(observed)
    draw = one.replicates(min(draws, DRAWS), generator)
    noisy = np.stack([draw(i) for i in range(len(one.n))], 1) - observed
    noise = np.square([_singular(d)[0] for d in noisy]) / (len(observed) - 1)
    shuffled = np.square([_singular(generator.permuted(observed, axis=0)) for _ in range(DRAWS)]) / (len(observed) - 1)
    limit, shuffled_limit = np.quantile(noise, 0.95), np.quantile(shuffled, 0.95, axis=0)
    total = fitted.explained_variance_.sum()
    above, rows = True, []
    for k, variance in enumerate(fitted.explained_variance_[:SHOWN]):
        above = above and bool(variance > limit)
        rows.append(
            {
                "component": k + 1,
                "share": float(variance / total),
                "noise": float(limit / total),
                "shuffled": float(shuffled_limit[k] / total),
                "above_noise": above,
            }
        )
    return rows


def _singular(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix - matrix.mean(0), compute_uv=False)
