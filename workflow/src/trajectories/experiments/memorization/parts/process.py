"""Are memorized rows a homogeneous process along the training order?

The sampled rows, each at its own place in the order, are a sequence of trials; the memorized ones are the events. Bins are of so many
*sampled* rows, not of so many rows of the order: a sample thins clusters, so an index belongs to the density of its sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.hypotheses import declare
from trajectories.experiments.memorization.parts.order import UNSEARCHED
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.settings import AnalyseSettings, ProcessSettings
from trajectories.findings import Calibrand, Findings, Simulation
from trajectories.statistics.claims import ALPHA, MIN_EVENTS, Claim, Result, objection, row
from trajectories.statistics.point_process import (
    LEAST_CLUMPS,
    Dispersion,
    Process,
    clumps_expected,
    dispersion,
    dispersion_of,
    events_needed,
)
from trajectories.statistics.point_process_description import Description, describe
from trajectories.statistics.point_process_laws import CLUMPS, clumped, law

CLAIM = "memorized-rows-cluster"
ALL, SINGLE = "all rows seen", "rows without copies"
CLUMP = 4
"""Rows of a cluster in the calibration; a size other than those that the interval is built on."""
CALIBRATION_REPLICATES = 199
"""Of each bootstrap on a simulated sample; fewer replicates make p a little larger and never too small."""
TRAJECTORY_ALPHA = 0.025
"""Error probability of each bound of a trajectory's 95 % interval."""


@dataclass(frozen=True)
class Trials:
    """Which of the rows seen are the trials.

    Attributes:
        name: as tables show it.
        copies: whether rows whose scored tokens stand elsewhere in the order too are among them.
        recent: whether those of the recency window are.
    """

    name: str
    copies: bool
    recent: bool = True


SUBSETS = (
    Trials(ALL, True),
    Trials(SINGLE, False),
    Trials(f"{ALL}, before the recency window", True, False),
    Trials(f"{SINGLE}, before the recency window", False, False),
)


def claims(settings: AnalyseSettings) -> dict[str, Claim]:
    """The part's one claim, with the margin of the configuration."""
    own = settings.process
    claim = declare(
        CLAIM,
        "Memorized rows cluster along the training order, or keep apart: neighbours are memorized together more, or less, often than by "
        "chance.",
        f"The number of memorized rows among {own.width} successive rows of the sample varies more than {1 + own.margin:g} times, or less "
        f"than {1 - own.margin:g} times, as much as a binomial number (in variance); in bins of {own.width} that is a correlation of "
        f"{own.margin / (own.width - 1):.2g} between two rows of a bin, and the verdict holds for this width alone.",
        "A homogeneous process: a row is as likely to be memorized as any other, whatever its neighbours; then the ratio of the variances "
        "is within the margin of 1. Copies of one text that stand close make memorized rows come together too; rows without copies tell. "
        "A rate that changes slowly along the order raises the ratio as well; the one that is left around a smooth curve tells.",
        "dispersion_index",
        "excess of the dispersion index over 1",
        own.margin,
        sided="two-sided",
    )
    return {CLAIM: claim}


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """The dispersion index at every checkpoint; claims and every further look at the last one."""
    settings = context.settings
    own = settings.process
    table = sampled(run, context)
    for column, step in enumerate(run.steps.tolist()):
        for subset in SUBSETS[:2]:
            process = process_of(run, table, column, subset, settings.recency_window)
            generator = context.generator(f"process {run.model.name} {step} {subset.name}")
            index = dispersion(process, own.width, generator, own.replicates, TRAJECTORY_ALPHA)
            found.trajectories += _trajectory(index, run, step, subset)
    claim = claims(settings)[CLAIM]
    for subset in SUBSETS:
        primary = subset is SUBSETS[0] and run.model.parent is None
        process = process_of(run, table, len(run.steps) - 1, subset, settings.recency_window)
        described = described_as(process, own, context.generator(f"process {run.model.name} last {subset.name}"))
        result = described.dispersion.result()
        claimed = row(claim, result, run.model.name, run.final, _group(subset), role=None if primary else "descriptive")
        caveats = ["" if table["copies_known"].all() else UNSEARCHED, too_few(described.dispersion, own.margin)]
        found.claims.append(claimed | {"caveat": " ".join(filter(None, caveats))})
        place = {"model": run.model.name, "step": run.final, "subset": subset.name}
        for name, rows in tables(described, own.width).items():
            found.add(name, *(place | r for r in rows))
        if primary:
            found.calibrands += calibrands(claim, run.model.name, described.dispersion, result, own)


def compare(runs: Sequence[Run], context: AnalysisContext, found: Findings) -> None:
    """What a reader should know of the process beside the verdicts."""
    own = context.settings.process
    enough = math.ceil(2 * ((1.645 + 1.282) / own.margin) ** 2)
    found.note(
        f"For the process along the order, the rows of the sample stand in the sequence of training, {own.width} to a bin. The counts are "
        "held against binomial ones, with the rate estimated anew in each replicate: a Poisson count of the same mean has 1 / (1 − rate) "
        "times the variance, so it would be wrong wherever memorized rows are not rare. A sample thins clusters: an index at so many rows "
        "of the sample is not that of as many rows of the order."
    )
    found.note(
        "Rows are taken as independent only under the null; the interval resamples stretches of successive bins, so neighbours may depend "
        "on each other. Copies that stand far apart change the number of memorized rows and not how evenly they lie; copies that stand "
        "close make them come together, and only rows without copies tell whether that is all."
    )
    _copies(found)
    found.note(
        "A row stands at its own place, where it was sampled, be it the first, the last or another one of those where its tokens are met: "
        "dated by the first exposure, rows of one text would all stand in one place and make a cluster that training never saw. In an "
        "order that numbers the rows otherwise than the one sampled from, the place is drawn among the rows that hold the same tokens at "
        "the same place."
    )
    found.note(
        f"To find a homogeneous process homogeneous within {own.margin:g} with power 0.8 takes about {enough:,} bins, before correction "
        f"over models, and more than {events_needed(own.margin, own.width):,} memorized rows: an excess of {own.margin:g} may lie in a few "
        f"clusters of {min(max(CLUMPS), own.width)} rows, of which a sample with fewer memorized rows may well hold none. The interval "
        "allows for such clusters. Larger and rarer ones it does not allow for."
    )
    told = {c["model"] for c in found.extra.get("process_checks", []) if c["subset"] == SINGLE}
    for checks in found.extra.get("process_checks", []):
        if checks["subset"] == ALL and checks.get("trend_p", 1.0) < ALPHA:
            found.note(
                f"{checks['model']}: the rate of memorized rows changes smoothly along the order (p = {checks['trend_p']:.2g}); around the "
                f"curve the dispersion index is {checks['index_left']:.3f}. "
                + (
                    "The same curve for rows without copies tells whether copies make it."
                    if checks["model"] in told
                    else "Whether copies make it is not told, since too few rows without copies are memorized."
                )
            )


def _copies(found: Findings) -> None:
    """For which models rows without copies tell nothing."""
    single = [c for c in found.claims if c["claim"].id == CLAIM and c["group"] == SINGLE]
    counted = [(c["model"], c["result"].n_events or 0) for c in single]
    silent = [f"{model} ({events:,})" for model, events in counted if events < MIN_EVENTS]
    if silent:
        found.note(
            f"Of the rows without copies fewer than {MIN_EVENTS} are memorized by {', '.join(silent)}, so clusters that copies make cannot "
            "be told from others there."
        )


def too_few(index: Dispersion, margin: float) -> str:
    """What a reader should know where too few events meet in a bin to show homogeneity, as a sentence, or nothing."""
    clumps = clumps_expected(index.n_events, margin, index.width)
    if index.problem is not None or index.n_events < MIN_EVENTS or clumps >= LEAST_CLUMPS:
        return ""
    return (
        f"With {index.n_events:,} events in {index.bins:,} bins a homogeneous process has {index.pairs:.2g} pairs of them in one bin, and "
        f"clusters of {min(max(CLUMPS), index.width)} that make an excess of {margin:g} would be {clumps:.2g} in number, so homogeneity "
        f"can hardly be shown; that takes more than {events_needed(margin, index.width):,} events."
    )


def sampled(run: Run, context: AnalysisContext) -> pd.DataFrame:
    """The sampled rows at their own places: ``item`` (number in ``run.items``), ``row``, ``copies`` and ``copies_known``, ascending by row.

    Where an order also gave rows because a public table lists them as memorized, rows are kept with a probability proportional to their
    weight, so that all had the same chance of being among the trials whatever their outcome.
    """
    items = run.items[run.items["kind"] == "row"]
    generator = context.generator("process places")
    places = own_places(items, run.exposures, generator)
    found = items.assign(item=np.flatnonzero(run.items["kind"] == "row"), row=places["row"], copies=places["n_all"] > 1)
    found = found[found["row"].notna()].astype({"row": "int64"})
    listed = [name for name, order in context.suite.orders.items() if order.memorized is not None]
    weight = found["weight"].where(found["source"].isin(listed), math.inf)
    chance = found["weight"] / found.groupby("source")["weight"].transform("max")
    kept = np.isinf(weight) | (generator.random(len(found)) < chance)
    return found.loc[kept, ["item", "row", "copies", "copies_known"]].sort_values("row", ignore_index=True)


def own_places(items: pd.DataFrame, exposures: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """The place in the order of each sampled row.

    Args:
        items: ``item_id`` and ``copy_group`` of rows.
        exposures: ``item_id, row`` over the whole order, and ``own`` where it is known which exposure is the sampled row itself.
        generator: where several exposures may be it, they are dealt to the rows of a copy group, each to at most one.

    Returns:
        ``row`` (NaN where the order never shows the row) and ``n_all`` (exposures), with the items' index.
    """
    shown = exposures[exposures["item_id"].isin(items["item_id"])]
    sizes = items["item_id"].map(shown.groupby("item_id").size()).fillna(0).astype(int)
    own = shown[shown["own"]] if "own" in shown else shown
    certain = own.drop_duplicates("item_id", keep=False).set_index("item_id")["row"]
    row = items["item_id"].map(certain)
    group = items.set_index("item_id")["copy_group"]
    unsure = own[~own["item_id"].isin(certain.index)]
    places = pd.DataFrame({"group": group.loc[unsure["item_id"]].to_numpy(), "row": unsure["row"].to_numpy()}).drop_duplicates()
    taken = pd.MultiIndex.from_arrays([group.loc[certain.index], certain])
    places = places[~pd.MultiIndex.from_frame(places).isin(taken)]
    places = places.iloc[generator.permutation(len(places))]
    places["turn"] = places.groupby("group").cumcount()
    waiting = items.loc[row.isna() & (sizes > 0), ["copy_group"]]
    turns = pd.DataFrame({"group": waiting["copy_group"], "turn": waiting.groupby("copy_group").cumcount()})
    dealt = turns.merge(places, on=["group", "turn"], how="left")["row"].set_axis(waiting.index)
    return pd.DataFrame({"row": row.fillna(dealt), "n_all": sizes})


def process_of(run: Run, table: pd.DataFrame, column: int, subset: Trials, window: float) -> Process:
    """The process of a subset of the sampled rows at the checkpoint of a column of the outcomes."""
    last = int(run.steps[column]) * run.model.rows_per_step - 1
    kept = (table["row"] <= last) & (subset.copies | ~table["copies"])
    if not subset.recent:
        kept &= table["row"] <= (1 - window) * last
    return Process.of(run.outcomes["memorized"][table.loc[kept, "item"].to_numpy(), column])


def described_as(process: Process, own: ProcessSettings, generator: np.random.Generator) -> Description:
    """A process with the settings of this part."""
    return describe(
        process,
        own.width,
        generator,
        widths=own.widths,
        quantile_width=own.quantile_width,
        lags=own.lags,
        df=own.trend_df,
        replicates=own.replicates,
    )


def tables(described: Description, width: int) -> dict[str, list[dict[str, Any]]]:
    """A description as rows of tables, to which the caller adds whose it is.

    Args:
        described: from :func:`~trajectories.statistics.point_process_description.describe`.
        width: of the bins at which the claim is decided.

    Returns:
        ``process``: the dispersion index by ``width``, with 90 % intervals. ``process_checks``: one line with the largest deviation of the
        gaps, the largest autocorrelation and the trend. ``process_counts``, ``process_gaps``, ``process_autocorrelation`` and
        ``process_trend``: what their figures show.
    """
    found: dict[str, list[dict[str, Any]]] = {"process": list(_indices(described, width))}
    if objection(described.dispersion.result()) is not None:
        return found
    q, gap, auto, curve = described.quantiles, described.gaps, described.autocorrelation, described.trend
    checks: dict[str, Any] = {"n": described.process.n, "n_events": len(described.process.events)}
    if q is not None:
        facts = {"width": q.width, "bins": q.bins}
        columns = {"probability": q.probability, "expected": q.expected, "observed": q.observed, "low": q.low, "high": q.high}
        found["process_counts"] = _lines(columns, facts)
        checks |= {"quantiles_outside": q.outside}
    if gap is not None:
        columns = {"gap": gap.cuts, "observed": gap.observed, "expected": gap.expected, "low": gap.low, "high": gap.high}
        found["process_gaps"] = _lines(columns, {"n_gaps": gap.n})
        checks |= {"gap": gap.at, "gap_deviation": gap.deviation, "gap_ci_low": gap.ci_low, "gap_ci_high": gap.ci_high, "gap_p": gap.p}
    if auto is not None:
        columns = {"lag": auto.lag, "value": auto.value, "low": auto.low, "high": auto.high}
        found["process_autocorrelation"] = _lines(columns, {"width": auto.width, "bins": auto.bins})
        largest = int(np.argmax(np.abs(auto.value)))
        checks |= {"lag": int(auto.lag[largest]), "autocorrelation": float(auto.value[largest]), "autocorrelation_p": auto.p}
    if curve is not None:
        columns = {"x": curve.x, "rate": curve.rate, "low": curve.low, "high": curve.high}
        found["process_trend"] = _lines(columns, {"constant": described.process.rate})
        checks |= {"ratio": curve.ratio, "ratio_ci_low": curve.ci_low, "ratio_ci_high": curve.ci_high, "trend_p": curve.p}
        checks |= {"highest": curve.highest, "lowest": curve.lowest, "index_left": curve.index_left}
    found["process_checks"] = [checks]
    return found


def _lines(columns: dict[str, np.ndarray], facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [facts | line for line in pd.DataFrame(columns).to_dict("records")]  # type: ignore[misc]


def _indices(described: Description, width: int) -> Iterator[dict[str, Any]]:
    for index in described.by_width:
        if index.problem is None:
            yield {
                "width": index.width,
                "deciding": index.width == width,
                "bins": index.bins,
                "n": index.n,
                "n_events": index.n_events,
                "index": index.index,
                "stderr": index.stderr,
                "ci_low": index.ci_low,
                "ci_high": index.ci_high,
                "p_homogeneous": index.p_homogeneous,
                "blocks": index.blocks,
            }


def _group(subset: Trials) -> str:
    return "" if subset is SUBSETS[0] else subset.name


def _trajectory(index: Dispersion, run: Run, step: int, subset: Trials) -> Iterator[dict[str, Any]]:
    if objection(index.result()) is None:
        yield {
            "model": run.model.name,
            "step": step,
            "metric": "dispersion_index",
            "level": "subset",
            "group": subset.name,
            "setting": str(run.window),
            "value": index.index,
            "stderr": index.stderr,
            "ci_low": index.ci_low,
            "ci_high": index.ci_high,
            "n": index.n,
            "method": index.method,
        }


def calibrands(claim: Claim, model: str, index: Dispersion, result: Result, own: ProcessSettings) -> list[Calibrand]:
    """The claim on one model's sample, ready for simulation: with an excess that many bins share, and with one that rare clusters make."""
    kept = "Its bins, their width and the share of memorized rows are those of the sample; the counts "
    replicates = min(own.replicates, CALIBRATION_REPLICATES)
    shared = simulation(index, replicates)
    found = [Calibrand(claim, model, shared, objection(result), note=kept + "are beta-binomial with the wanted index.")]
    rate = index.n_events / index.n if index.n else 0.0
    if 0 < rate < 1 and clumped(index.width, rate, 1 + 2 * claim.margin, CLUMP) is not None:
        size = min(CLUMP, index.width)
        rare = simulation(index, replicates, size)
        note = f"{kept}are binomial, but for as many clusters of {size} memorized rows in one bin as make the wanted index."
        found.append(Calibrand(claim, model, rare, objection(result), f"{index.method}; rare clusters of {size}", note))
    return found


def simulation(index: Dispersion, replicates: int, size: int | None = None) -> Simulation:
    """The whole decision on samples with as many bins and the same share of events as a real one, and a known dispersion index.

    Args:
        index: of the real sample.
        replicates: of the bootstraps.
        size: of the clusters that make the excess; by default the counts are beta-binomial.
    """
    rate = index.n_events / index.n if index.n else 0.0

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        rare = clumped(index.width, rate, 1 + truth, size) if size is not None and truth > 0 else None
        first, probabilities = rare or law(index.width, rate, 1 + truth)
        counts = first + generator.choice(len(probabilities), size=index.bins, p=probabilities)
        return dispersion_of(counts, index.width, generator, replicates).result()

    return simulate
