"""What ``knowledge`` draws, part by part."""

from __future__ import annotations

from collections.abc import Callable

from trajectories.experiments.knowledge.figures import facts, frequency, layers, published
from trajectories.figures import Figure, FigureContext

PARTS: tuple[Callable[[FigureContext], list[Figure]], ...] = (facts.figures, layers.figures, frequency.figures, published.figures)


def figures(context: FigureContext) -> list[Figure]:
    """The figures of every part, in the sequence in which a reader wants them; a part without data has none."""
    return [figure for part in PARTS for figure in part(context)]
