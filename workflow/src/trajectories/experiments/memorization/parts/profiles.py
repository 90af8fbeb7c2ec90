"""Causal profiles: what a row's exposure does at once, later, and at the end, by when it was seen (Lesci et al. 2024, ACL).

A cohort is the rows first seen between two checkpoints. Its effect is the change of its log-probability since the checkpoint before, less
the change of rows that are not seen (:mod:`trajectories.statistics.staggered`). The profile tells position from recency: at the first
checkpoint after exposure a row is as old as the *lag*, which depends on how far apart checkpoints are and not on how much training follows.
The slope of the *instantaneous* effect over cohorts is therefore that of place, learning rate and lag (which a variant holds fixed); what
the slope of the *residual* effect has beyond it is forgetting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from trajectories.analysis import AnalysisContext
from trajectories.experiments.memorization.cohorts import NO_CONTROLS, Design, designs
from trajectories.experiments.memorization.hypotheses import undecidable
from trajectories.experiments.memorization.profile_claims import BEFORE, DRIFT, SLOPES, claims
from trajectories.experiments.memorization.run import Run
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.findings import Calibrand, Findings, Simulation
from trajectories.statistics.claims import ALPHA, MIN_EVENTS, Claim, Result, objection, p_values, row
from trajectories.statistics.intervals import t_interval
from trajectories.statistics.staggered import aggregate, shares

WITH_COPIES = "with copies, by the first"
REPEATED = "Rows first seen early have had more time to be seen again, so this slope is one of repetition too."
OUTCOMES = ("logprob", "score", "memorized")
FAMILIES = ("instantaneous", "persistent", "residual", "kept")
Z = float(special.ndtri(0.975))


def analyse(run: Run, context: AnalysisContext, found: Findings) -> None:
    """Tables ``profiles`` and ``profile_effects``, and the claims, of one model."""
    settings: AnalyseSettings = context.settings
    never, not_yet = (designs(run, settings.profiles, control) for control in ("never", "not-yet"))  # type: ignore[arg-type]
    main = never if never and never[0].horizon is not None else not_yet
    if main is None or main[0].horizon is None:
        found.note(f"{run.model.name}: there is no profile by cohort: {NO_CONTROLS}.")
        return
    design, index = main
    other_copies = "first" if settings.profiles.copies == "excluded" else "excluded"
    variants: dict[str, Design] = {"": design}
    if main is never and not_yet and not_yet[0].horizon is not None:
        variants["not-yet-seen controls"] = not_yet[0]
    otherwise = designs(run, settings.profiles, design.panel.control, other_copies)
    if otherwise and otherwise[0].horizon is not None:
        variants[WITH_COPIES if other_copies == "first" else "rows seen once"] = otherwise[0]
    for name, variant in variants.items():
        _tabulate(run, name or "primary", "logprob", variant, context, found, cells=not name)
    for outcome in OUTCOMES[1:]:
        values = run.outcomes[outcome][index].astype(float) if outcome in run.outcomes else np.zeros((len(index), 1))
        events = int((values > 0).any(axis=1).sum())
        if events >= MIN_EVENTS:
            _tabulate(run, "primary", outcome, design.of(values), context, found)
        elif outcome in run.outcomes:
            found.note(f"Profiles of {run.model.name}: {outcome} is not shown, since only {events} of the rows ever have it above 0.")
    _claim(run, variants, settings, found)
    _over_time(run, design, settings.recency_window, found)
    _describe(run, design, found)


def _claim(run: Run, variants: dict[str, Design], settings: AnalyseSettings, found: Findings) -> None:
    declared, window = claims(settings), settings.recency_window

    def add(claim: str, design: Design, result: Result, group: str = "", caveat: str = "") -> None:
        step = run.steps[-1 if design.horizon is None else design.horizon]
        repeated = group == WITH_COPIES or (settings.profiles.copies == "first" and group != "rows seen once")
        said = " ".join(filter(None, (caveat, undecidable(declared[claim], result), REPEATED if repeated else "")))
        found.claims.append(row(declared[claim], result, run.model.name, int(step), group, caveat=said))

    for name, design in variants.items():
        drift = design.slope("before", window)
        for claim, what in SLOPES.items():
            add(claim, design, design.slope(what, window), name, _drifting(declared[DRIFT], drift))
        add(BEFORE, design, design.before(), name)
        add(DRIFT, design, drift, name)
    design = variants[""]
    add("late-cohorts-likelier", design, design.slope("residual", window, simple=True), "simple difference of means")
    drifting = _drifting(declared[DRIFT], design.slope("before", window))
    add("late-cohorts-likelier", design, design.slope("residual", 0.0), "recency window included", drifting)
    add("late-cohorts-learn-more", design, design.slope("instantaneous", window, given_lag=True), "given the lag", drifting)
    if run.model.parent is None:
        found.calibrands.append(
            Calibrand(
                declared["late-cohorts-likelier"],
                run.model.name,
                simulation(design, window),
                objection(design.slope("residual", window)),
                note="Clusters of rows, controls included, are drawn again; the real slope of the residual effect is taken out and a known "
                "one put in, at the checkpoint that is judged.",
            )
        )


def _drifting(claim: Claim, drift: Result) -> str:
    """What a slope over cohorts should add where one before exposure is not ruled out, or nothing."""
    if not drift.finite or p_values(claim, drift)[1] < ALPHA:
        return ""
    return (
        f"Before exposure already the slope over cohorts is {drift.estimate:+.2f} ({drift.ci_low:+.2f} to {drift.ci_high:+.2f}), so that "
        "cohorts moving alike without exposure, on which this rests, is not vouched for."
    )


def simulation(design: Design, window: float) -> Simulation:
    """The slope of the residual effect on samples of known truth: (generator, true slope in standard deviations) → result."""
    horizon = design.horizon or 0
    labels = np.unique(design.panel.clusters, return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    ends = np.cumsum(sizes)
    last = max(int(design.steps[horizon]) * design.rows_per_step - 1, 1)
    place = np.where(design.row <= last, np.nan_to_num(design.row), 0.0) / last
    seen = design.row <= last
    y = np.array(design.panel.y, dtype=float)
    y[:, horizon] -= design.slope("residual", window).estimate * design.unit * place
    spread = np.cov(y[seen, horizon], place[seen])

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        picked = generator.integers(0, len(sizes), len(sizes))
        many = sizes[picked]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        rows = order[np.repeat((ends - sizes)[picked], many) + within]
        planted = y[rows]
        slope = truth * math.sqrt(spread[0, 0])
        for _ in range(5):  # the standard deviation, which is the unit, grows with the slope
            slope = truth * math.sqrt(spread[0, 0] + 2 * slope * spread[0, 1] + slope**2 * spread[1, 1])
        planted[:, horizon] += slope * place[rows]
        return design.resampled(rows, np.repeat(np.arange(len(picked)), many), planted).slope("residual", window)

    return simulate


def _over_time(run: Run, design: Design, window: float, found: Findings) -> None:
    """Trajectory of the residual effect's slope: the last checkpoint's question at every one."""
    for t in range(1, len(run.steps)):
        seen = replace(design, until=t)
        if seen.horizon == t and objection(result := seen.slope("residual", window)) is None:
            low, high = t_interval(result.estimate, result.stderr, result.df)
            place = {
                "model": run.model.name,
                "step": int(run.steps[t]),
                "metric": "slope_residual",
                "level": "cohorts",
                "group": "residual",
            }
            slope = {"value": result.estimate, "stderr": result.stderr, "ci_low": low, "ci_high": high, "n": result.n}
            found.trajectories.append(place | slope | {"setting": str(run.window), "method": result.method})


def _tabulate(run: Run, variant: str, outcome: str, design: Design, context: AnalysisContext, found: Findings, cells: bool = False) -> None:
    panel = design.panel
    generator = context.generator(f"profiles {run.model.name} {variant} {outcome}")
    effects, differences = panel.replicates(context.settings.profiles.draws, generator)
    place = {"model": run.model.name, "outcome": outcome, "variant": variant, "control": panel.control, "unit": design.unit}
    if cells:
        found.add("profiles", *(place | r for r in _cells(design, effects, differences)))
    estimators = {"difference-in-differences": (panel.effects(), effects), "difference of means": (panel.differences(), differences)}
    for family, entries in _sums(design).items():
        for estimator, (values, moved) in estimators.items():
            if estimator == "difference of means" and family not in (*FAMILIES, "all cohorts"):
                continue  # before exposure, and pooled over time, it compares nothing but content
            sums = aggregate(values, moved, np.stack([weights for _, weights in entries]))
            for i, (facts, weights) in enumerate(entries):
                estimate, stderr = float(sums.estimate[i]), float(sums.stderr[i])
                reach = sums.critical * stderr
                found.add(
                    "profile_effects",
                    place
                    | {"family": family, "estimator": estimator, **facts, "estimate": estimate, "stderr": stderr}
                    | {"ci_low": estimate - Z * stderr, "ci_high": estimate + Z * stderr}
                    | {"band_low": estimate - reach, "band_high": estimate + reach}
                    | {"n": int(panel.counts[:-1][(weights != 0).any(axis=1)].sum())},
                )


def _sums(design: Design) -> dict[str, list[tuple[dict[str, Any], np.ndarray]]]:
    """Which weighted sums of effects are shown, by family: (what one is about, its weights [h, t])."""
    sizes, first, steps = design.panel.sizes[:-1], design.panel.cohorts.first, design.steps
    own, columns = np.arange(len(first))[:, None], np.arange(len(steps))[None]
    parts = {what: design.chosen(what) for what in (*FAMILIES[:3], "after")}
    older = (parts["residual"].any(axis=1) & parts["instantaneous"].any(axis=1) & (first < (design.horizon or 0)))[:, None]

    def about(weights: np.ndarray, **facts: Any) -> tuple[dict[str, Any], np.ndarray]:
        after = np.maximum(weights, 0) if (weights > 0).any() else weights
        return {"lag": float((after * np.where(after > 0, design.lag, 0.0)).sum() / after.sum()), **facts}, weights

    def weighted(family: str, mask: np.ndarray) -> np.ndarray:
        if family != "kept":
            return shares(parts[family] & mask, sizes)
        return shares(parts["residual"] & older & mask, sizes) - shares(parts["instantaneous"] & older & mask, sizes)

    found: dict[str, list[tuple[dict[str, Any], np.ndarray]]] = {"all cohorts": []}
    for family in FAMILIES:
        each = [(weighted(family, own == h), int(h)) for h in range(len(first))]
        entries = [about(w, cohort=int(steps[first[h]]), position=float(design.position[h])) for w, h in each if w.any()]
        if entries:
            found[family] = entries
            found["all cohorts"].append(about(weighted(family, own >= 0), group=family))
    event = np.where(design.usable, design.panel.event, np.nan)
    found["event"] = [about(shares(event == e, sizes), event=int(e)) for e in np.unique(event[~np.isnan(event)]) if e != -1]
    known = np.flatnonzero(parts["after"].any(axis=0))
    found["calendar"] = [about(shares(parts["after"] & (columns == t), sizes), step=int(steps[t])) for t in known]
    return {family: entries for family, entries in found.items() if entries}


def _cells(design: Design, effects: np.ndarray, differences: np.ndarray) -> Iterator[dict[str, Any]]:
    """Every effect by cohort and checkpoint, with pointwise intervals and the band that holds all of them at once."""
    panel, steps = design.panel, design.steps
    values, plain = panel.effects(), panel.differences()
    stderr, plain_stderr = effects.std(axis=0, ddof=1), differences.std(axis=0, ddof=1)
    shown = design.usable & (panel.event != -1) & (stderr > 0)
    critical = float(np.quantile(np.max(np.abs(effects[:, shown]) / stderr[shown], axis=1), 0.95)) if shown.any() else math.nan
    for h, t in zip(*np.nonzero(shown), strict=True):
        reach = Z * float(stderr[h, t])
        yield {
            "cohort": int(steps[panel.cohorts.first[h]]),
            "since": int(steps[panel.cohorts.base[h]]),
            "position": float(design.position[h]),
            "step": int(steps[t]),
            "event": int(panel.event[h, t]),
            "lag": float(design.lag[h, t]),
            "estimate": float(values[h, t]),
            "stderr": float(stderr[h, t]),
            "ci_low": float(values[h, t]) - reach,
            "ci_high": float(values[h, t]) + reach,
            "band_low": float(values[h, t] - critical * stderr[h, t]),
            "band_high": float(values[h, t] + critical * stderr[h, t]),
            "difference": float(plain[h, t]),
            "difference_stderr": float(plain_stderr[h, t]),
            "n": int(panel.counts[h]),
            "n_controls": int(panel.n_controls[h, t]),
        }


def _describe(run: Run, design: Design, found: Findings) -> None:
    """What the profile rests on, in words."""
    panel, own = design.panel, design.panel.cohorts
    horizon = int(design.steps[design.horizon or 0])
    found.note(
        "Profiles: a cohort is the rows first seen between two checkpoints; its effect is the change of its log-probability since the "
        "checkpoint before, less that of the control rows (Callaway and Sant'Anna 2021, without covariates). The time of exposure is known "
        "to the step, but the effect is first measured at the next checkpoint: the instantaneous effect is an average over rows that were "
        "seen between one step and a whole interval before it, the mean of which the tables give as lag."
    )
    found.note(
        f"Profiles: in a shuffled order rows of all cohorts and their controls would move alike but for exposure. {BEFORE} tests that of "
        f"the mean over cohorts and {DRIFT} of the slope over them, both before exposure and as means over the checkpoints before it; a "
        "drift that went on would be larger at the last checkpoint. The units of inference are rows and batches of one run: what would "
        "differ in another run is not in the intervals."
    )
    found.note(
        "Profiles tell position from recency: at the first checkpoint after exposure a row is as old as its lag, however much training "
        "follows, so a slope of the instantaneous effect over cohorts is one of place, learning rate or lag; what the slope of the "
        "residual effect has beyond it is forgetting."
    )
    joined = int((own.first - own.base > 1).sum())
    said = f"{run.model.name}: {int(panel.counts[:-1].sum()):,} rows in {len(own.base)} cohorts"
    said += f", {joined} of them over joined intervals (fewer than the wanted rows in each)" if joined else ""
    said += f"; {design.left_out:,} rows were seen before the first checkpoint and are left out" if design.left_out else ""
    lag = design.lag[np.arange(len(own.first)), own.first]
    said += f". Mean steps from exposure to the first checkpoint after it: {lag.min():.0f} to {lag.max():.0f} "
    said += f"({run.model.tokens_per_step * lag.min():,.0f} to {run.model.tokens_per_step * lag.max():,.0f} tokens)."
    found.note(f"Profiles of {said}")
    if panel.control == "not-yet":
        found.note(
            f"Profiles of {run.model.name}: without never-seen rows there is no effect at the last checkpoint, where no row is left to "
            f"compare with; 'residual' means at step {horizon:,}, the last with enough rows that are not yet seen."
        )


def compare(runs: Sequence[Run], context: AnalysisContext, found: Findings) -> None:
    """The profile's slope beside that of the order regression and of the simple difference of means."""

    def slope(model: str, claim: str, group: str = "") -> str | None:
        rows = [r["result"] for r in found.claims if (r["model"], r["claim"].id, r["group"]) == (model, claim, group)]
        return f"{rows[0].estimate:.2f} ({rows[0].ci_low:.2f} to {rows[0].ci_high:.2f})" if rows and rows[0].finite else None

    for run in runs:
        name = run.model.name
        across, within, at_once, kept = (slope(name, claim) for claim in ("late-rows-likelier", *SLOPES))
        plain = slope(name, "late-cohorts-likelier", "simple difference of means")
        if within and at_once and kept:
            found.note(
                f"{name}, profile, in standard deviations from the first to the last row (90 % intervals): the residual effect changes by "
                f"{within}, of which {at_once} at once (place, learning rate or lag) and {kept} since (forgetting)."
            )
        given = slope(name, "late-cohorts-learn-more", "given the lag")
        if at_once and given:
            found.note(
                f"{name}, profile: rows of some cohorts wait longer for their first checkpoint than those of others. The slope of the "
                f"instantaneous effect is {at_once}; with the lag as a covariate it is {given}."
            )
        _controls(name, context.settings.shift_margin, found)
        if across and within and plain and run.model.parent is None:  # the profile of a branch is that of its own rows alone
            found.note(
                f"{name}: the same slope by the order regression, which controls content by what is known of the text: {across}; by the "
                f"profile, which controls it by each row's own past: {within}; by the difference of means, which does not: {plain}."
            )


def _controls(model: str, margin: float, found: Findings) -> None:
    """How far the slopes with one kind of controls lie from those with the other."""
    of = {(r["claim"].id, r["group"]): r for r in found.claims if r["model"] == model}
    said, step = [], None
    for claim, what in SLOPES.items():
        one, other = of.get((claim, "")), of.get((claim, "not-yet-seen controls"))
        if one and other and one["result"].finite and other["result"].finite:
            apart = other["result"].estimate - one["result"].estimate
            said.append(
                f"{what} {one['result'].estimate:+.2f} and {other['result'].estimate:+.2f}, {abs(apart) / margin:.1f} margins apart"
            )
            step = other["step"]
    if said:
        found.note(
            f"{model}, profile: slopes with never-seen controls and with not-yet-seen controls (at step {step:,}, the last that has enough "
            f"of them): {'; '.join(said)}. What they differ by is in none of the intervals."
        )
