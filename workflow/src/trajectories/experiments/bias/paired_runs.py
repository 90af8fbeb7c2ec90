"""A branch and the run that it leaves, measured on the same items at the same steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.differences import detectable
from trajectories.experiments.bias.effects import row
from trajectories.findings import Findings
from trajectories.statistics.claims import Result
from trajectories.statistics.intervals import t_interval
from trajectories.suites import Model


@dataclass(frozen=True)
class Paired:
    """A branch and its parent on the same items.

    Attributes:
        branch: the branch. parent: its parent's name.
        steps: of which both have a checkpoint, after the branch step [steps].
        own, other: what the branch and the parent did, ``[steps, pairs]``.
    """

    branch: Model
    parent: str
    steps: np.ndarray
    own: np.ndarray
    other: np.ndarray

    @property
    def change(self) -> np.ndarray:
        """Difference in differences of each pair: at the branch step the two are one model."""
        return self.own - self.other


def paired(context: AnalysisContext, steps: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> Iterator[Paired]:
    """Every branch beside its parent, where both were measured at a common step after the branch."""
    for branch in context.suite.models:
        parent = branch.parent
        if parent is None or branch.name not in values or parent not in values:
            continue
        common, own, other = np.intersect1d(steps[branch.name], steps[parent], return_indices=True)
        after = common > (branch.branch_step or 0)
        if after.any():
            yield Paired(branch, parent, common[after], values[branch.name][own[after]], values[parent][other[after]])


def keep(found: Findings, pair: Paired, step: int, metric: str, level: str, group: str, result: Result, setting: str = "") -> None:
    """Add a difference in differences at one step to the trajectories, filed under the branch."""
    place = {"model": pair.branch.name, "step": int(step), "metric": metric, "level": level, "group": group, "setting": setting}
    found.trajectories.append(place | row(result))


def endpoint(found: Findings, pair: Paired, outcome: str, result: Result) -> None:
    """Add the difference at the last common step to the table ``endpoints``, with the smallest one that could have been told from none."""
    branch, low_high = pair.branch, t_interval(result.estimate, result.stderr, result.df)
    share = (branch.steps_total - (branch.branch_step or 0)) / branch.steps_total
    place = {"model": branch.name, "parent": pair.parent, "step": int(pair.steps[-1]), "outcome": outcome, "share_of_training": share}
    place |= {"parameters_non_embedding": branch.parameters_non_embedding, "estimate": result.estimate}
    place |= {"ci_low": low_high[0], "ci_high": low_high[1], "detectable": detectable(result.stderr), "n": result.n}
    found.add("endpoints", place)
