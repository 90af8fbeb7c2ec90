"""Parts of the analysis: each takes the material and adds to the findings what it can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.grammar.scores import Scores


@dataclass(frozen=True)
class Material:
    """What every part looks at.

    Attributes:
        context: the analysis' context.
        scores: of every model on every set of pairs, branches left out.
        acquisition: steps of acquisition, one row per model, set, paradigm and criterion; without columns where no model has two
            checkpoints.
    """

    context: AnalysisContext
    scores: list[Scores]
    acquisition: pd.DataFrame

    def sets(self) -> Iterator[tuple[str, list[Scores], bool]]:
        """Each set of pairs that is a sample of the rules, with its scores, and whether its claims are primary (the first set)."""
        names = [name for name in dict.fromkeys(s.set for s in self.scores) if not name.endswith("-seen")]
        for name in names:
            yield name, [s for s in self.scores if s.set == name], name == names[0]
