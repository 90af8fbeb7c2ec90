"""Term frequency: what models produce against how often training has shown it up to each checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.knowledge import frequency, scores
from trajectories.experiments.knowledge.frequency import GIVEN, LOG_ODDS, OPERANDS, PRODUCED, TENFOLD, TOGETHER, tenfold
from trajectories.experiments.knowledge.stimuli.arithmetic import NUMBER
from trajectories.experiments.knowledge.stimuli.prompts import SEEN
from trajectories.experiments.knowledge.stimuli.terms import TOLD
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import intervals
from trajectories.statistics.claims import Result, objection, row

ALL = "all relations"
DRAWN = "Frequencies, relations and subjects are the real ones; answers are drawn with a known slope and correlate by 0.3 within a subject."
MET = ("forward", "reversed", "second")
"""Forms of a planted statement that names subject and object of its fact."""


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Facts and arithmetic against counts; nothing where no terms were counted."""
    if context.counted is None or context.stimuli is None:
        return
    for model in context.suite.models:
        table = scores.accuracies(context, model.name, SEEN)
        told = table.drop_duplicates(["step", "fact_id"]) if len(table) else table
        counts = Counts(context.counts_of(model.name))
        if context.has_truth:
            _recovered(context, model.name, counts, found)
        if len(told):
            _facts(context, model.name, told, counts, found)
        if "shots" in context.stimuli:
            _arithmetic(context, model.name, context.stimuli, counts, found)
    _notes(context.counted, context.has_truth, "shots" in context.stimuli, found)


class Counts:
    """How often terms, and pairs of terms, occur in a model's training up to a step."""

    def __init__(self, table: pd.DataFrame):
        """From ``term, other, step, count``; ``other`` is empty for single terms."""
        self.by_step = {int(step): own.set_index(["term", "other"])["count"] for step, own in table.groupby("step")}

    def at(self, step: int, term: pd.Series, other: pd.Series | None = None) -> np.ndarray | None:
        """Counts [n], or None where none were taken at that step."""
        if step not in self.by_step:
            return None
        keys = pd.MultiIndex.from_arrays([term, pd.Series("", index=term.index) if other is None else other])
        return self.by_step[step].reindex(keys).to_numpy(dtype=float)


def _facts(context: AnalysisContext, model: str, told: pd.DataFrame, counts: Counts, found: Findings) -> None:
    """Accuracy by frequency and its slope at every checkpoint, the claims at the last one.

    Args:
        told: the model's answers to facts in the form seen in training: rows of :func:`scores.accuracies`, one per step and fact.
    """
    for step in (int(s) for s in told["step"].unique()):
        own = told[told["step"] == step]
        place: dict[str, Any] = {"model": model, "step": step}
        both = counts.at(step, own["subject"], own["object"])
        if both is None:
            continue
        right, sample = own["adjusted"].to_numpy(dtype=float), (tenfold(both), own["relation"].to_numpy(), own["subject"].to_numpy())
        found.add("frequency_bins", *(place | line for line in binned(both, right)))
        fits = {PRODUCED: frequency.slope(right, *sample)}
        salience = {f"{name} named": counts.at(step, own[name]) for name in ("subject", "object")}
        known = {name: tenfold(values) for name, values in salience.items() if values is not None}
        if len(known) == len(salience):
            fits[GIVEN] = frequency.slope(right, *sample, known)
        for name, fit in fits.items():
            claim, result = frequency.claims(context.settings.frequency)[name], fit.result(TENFOLD)
            found.trajectories += _slope(place, result, claim.metric)
            if step == context.final(model) and context.model(model).parent is None:
                found.claims.append(row(claim, result, model, step))
                simulate = partial(frequency.simulated, right=right, frequency=sample[0], relation=sample[1], subject=sample[2])
                if name == GIVEN:
                    simulate = partial(simulate, salience=known)
                found.calibrands.append(Calibrand(claim, model, simulate, objection(result), note=DRAWN))


def binned(count: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """Accuracy of facts by how often they are told, two bins to a tenfold and one for never: ``count`` (geometric mean), ``value`` …"""
    bins = np.where(count > 0, 1 + np.floor(2 * np.log10(np.maximum(count, 1))), 0).astype(int)
    lines = []
    for number in np.unique(bins):
        own = bins == number
        n, events = int(own.sum()), float(right[own].sum())
        low, high = intervals.wilson(np.array(events), np.array(n))
        middle = float(np.exp(np.log(count[own]).mean())) if number else 0.0
        lines.append({"bin": int(number), "count": middle, "value": events / n, "ci_low": float(low), "ci_high": float(high), "n": n})
    return lines


def _slope(place: dict[str, Any], result: Result, metric: str, group: str = ALL, setting: str = SEEN) -> list[dict[str, Any]]:
    """A slope as a trajectory, unless it has too few events for a verdict."""
    if objection(result) is not None:
        return []
    low, high = intervals.t_interval(result.estimate, result.stderr, result.df)
    value = {"value": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high, "n": result.n, "method": result.method}
    return [place | {"metric": metric, "level": "facts", "group": group, "setting": setting} | value]


def _arithmetic(context: AnalysisContext, model: str, stimuli: pd.DataFrame, counts: Counts, found: Findings) -> None:
    """Accuracy of sums and products at every checkpoint, and the gap between frequent and rare first operands."""
    items = stimuli[stimuli["part"] == "arithmetic"]
    settings, final = context.settings.frequency, context.final(model)
    for _, step, table in context.measurements(model):
        own = items.merge(table[["item_id", "matched", "n_tokens"]], on="item_id")
        own = own.assign(right=(own["matched"] == own["n_tokens"]).astype(float))
        for (operation, shots), problems in own.groupby(["operation", "shots"]):
            operands = problems.groupby("x1")["right"].agg(["mean", "size"]).reset_index()
            n, setting = len(problems), f"{int(shots)}-shot"
            centre, stderr, low, high = (float(v) for v in intervals.mean(operands["mean"].to_numpy()))
            place = {"model": model, "step": step, "level": "operation", "group": operation, "setting": setting, "n": n}
            value = {"value": centre, "stderr": stderr, "ci_low": low, "ci_high": high, "method": "mean over first operands, Student's t"}
            found.trajectories.append(place | {"metric": "accuracy"} | value)
            count = counts.at(step, operands["x1"].astype(int).map(NUMBER.format))
            if count is None or not count.any():
                continue
            accuracy = operands["mean"].to_numpy()
            result = frequency.gap(accuracy, count, settings.tail, n)
            if result.finite:
                low, high = intervals.t_interval(result.estimate, result.stderr, result.df)
                value = {"value": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high, "method": result.method}
                found.trajectories.append(place | {"metric": "frequency_gap"} | value)
            claims_here = step == final and context.model(model).parent is None
            _met_together(context, place, problems, counts, claims_here, found)
            if step == final:
                found.add("operands", *_operands(place, operands, count))
            if claims_here:
                _gap_claim(context, place, operands, count, result, found)


def _met_together(
    context: AnalysisContext, place: dict[str, Any], problems: pd.DataFrame, counts: Counts, claims_here: bool, found: Findings
) -> None:
    """The slope of right answers on the documents that hold first operand and answer, given how often each occurs; by operand."""
    first, answer = (problems[name].astype(int).map(NUMBER.format) for name in ("x1", "y"))
    other = problems["y"] != problems["x1"]  # a number is no pair with itself
    both, step = counts.at(place["step"], first[other], answer[other]), place["step"]
    if both is None or len(np.unique(both)) < 2 or np.isnan(both).any():
        return
    named = {"operand named": counts.at(step, first[other]), "answer named": counts.at(step, answer[other])}
    sample = {
        "right": problems.loc[other, "right"].to_numpy(),
        "frequency": tenfold(both),
        "relation": problems.loc[other, "operation"].to_numpy(),
        "subject": problems.loc[other, "x1"].to_numpy(),
        "salience": {name: tenfold(values) for name, values in named.items() if values is not None},
    }
    claim, result = frequency.claims(context.settings.frequency)[TOGETHER], frequency.slope(**sample).result(TENFOLD)
    found.trajectories += [line | {"level": "operation"} for line in _slope(place, result, claim.metric, place["group"], place["setting"])]
    if claims_here:
        found.claims.append(row(claim, result, place["model"], step, f"{place['group']}, {place['setting']}"))
        found.calibrands.append(Calibrand(claim, place["model"], partial(frequency.simulated, **sample), objection(result), note=DRAWN))


def _operands(place: dict[str, Any], operands: pd.DataFrame, count: np.ndarray) -> Iterator[dict[str, Any]]:
    low, high = intervals.wilson(operands["mean"] * operands["size"], operands["size"])
    for i, line in enumerate(operands.itertuples()):
        value = {
            "x1": int(line.x1),
            "count": float(count[i]),
            "value": float(line.mean),
            "ci_low": float(low[i]),
            "ci_high": float(high[i]),
        }  # type: ignore[arg-type]
        yield {name: place[name] for name in ("model", "step", "group", "setting")} | value


def _gap_claim(
    context: AnalysisContext, place: dict[str, Any], operands: pd.DataFrame, count: np.ndarray, result: Result, found: Findings
) -> None:
    settings = context.settings.frequency
    claim = frequency.claims(settings)[OPERANDS]
    group = f"{place['group']}, {place['setting']}"
    found.claims.append(row(claim, result, place["model"], place["step"], group))
    accuracy, each = operands["mean"].to_numpy(), int(operands["size"].median())
    simulate = partial(frequency.simulated_gap, accuracy=accuracy, count=count, each=each, share=settings.tail)
    found.calibrands.append(Calibrand(claim, place["model"], simulate, objection(result), note="Operands differ as much as the real ones."))


def _recovered(context: AnalysisContext, model: str, counts: Counts, found: Findings) -> None:
    """The counts of subject with object against the planted statements, fact by fact, at every checkpoint."""
    truth = pd.concat([context.truth("facts"), context.truth("second_facts")], ignore_index=True)
    told = planted(context, model)
    for step in context.checkpoints.loc[context.checkpoints["model"] == model, "step"]:
        counted = counts.at(int(step), truth["subject"], truth["object"])
        if counted is None:
            continue
        shown = told[told["step"] < step]["fact_id"].value_counts().reindex(truth["fact_id"], fill_value=0).to_numpy(dtype=float)
        wrong = np.flatnonzero(counted != shown)
        share = 1 - len(wrong) / len(truth)
        comment = f"All {len(truth)} facts are counted exactly, {shown.sum():,.0f} documents in all."
        if len(wrong):
            first = wrong[0]
            comment = (
                f"{len(wrong)} of {len(truth)} facts differ, for instance '{truth['fact_id'].iloc[first]}': counted {counted[first]:.0f}, "
                f"planted {shown[first]:.0f}."
            )
        found.recovery.append(
            {
                "parameter": "share of planted facts whose documents are counted exactly",
                "model": model,
                "step": int(step),
                "truth": 1.0,
                "estimate": share,
                "ci_low": share,
                "ci_high": share,
                "covered": not len(wrong),
                "n": len(truth),
                "method": "documents of the order in which both terms occur; covered if every fact's count is the planted one",
                "comment": comment,
            }
        )


def planted(context: AnalysisContext, model: str) -> pd.DataFrame:
    """The documents that a model is trained on and that name subject and object of a fact: ``fact_id, step``, one row each.

    They are the planted statements, and random canaries that happen to hold both names.
    """
    told, copies = context.truth("fact_exposures"), context.truth("canary_exposures")
    told = told.loc[told["form"].isin(MET), ["fact_id", "row"]]
    if context.stimuli is not None and "canaries" in context.stimuli:
        facts = context.stimuli.loc[context.stimuli["form"].isin(TOLD), ["fact_id", "canaries"]].drop_duplicates("fact_id")
        by_chance = facts.assign(canary_id=facts["canaries"].str.split()).explode("canary_id").dropna(subset=["canary_id"])
        told = pd.concat([told, by_chance.merge(copies, on="canary_id")[["fact_id", "row"]]], ignore_index=True)
    own = context.suite.model(model)
    spans = list(context.history.get(model, [(own.order or "", 0)]))
    ends = [*(start for _, start in spans[1:]), np.inf]
    parts = []
    for (name, start), end in zip(spans, ends, strict=True):
        order = context.suite.orders[name]
        place = (order.rows or 0) - 1 - told["row"] if order.reversed else told["row"]
        step = place // own.rows_per_step
        parts.append(told.assign(step=step).loc[(step >= start) & (step < end), ["fact_id", "step"]])
    return pd.concat(parts, ignore_index=True)


def _notes(counted: pd.DataFrame, planted_world: bool, arithmetic: bool, found: Findings) -> None:
    found.note(
        "Frequency is counted in the rows that a checkpoint has seen: of a fact, the documents in which subject and object both occur; "
        f"the {LOG_ODDS} is that per unit of log10(1 + count). Right is the candidate that gains most from the prompt (adjusted, see the "
        "accuracy of facts), in the form seen in training."
    )
    found.note("A model that is trained on from another one's checkpoint has slopes, but no claims: most of its training is the other's.")
    if (counted["stderr"] > 0).any():
        found.note(
            "Counts are scaled up from a sample of rows; their error is not carried into the slopes, which it makes a little flatter."
        )
    if not planted_world:
        found.note(
            "How often a fact is told goes with how well known its subject and object are and with much else that training does not deal "
            "at random, so these slopes are associations."
        )
    if planted_world and not arithmetic:
        found.note("No arithmetic is asked: models of this suite are too small to calculate, and its corpus holds few numbers in prose.")
