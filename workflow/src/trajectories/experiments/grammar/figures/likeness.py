"""Agreement of the models' decisions with those of n-gram models."""

from __future__ import annotations

import pandas as pd

from trajectories.figures import Figure, theme


def figures(setting: str, name: str, trajectories: pd.DataFrame) -> list[Figure]:
    """Cohen's kappa over training, a panel for each n."""
    own = trajectories[(trajectories["metric"] == "ngram_agreement") & (trajectories["setting"] == setting)]
    if own.empty:
        return []
    return [
        Figure(
            f"ngrams-{setting}",
            f"Agreement with n-gram models on {name}",
            "Cohen's kappa between a model's choice of the likelier sentence and that of an n-gram model counted on the same "
            "training text, over "
            "pairs, paradigms weighing alike: 1 is the same choice on every pair, 0 (dashes) what their shares of right choices "
            "give by chance. "
            "Bands are 95 % intervals over phenomena.",
            theme.trajectory(own.assign(ngram=own["group"]), "Cohen's kappa", facet="ngram", reference=0.0),
            steps_axis=True,
        )
    ]
