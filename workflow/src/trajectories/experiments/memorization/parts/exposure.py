"""Rows by checkpoints: what an exposure does by when it happened and by how long ago that is.

At one checkpoint exposure step and age are one thing. Over checkpoints they are not, but exposure step + age = period, so their linear
parts can be told apart only if the period is known from elsewhere. Here it is: rows never seen, or not yet seen, get the period's effect
alone,

    outcome(row, checkpoint) = row + period(checkpoint) + seen · [by exposure step + by age],

under two restrictions. The period does to seen rows what it does to unseen ones (parallel trends; in a shuffled order, where rows that are
seen early, late or never differ by chance alone, they hold on average). And exposure step and age add up: an age means the same whatever
the step. At checkpoints where no row is unseen, period and the sum of the two cannot be told apart: these checkpoints then inform the bends
of both parts, and their linear parts come from the other checkpoints.

Rows that are seen once in the whole order take part, and rows never seen. Checkpoints are chosen evenly over training, since the first ones
of a logarithmic sequence know nothing of any row. Two comparisons are made: *within rows*, each row with itself before it was seen, and
*between rows*, with the predictors of easy text and a coefficient of each per checkpoint. The first needs no luck in content and is far
more precise; the second does not need rows to keep their distance from each other over training.

The second restriction is tested by the product of the two. Where it fails, one slope over all ages (or steps) can be ruled out although it
exceeds the margin at some of them; so there is no verdict if the slopes at both ends lie on different sides of the margin.
"""

from __future__ import annotations

import math

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.cells import (
    BETWEEN,
    FADING,
    LATER,
    WITHIN,
    Cells,
    cells_of,
    effects,
    even_steps,
    judged,
    simulation,
)
from trajectories.experiments.memorization.hypotheses import SHIFT, declare
from trajectories.experiments.memorization.parts.order import UNSEARCHED
from trajectories.experiments.memorization.regressions import LOGPROB, MEMORIZED, SCORE
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.claims import ALPHA, Claim, objection, row

PLANTED = (
    "The part that is put in adds up: it is the same at every age or exposure step. How often a verdict is wrong where the two do not add "
    "up is not told by these simulations, though the test of it is a part of each."
)


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """What an exposure leaves, by when it happened and how long ago."""
    shift = settings.shift_margin
    found = [
        declare(
            LATER,
            "An exposure late in training leaves more than an early one of the same age.",
            f"At equal age, what an exposure does to the log-probability rises from the first to the last step by more than {shift:.3f} "
            "standard deviations.",
            "Age alone: later rows are remembered better because less time has passed since they were seen.",
            "exposure_step_logprob",
            SHIFT,
            shift,
            role="descriptive",
        ),
        declare(
            FADING,
            "What an exposure leaves fades as training goes on.",
            f"At equal exposure step, what an exposure does to the log-probability falls by more than {shift:.3f} standard deviations over "
            "an age as long as training.",
            "Nothing is forgotten: what was left at first stays.",
            "exposure_age_logprob",
            SHIFT,
            shift,
            sided="less",
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Effects by exposure step and age (table ``exposure``), and the claims on their linear parts.

    A branch is left out: its checkpoints begin with it, and the rows that it has in common with its parent were seen before.
    """
    settings = context.settings
    if run.model.parent is not None:
        return
    steps = even_steps(run.steps, settings.order.checkpoints)
    for outcome in (LOGPROB, SCORE, MEMORIZED):
        cells = cells_of(run, steps, outcome)
        if cells is None:
            continue
        for comparison in (WITHIN, BETWEEN):
            place = {"model": run.model.name, "outcome": outcome, "comparison": comparison}
            found.add("exposure", *(place | effect for effect in effects(cells, comparison, settings)))
        if outcome == LOGPROB:
            _decide(run, cells, settings, found)


def compare(runs: list[Run], context: AnalysisContext, found: Findings) -> None:
    """What the linear parts rest on."""
    if not found.extra.get("exposure"):
        return
    never = any((run.items["kind"] == "never").any() for run in runs)
    found.note(
        "Exposure step and age add up to the period, so their linear parts are told apart only because rows "
        + ("never seen carry the period's effect" if never else "not yet seen carry the period's effect, as long as there are any")
        + "; this assumes that the period does to seen rows what it does to those, and that an age means the same at every exposure step."
    )


def _decide(run: Run, cells: Cells, settings: AnalyseSettings, found: Findings) -> None:
    unsearched = "" if run.items.loc[run.items["kind"] == "row", "copies_known"].all() else UNSEARCHED
    for claim in claims(settings).values():
        for comparison in (WITHIN, BETWEEN):
            result, told = judged(cells, claim, settings, comparison)
            group = "" if comparison == WITHIN else comparison
            caveat = " ".join(filter(None, (told.sentence(), unsearched)))
            found.claims.append(row(claim, result, run.model.name, run.final, group, role="descriptive", caveat=caveat))
            if comparison == WITHIN and math.isfinite(result.estimate):
                found.calibrands.append(
                    Calibrand(claim, run.model.name, simulation(cells, claim, settings), objection(result), note=PLANTED)
                )
            if comparison == WITHIN and told.p < ALPHA:
                found.note(
                    f"{run.model.name}, {claim.id}: exposure step and age do not add up (p = {told.p:.2g} for their product). One slope is "
                    f"an average; it is {told.slopes[0]:+.2f} at {told.other} {told.at[0]:.2g} of training and {told.slopes[1]:+.2f} at "
                    f"{told.at[1]:.2g}. The figure of both together shows more."
                )
