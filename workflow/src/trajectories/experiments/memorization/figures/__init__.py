"""What ``memorization`` draws, part by part."""

from __future__ import annotations

from trajectories.experiments.memorization.figures import (
    canaries,
    exposure,
    forgetting,
    order,
    prediction,
    process,
    profiles,
    published,
    rows,
    taxonomy,
    trial,
)
from trajectories.figures import Figure, FigureContext

PARTS = (
    rows.figures,
    taxonomy.figures,
    order.figures,
    exposure.figures,
    process.figures,
    profiles.figures,
    forgetting.figures,
    prediction.figures,
    canaries.figures,
    trial.figures,
    published.counts,
)
OF_LISTS = (
    published.counts,
    published.positions,
    order.figures,
    process.figures,
    forgetting.figures,
    prediction.figures,
)
"""Those of a suite of published lists of memorized rows."""


def figures(context: FigureContext) -> list[Figure]:
    """The figures of every part, in the sequence in which a reader wants them; a part without data has none."""
    parts = OF_LISTS if context.suite.source == "published" else PARTS
    return [figure for part in parts for figure in part(context)]
