"""Published lists of every memorized row: the order regression and the process on the complete order.

The lists name the memorized rows alone. So rows are counted by batch, which the events of a model and the number of rows of a batch
suffice for; predictors of easy text are not known, and neither are copies, so no row is known to have been seen once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.hypotheses import claims as declared
from trajectories.experiments.memorization.parts import counts as counted
from trajectories.experiments.memorization.parts import process, published_lists
from trajectories.experiments.memorization.regressions import MEMORIZED, coefficients
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.agreement import of_sums
from trajectories.statistics.claims import Claim, Result, objection, row
from trajectories.statistics.grouped_logistic import grouped_logistic
from trajectories.statistics.intervals import t_interval
from trajectories.statistics.linearity import bends, straightness
from trajectories.statistics.order_regression import Fit
from trajectories.statistics.point_process import Process
from trajectories.suites import Model

LATE, RECENT = "late-rows-memorized", "recent-rows-memorized"
ALL_COPIES = "all rows, copies unknown"
UNKNOWN = "Copies within the order are not known, so rows that were seen several times are among these; no covariates are known either."
WINDOW = "recency window"


@dataclass(frozen=True)
class Counts:
    """How many rows of each batch a checkpoint has memorized.

    Attributes:
        model, step: the checkpoint.
        events: memorized rows of each batch that it has seen [b].
    """

    model: Model
    step: int
    events: np.ndarray

    @classmethod
    def of(cls, model: Model, step: int, rows: np.ndarray) -> Counts:
        """From the memorized rows, ascending; rows that the checkpoint has not yet seen are left out."""
        seen = rows[: np.searchsorted(rows, step * model.rows_per_step)]
        return cls(model, step, np.bincount(seen // model.rows_per_step, minlength=step))

    @property
    def trials(self) -> np.ndarray:
        """Rows of each batch [b]."""
        return np.full(len(self.events), self.model.rows_per_step)

    @property
    def position(self) -> np.ndarray:
        """Middle of each batch among the rows seen, 0 the first row and 1 the last [b]."""
        r = self.model.rows_per_step
        return (np.arange(len(self.events)) * r + (r - 1) / 2) / max(len(self.events) * r - 1, 1)


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """The claims on sampled rows that complete lists allow, said of all rows since copies are unknown."""
    share = f"{settings.recency_window:.0%}"
    said = {
        LATE: f"Among all rows seen, the last {share} of them set apart, the odds of being memorized rise from the first to the last row "
        f"by a factor above {settings.odds_ratio:g}.",
        RECENT: f"The odds in the last {share} of the rows seen exceed the linear trend by a factor above {settings.odds_ratio:g}.",
    }
    known = declared(settings)
    return {name: replace(known[name], prediction=text) for name, text in said.items()}


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Everything that a suite of published lists allows."""
    assert context.rows_memorized is not None
    settings = context.settings
    finals: dict[str, tuple[int, np.ndarray]] = {}
    for model in context.suite.models:
        lists = context.rows_memorized(model.name)
        for step, rows in lists.items():
            counts, last = Counts.of(model, step, rows), step == max(lists)
            whole = described(counts)
            found.trajectories.append({"model": model.name, "step": step, "setting": published_lists.SETTING} | whole)
            facts = (model.name, model.parameters_non_embedding, step, int(counts.trials.sum()))
            found.add("counts", counted.line(counted.HERE, *facts, whole, "the published list, repeats removed"))
            _regressed(counts, settings, found, last)
        if not lists:
            continue
        step = max(lists)
        seen = lists[step][: np.searchsorted(lists[step], step * model.rows_per_step)]
        finals[model.name] = step, seen
        parts = positions(Counts.of(model, step, seen), settings)
        found.add("positions", *({"model": model.name, "step": step} | part for part in parts))
        _process(model, step, seen, context, found)
        published_lists.forgetting(model, lists, context, found)
        published_lists.early_forecasts(model, lists, found)
    published_lists.forecasts([m for m in context.suite.models if m.name in finals], finals, found)
    counted.beside(found)
    _notes(settings, found)


def described(counts: Counts) -> dict[str, Any]:
    """The share of the rows seen that is memorized, as a trajectory; batches are the clusters."""
    n = int(counts.trials.sum())
    sums = np.stack([counts.events, counts.trials], axis=1).astype(float)
    estimate = of_sums(sums, lambda total: total[0] / total[1], n)
    return {"metric": "extractable", "level": "exposure", "group": ALL_COPIES} | estimate.row()


def regress(
    counts: Counts, settings: AnalyseSettings, *, window: bool = False, recency: bool = False, block: int = 1, knots: int = 2
) -> Fit:
    """Log odds of a row's being memorized on its batch's place.

    Args:
        counts: of a checkpoint.
        settings: the recency window.
        window: include the batches of the recency window.
        recency: include them, with a term of their own (:data:`WINDOW`).
        block: successive batches that make a cluster.
        knots: more than 2 adds what a natural cubic spline adds to the line (names ``bend 1`` …).
    """
    x = counts.position
    kept = (x <= 1 - settings.recency_window) | window | recency
    columns, names = [np.ones(len(x)), x], ["intercept", "position"]
    if recency:
        columns.append((x > 1 - settings.recency_window).astype(float))
        names.append(WINDOW)
    chosen = np.stack(columns, axis=1)[kept]
    if knots > 2:
        added = bends(x[kept], x[kept], knots)
        chosen = np.column_stack([chosen, added])
        names += [f"bend {i + 1}" for i in range(added.shape[1])]
    return grouped_logistic(counts.events[kept], counts.trials[kept], chosen, tuple(names), block)


def _regressed(counts: Counts, settings: AnalyseSettings, found: Findings, last: bool) -> None:
    """The slope as a trajectory and a claim; at the last step the same question asked otherwise, and the calibration."""
    own, model, step = claims(settings), counts.model.name, counts.step
    place = {"model": model, "step": step}
    fit = regress(counts, settings)
    result = fit.result("position")
    if objection(result) is None:
        low, high = t_interval(result.estimate, result.stderr, result.df)
        slope = {"metric": "slope_log_odds", "level": "subset", "group": "before the recency window", "setting": published_lists.SETTING}
        value = {"value": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high, "n": result.n, "method": result.method}
        found.trajectories.append(place | slope | value)
    facts: dict[str, Any] = {"caveat": UNKNOWN}
    found.claims.append(row(own[LATE], result, model, step, role="primary" if last else "descriptive", **facts))
    fits = {"before the recency window": fit}
    if last:
        block = settings.published.block
        fits |= {
            "recency window included": regress(counts, settings, window=True),
            f"clusters of {block} successive batches": regress(counts, settings, block=block),
        }
        for name, other in list(fits.items())[1:]:
            found.claims.append(row(own[LATE], other.result("position"), model, step, name, role="descriptive", **facts))
        recency = regress(counts, settings, recency=True)
        fits["recency window against the trend"] = recency
        found.claims.append(row(own[RECENT], recency.result(WINDOW), model, step, **facts))
        _straight(counts, settings, found)
        found.calibrands.append(
            Calibrand(
                own[LATE],
                model,
                simulation(counts, settings),
                objection(result),
                note="The numbers of memorized rows of its real batches are dealt anew to the places, so their spread stays and their "
                "trend goes; then rows are dropped with the chance that gives the wanted slope.",
            )
        )
    for name, each in fits.items():
        found.add(
            "regressions",
            *(
                place | {"subset": name, "setting": published_lists.SETTING, "overdispersion": each.residual_sd**2} | term
                for term in coefficients(each, MEMORIZED)
            ),
        )


def _straight(counts: Counts, settings: AnalyseSettings, found: Findings) -> None:
    """Whether the trend is straight, by a spline."""
    fit = regress(counts, settings, knots=settings.published.knots)
    if fit.problem is not None or not any(name.startswith("bend ") for name in fit.names):
        return
    kept = counts.position[counts.position <= 1 - settings.recency_window]
    tested, curve = straightness(fit, kept, settings.log_odds_margin)
    place = {"model": counts.model.name, "step": counts.step, "outcome": "memorized"}
    found.add("linearity", place | {"unit": 1.0} | tested)
    found.add("curves", *(place | point for point in curve))


def simulation(counts: Counts, settings: AnalyseSettings) -> Any:
    """The primary decision on batches of known slope: (generator, true log odds ratio) → result.

    Batches' counts are drawn with replacement from the real ones and dealt to the places; then each memorized row is dropped with the
    chance that makes the odds follow the wanted line, from 1 down, so the spread of the counts is the real one.
    """
    kept = counts.position <= 1 - settings.recency_window
    x, r = counts.position[kept], counts.model.rows_per_step
    events, trials = counts.events[kept], counts.trials[kept]
    odds = events.sum() / max(trials.sum() - events.sum(), 1)
    design = np.stack([np.ones(len(x)), x], axis=1)

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        tilted = odds * np.exp(truth * x - max(truth, 0.0))
        keep = np.minimum((tilted / (1 + tilted)) / (odds / (1 + odds)), 1.0)
        drawn = generator.binomial(events[generator.integers(0, len(events), len(events))], keep)
        return grouped_logistic(drawn, np.full(len(x), r), design, ("intercept", "position")).result("position")

    return simulate


def positions(counts: Counts, settings: AnalyseSettings) -> Iterator[dict[str, Any]]:
    """The share memorized in equal parts of the order seen, in the columns of the parts of sampled rows."""
    bins, window = settings.bins, settings.recency_window
    part = np.minimum((counts.position * bins).astype(int), bins - 1)
    for i in range(bins):
        chosen = part == i
        if chosen.any():
            middle = (i + 0.5) / bins
            place = {"x": middle, "part": WINDOW if middle > 1 - window else "before"}
            yield place | described(Counts(counts.model, counts.step, counts.events[chosen]))


def _process(model: Model, step: int, rows: np.ndarray, context: AnalysisContext, found: Findings) -> None:
    """The dispersion index over all rows seen, with every further look."""
    settings = context.settings
    own = settings.process.model_copy(
        update={"width": settings.published.width, "widths": settings.published.widths, "quantile_width": settings.published.width}
    )
    last = step * model.rows_per_step
    claim = process.claims(settings.model_copy(update={"process": own}))[process.CLAIM]
    for name, n in (("all rows seen", last), ("before the recency window", int((1 - settings.recency_window) * last))):
        primary = n == last
        events = Process(rows[: np.searchsorted(rows, n)], n)
        described = process.described_as(events, own, context.generator(f"process {model.name} {name}"))
        result = described.dispersion.result()
        role = None if primary else "descriptive"
        caveat = " ".join(filter(None, (UNKNOWN, process.too_few(described.dispersion, own.margin))))
        found.claims.append(row(claim, result, model.name, step, "" if primary else name, role=role, caveat=caveat))
        place = {"model": model.name, "step": step, "subset": name}
        for table, lines in process.tables(described, own.width).items():
            found.add(table, *(place | line for line in lines))
        if primary:
            found.calibrands += process.calibrands(claim, model.name, described.dispersion, result, own)


def _notes(settings: AnalyseSettings, found: Findings) -> None:
    found.note(
        "Every row of the order takes part: the listed ones are memorized, all others are not. The order regression counts them by batch; "
        "its errors allow for batches that differ more than chance has it, and for dependence between neighbours where that is said."
    )
    found.note(UNKNOWN)
    found.note(
        "Lists that upstream's overlapping ranks made hold some rows twice; the audit says how many lines were left out for each list. "
        "Greedy decoding was done in float16, so rows near a tie between two tokens may be labelled otherwise than in float32."
    )
