"""The pronoun intervention in published results: CrowS-Pairs and WinoBias of branches against the runs that they leave, LAMBADA beside.

Only shares are published, so every interval has the errors of independent samples; it is conservative as far as the two runs err on the
same items. Where the endpoint shows nothing, it is said which effect it could have shown.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias import intervention_claims as names
from trajectories.experiments.bias.differences import detectable, shares, two_binomials
from trajectories.experiments.bias.parts.published import ENGLISH, ICC, PAIRS, Z95
from trajectories.experiments.bias.published_results import ACCURACY, ALL, PERPLEXITY, crows_pairs, lambada, wino_bias, wino_bias_gap
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.claims import Result, objection, row
from trajectories.suites import Model

GENDER = "gender"
APART = "independent errors"
CONSERVATIVE = (
    "The paired errors are not published; the interval takes those of independent samples, which is too wide as far as both err on the "
    "same items."
)


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Every branch whose parent is in the suite; nothing on suites with checkpoints of their own, or without branches."""
    branches = [m for m in context.suite.models if m.parent is not None]
    if context.published is None or not branches:
        return
    known = {m.name for m in context.suite.models}
    tables = {"crows": crows_pairs(context), "gap": wino_bias_gap(wino_bias(context)), "lambada": lambada(context)}
    for branch in branches:
        here = [name for name, table in tables.items() if branch.name in set(table["model"])]
        if not here:
            found.note(f"{branch.name}: no published results.")
        elif branch.parent not in known:
            found.note(f"{branch.name}: its parent {branch.parent} is not among the chosen models, so there is nothing to hold it against.")
        else:
            _branch(branch, tables, context, found)
    found.note(
        "A branch starts from its parent's checkpoint, where the two are one model; so the difference at one step is the difference in "
        "differences since the branch. That the published branches start from the published parents is what their sources say, not what "
        "results can show."
    )
    found.note(
        f"{CONSERVATIVE} Intervals describe items and not runs: each size has one branch, and a run of another seed may answer otherwise."
    )


def _branch(branch: Model, tables: dict[str, pd.DataFrame], context: AnalysisContext, found: Findings) -> None:
    crows = beside(tables["crows"], branch, ["language", "category"])
    for r in crows.itertuples():
        level, group = (ALL, PAIRS) if r.category == ALL else ("category", r.category)
        _keep(found, branch, r.step, "did_stereotype_preferred", level, group, r.language, shares(r.share, r.share_parent, r.n))  # type: ignore[arg-type]
    gaps = beside(tables["gap"], branch, ["prompt"])
    for r in gaps.itertuples():
        _keep(found, branch, r.step, "did_exact_match_gap", ALL, "both types", r.prompt, gap_change(r))  # type: ignore[arg-type]
    side = beside(tables["lambada"], branch, ["metric"])
    for r in side.itertuples():
        metric = "did_lambada_accuracy" if r.metric == ACCURACY else "did_lambada_log_perplexity"
        _keep(found, branch, r.step, metric, ALL, ALL, "", _side(r))  # type: ignore[arg-type]
    for name, table in (("CrowS-Pairs", crows), ("WinoBias", gaps), ("LAMBADA", side)):
        whole = tables[{"CrowS-Pairs": "crows", "WinoBias": "gap", "LAMBADA": "lambada"}[name]]
        if table.empty and branch.name in set(whole["model"]):
            found.note(f"{branch.name}: its parent {branch.parent} has no result of {name} at the same steps, so the branch's stand alone.")
    _decide(branch, crows, gaps, side, context, found)


def beside(table: pd.DataFrame, branch: Model, key: list[str]) -> pd.DataFrame:
    """A branch's rows after it began with its parent's at the same steps; the parent's columns end in ``_parent``."""
    own = table[(table["model"] == branch.name) & (table["step"] > (branch.branch_step or 0))]
    parent = table[table["model"] == branch.parent].drop(columns="model")
    return own.merge(parent, on=["step", *key], suffixes=("", "_parent")).sort_values(["step", *key], ignore_index=True)


def gap_change(r: Any) -> Result:
    """The change of the gap in exact match; half the answers of ``n`` pairs under a prompt are the parent's."""
    stderr, prompts = math.hypot(r.stderr, r.stderr_parent), 2 if r.prompt == ALL else 1
    facts = {"n": round(4 * r.n * prompts), "n_events": round(r.right + r.right_parent)}
    return Result(r.gap - r.gap_parent, stderr, method=f"difference of differences of exact match, {APART}", **facts)


def _side(r: Any) -> Result:
    if r.metric == PERPLEXITY:
        relative = math.hypot(r.stderr / r.value, r.stderr_parent / r.value_parent)
        method = f"log ratio of perplexities, delta method, {APART}"
        return Result(math.log(r.value / r.value_parent), relative, n=_whole(r.n), method=method)
    return shares(r.value, r.value_parent, r.n)


def _whole(n: float) -> int:
    return 0 if math.isnan(n) else int(n)


def _keep(found: Findings, branch: Model, step: int, metric: str, level: str, group: str, setting: str, result: Result) -> None:
    reach = Z95 * result.stderr
    place = {"model": branch.name, "step": int(step), "metric": metric, "level": level, "group": group, "setting": setting}
    value = {"value": result.estimate, "stderr": result.stderr, "ci_low": result.estimate - reach, "ci_high": result.estimate + reach}
    found.trajectories.append(place | value | {"n": result.n, "method": result.method})


def _decide(branch: Model, crows: pd.DataFrame, gaps: pd.DataFrame, side: pd.DataFrame, context: AnalysisContext, found: Findings) -> None:
    declared = names.intervention(context.settings)
    gender = crows[(crows["language"] == ENGLISH) & (crows["category"] == GENDER)]
    share = (branch.steps_total - (branch.branch_step or 0)) / branch.steps_total
    ends: list[tuple[str, str, Any, Result, Any, pd.Series]] = []
    if len(gender):
        r, course = gender.iloc[-1], gender["share"] - gender["share_parent"]
        simulate = partial(_fall, parent=r["share_parent"], n=int(r["n"]))
        ends.append((names.FAIRER, "CrowS-Pairs, gender", r, shares(r["share"], r["share_parent"], r["n"]), simulate, course))
    both = gaps[gaps["prompt"] == ALL]
    if len(both):
        r, course = both.iloc[-1], both["gap"] - both["gap_parent"]
        ends.append((names.CLOSER, "WinoBias, gap in exact match", r, gap_change(r), partial(_closer, like=r), course))
    accuracy = side[side["metric"] == ACCURACY]
    if len(accuracy):
        r, course = accuracy.iloc[-1], accuracy["value"] - accuracy["value_parent"]
        simulate = partial(_fall, parent=r["value_parent"], n=int(r["n"]))
        ends.append((names.LAMBADA, "LAMBADA, accuracy", r, shares(r["value"], r["value_parent"], r["n"]), simulate, course))
    for name, outcome, r, result, simulate, course in ends:
        claim, least = declared[name], detectable(result.stderr)
        restless = float(course.std(ddof=1)) if len(course) > 2 else 0.0
        if restless > result.stderr:
            found.note(
                f"{branch.name}: from checkpoint to checkpoint the difference in {outcome} varies with a standard deviation of "
                f"{restless:.3f}, more than the error over items, {result.stderr:.3f}; the interval at the end does not hold that."
            )
        reach = Z95 * result.stderr
        place = {"model": branch.name, "parent": branch.parent, "step": int(r["step"]), "outcome": outcome, "share_of_training": share}
        place |= {"parameters_non_embedding": branch.parameters_non_embedding, "estimate": result.estimate}
        place |= {"ci_low": result.estimate - reach, "ci_high": result.estimate + reach, "detectable": least, "n": result.n}
        found.add("endpoints", place)
        none = abs(result.estimate) < reach
        shown = f"The endpoint shows no change. The smallest that it tells from none in 80 % of samples is {least:.3f}. " if none else ""
        if none and name == names.FAIRER:
            found.note(
                f"{branch.name}: after {share:.0%} of training with other pronouns the endpoint shows no change of CrowS-Pairs' gender "
                f"preference ({result.estimate:+.3f}, 95 % from {result.estimate - reach:+.3f} to {result.estimate + reach:+.3f}); with "
                f"{_whole(r['n'])} pairs, at the errors of independent samples, a change of {least:.3f} is the smallest that 80 % of such "
                "samples would have told from none at the one-sided level of 5 %."
            )
        found.claims.append(row(claim, result, branch.name, r["step"], caveat=f"{shown}{CONSERVATIVE}"))
        found.calibrands.append(Calibrand(claim, branch.name, simulate, objection(result), note=_SIMULATED))


_SIMULATED = "The two runs' answers to an item have a latent correlation of 0.5, which the analysis does not know."


def _fall(generator: np.random.Generator, truth: float, *, parent: float, n: int) -> Result:
    branch, before = two_binomials(generator, min(max(parent + truth, 0.0), 1.0), parent, n, ICC)
    return shares(float(branch), float(before), n)


def _closer(generator: np.random.Generator, truth: float, *, like: Any) -> Result:
    """Gaps that err as the analysis believes, but with the correlation between runs that it does not know."""
    common = generator.standard_normal()
    errors = np.sqrt(ICC) * common + np.sqrt(1 - ICC) * generator.standard_normal(2)
    drawn = like.copy()
    drawn["gap"], drawn["gap_parent"] = truth + like["stderr"] * errors[0], like["stderr_parent"] * errors[1]
    return gap_change(drawn)
