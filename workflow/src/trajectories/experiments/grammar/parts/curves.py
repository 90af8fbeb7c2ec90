"""Sigmoids through the trajectories: how well they fit, and whether another curve does as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from trajectories.experiments.grammar.parts import Material
from trajectories.experiments.grammar.scores import Scores
from trajectories.findings import Findings
from trajectories.statistics import sigmoid
from trajectories.statistics.claims import ALPHA, holm

TABLE = "sigmoids"


def analyse(material: Material, found: Findings) -> None:
    """Fit every paradigm of every model; table ``sigmoids``."""
    for setting, scores, _ in material.sets():
        rows = [row for one in scores for row in _fits(one, setting)]
        if not rows:
            found.note(f"Set {setting}: no sigmoids, which take six checkpoints with tokens seen.")
            continue
        table = pd.DataFrame(rows)
        table["p_adjusted"] = table.groupby("model")["p"].transform(lambda p: holm(p.to_numpy()))
        table["fits"] = table["p_adjusted"] >= ALPHA
        found.add(TABLE, *table.to_dict("records"))
        best = table["best"].value_counts(normalize=True)
        found.note(
            f"Set {setting}, sigmoids in log tokens: of {len(table)} trajectories {table['fits'].mean():.0%} are not at odds with "
            "theirs beyond "
            "their sample's noise (χ² of the deviance, Holm over the paradigms of a model), and its median R² is "
            f"{table['r2'].median():.2f}. By "
            f"Akaike's criterion the best of four curves is: {', '.join(f'{name} {share:.0%}' for name, share in best.items())}. "
            "The same pairs "
            "are shown at every step, so a deviance is smaller than of independent samples and misfit is found too rarely rather "
            "than too often."
        )


def _fits(one: Scores, setting: str) -> Iterator[dict[str, Any]]:
    later = one.tokens > 0
    for i, paradigm in enumerate(one.paradigms.itertuples()):
        fits = sigmoid.fits(one.tokens[later].astype(float), one.accuracy[later, i], int(one.n[i]))
        if not fits:
            continue
        fit = fits["sigmoid"]
        low, high, middle, width = fit.parameters
        yield {
            "setting": setting,
            "model": one.model,
            "paradigm": paradigm.paradigm,
            "phenomenon": paradigm.phenomenon,
            "low": float(low),
            "high": float(high),
            "middle_tokens": float(10 ** np.clip(middle, -3, 18)),
            "rise_decades": float(sigmoid.RISE * np.exp(np.clip(width, -12, 5))),
            "deviance": fit.deviance,
            "df": fit.df,
            "p": fit.p,
            "r2": fit.r2,
            **{f"aic_{name.replace(' ', '_')}": f.aic for name, f in fits.items()},
            "best": min(fits.values(), key=lambda f: f.aic).name,
        }
