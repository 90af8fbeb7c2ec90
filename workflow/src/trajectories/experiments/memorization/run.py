"""One model's measurements of the rows over training, side by side with what each checkpoint had seen of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.panel import panel
from trajectories.suites import Model

OUTCOMES = ("memorized", "matched", "score", "logprob")
"""What is known of an item at a checkpoint: whether greedy decoding gives the whole span, the share of the span that it gives before its
first error, the share that it gives at their places (Biderman et al. 2023), and the log-probability in nats per token."""


@dataclass(frozen=True)
class Window:
    """Which tokens of a row are given and which are scored.

    Attributes:
        k: tokens given.
        l: tokens scored.
        offset: place in the row where the given tokens begin.
    """

    k: int
    l: int  # noqa: E741
    offset: int

    def __str__(self) -> str:
        """As trajectories show it in ``setting``."""
        return f"k={self.k},l={self.l},offset={self.offset}"


@dataclass(frozen=True)
class Run:
    """One model, all its sound checkpoints, one window.

    Attributes:
        model: the suite's facts of the model.
        steps: its sound checkpoints, ascending [t].
        window: which tokens are given and scored.
        primary: whether this is the window that decides.
        items: stimuli of that window that the model's order shows at some time, never-seen rows, and canaries that are never planted (those
            without exposures); one line per item [n].
        exposures: ``item_id, order, row, step`` of what the model is trained on.
        outcomes: each of :data:`OUTCOMES`: array [n, t]; ``score`` is absent where it was not measured. ``min_margin`` besides: the
            smallest gap of the logits that the label of the longest measured span rests on.
    """

    model: Model
    steps: np.ndarray
    window: Window
    primary: bool
    items: pd.DataFrame
    exposures: pd.DataFrame
    outcomes: dict[str, np.ndarray]

    @property
    def final(self) -> int:
        """Step of the last checkpoint."""
        return int(self.steps[-1])

    def last(self) -> Run:
        """The same run with its last checkpoint alone."""
        # copies, since a view would hold all checkpoints in memory
        return replace(self, steps=self.steps[-1:], outcomes={name: values[:, -1:].copy() for name, values in self.outcomes.items()})

    def panel(self, step: int, kind: str = "row") -> pd.DataFrame:
        """One line per item of a kind (``row``, ``canary`` or ``never``) with what the checkpoint of a step had seen of it.

        The columns are those of :func:`trajectories.experiments.memorization.panel.panel`.
        """
        column = int(np.flatnonzero(self.steps == step)[0])
        chosen = (self.items["kind"] == kind).to_numpy()
        measured = pd.DataFrame({name: values[chosen, column] for name, values in self.outcomes.items()})
        return panel(self.items[chosen].reset_index(drop=True), self.exposures, measured, step, self.model.rows_per_step)


def runs(context: AnalysisContext, without: Collection[str] = ()) -> Iterator[Run]:
    """The suite's models one after the other but for those named, each with every window; memory holds one model at a time.

    Raises:
        ValueError: there are no stimuli.
        KeyError: an item was not measured.
    """
    if context.stimuli is None or context.exposures is None:
        raise ValueError("the memorization experiment needs stimuli and exposures")
    for name in dict.fromkeys(m for m in context.checkpoints["model"] if m not in without):
        yield from _runs_of(context, str(name))


def windows(stimuli: pd.DataFrame) -> list[Window]:
    """The windows of a table of stimuli, the primary one first: the first of each list in the configuration."""
    own = stimuli[["k", "offset", "lengths"]].drop_duplicates(["k", "offset"]).sort_values(["k", "offset"], key=None)
    found = [Window(int(r.k), int(length), int(r.offset)) for r in own.itertuples() for length in r.lengths]  # type: ignore[arg-type, union-attr]
    first = stimuli.loc[stimuli["primary"]].iloc[0]
    primary = Window(int(first["k"]), int(first["lengths"][0]), int(first["offset"]))
    return [primary, *(w for w in found if w != primary)]


def _runs_of(context: AnalysisContext, name: str) -> Iterator[Run]:
    stimuli = context.stimuli
    assert stimuli is not None
    exposures = context.exposures_of(name)
    known = stimuli["item_id"].isin(exposures["item_id"])
    canary = stimuli["kind"] == "canary"
    if (known & canary).any():  # the order was searched for them: those that it does not show are never planted
        known |= canary
    stimuli = stimuli[known | (stimuli["kind"] == "never")]
    model = context.model(name)
    for i, window in enumerate(windows(stimuli)):
        chosen = ((stimuli["k"] == window.k) & (stimuli["offset"] == window.offset)).to_numpy()
        items = stimuli[chosen].reset_index(drop=True)
        outcomes: dict[str, list[np.ndarray]] = {}
        steps = []
        # read again for each window: what was measured of tens of thousands of rows at all checkpoints fills the memory
        for _, step, table in context.measurements(name):
            steps.append(step)
            for outcome, values in scored(table.set_index("item_id").loc[items["item_id"]], window.l).items():
                outcomes.setdefault(outcome, []).append(values)
        shown = exposures[exposures["item_id"].isin(items["item_id"])].reset_index(drop=True)
        yield Run(model, np.array(steps), window, i == 0, items, shown, {o: np.stack(v, axis=1) for o, v in outcomes.items()})


def scored(measured: pd.DataFrame, length: int) -> dict[str, np.ndarray]:
    """The outcomes of the first ``length`` tokens of each span, from a checkpoint's measurements.

    Args:
        measured: columns of the measures ``logprob`` and ``greedy``, and where they were taken ``generate`` and tokens' log-probabilities.
        length: tokens of the span that count; at most those that were measured.

    Returns:
        Those of :data:`OUTCOMES` that the columns allow, and ``min_margin``, which for a shorter span is a lower bound.
    """
    whole = bool((measured["n_tokens"] == length).all())
    matched = measured["matched"].to_numpy()
    found = {"memorized": matched >= length, "matched": np.minimum(matched, length) / length}
    if "min_margin" in measured:
        found["min_margin"] = measured["min_margin"].to_numpy(dtype=float)
    if "score" in measured:
        found["score"] = (
            measured["score"].to_numpy(dtype=float) if whole else np.array([np.mean(hits[:length]) for hits in measured["hits"]])
        )
    if whole:
        found["logprob"] = measured["logprob"].to_numpy(dtype=float) / length
    else:
        found["logprob"] = np.array([np.sum(tokens[:length], dtype=float) / length for tokens in measured["token_logprobs"]])
    return found
