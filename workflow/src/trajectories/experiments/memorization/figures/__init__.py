"""What ``memorization`` draws, part by part."""

from __future__ import annotations

from trajectories.experiments.memorization.figures import canaries, exposure, order, process, profiles, rows, trial
from trajectories.figures import Figure, FigureContext

PARTS = (rows.figures, order.figures, exposure.figures, process.figures, profiles.figures, canaries.figures, trial.figures)


def figures(context: FigureContext) -> list[Figure]:
    """The figures of every part, in the sequence in which a reader wants them; a part without data has none."""
    return [figure for part in PARTS for figure in part(context)]
