"""What ``bias`` draws, part by part."""

from __future__ import annotations

from collections.abc import Callable

from trajectories.experiments.bias.figures import intervention, occupations, published, recognition, stereotypes
from trajectories.figures import Figure, FigureContext

PARTS: tuple[Callable[[FigureContext], list[Figure]], ...] = (
    occupations.figures,
    stereotypes.figures,
    recognition.figures,
    published.figures,
    intervention.figures,
)


def figures(context: FigureContext) -> list[Figure]:
    """The figures of every part, in the sequence in which a reader wants them; a part without data has none."""
    return [figure for part in PARTS for figure in part(context)]
