"""Which checkpoints of a model are the same one under several names, told by hashes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from trajectories import tables
from trajectories.suites import Suite

TELLING = 20
"""Fewer published values than this may agree by chance; they are not compared."""
NOTHING_LEARNED = {0, 1}
"""Warm-up starts at learning rate zero, so one step may leave the weights as they were."""

FROZEN = 0.75
"""Share of the steps (and never fewer than three of them) above which a part that they have in common is one that training leaves alone."""


def _several(steps: Sequence[int]) -> str:
    """``step 3``, or ``steps 3, 5 and 7``; the middle of a long list is left out."""
    if len(steps) == 1:
        return f"step {steps[0]}"
    if len(steps) > 6:
        return f"{len(steps)} steps from {steps[0]} to {steps[-1]}"
    return "steps " + ", ".join(str(s) for s in steps[:-1]) + f" and {steps[-1]}"


def equal_wholes(identity: Mapping[int, str], last: int, also: Mapping[str, str] | None = None) -> dict[int, tuple[str, str]]:
    """Steps whose content another step has as well.

    Of the steps that share one content at most one is right. It is the last step of the run if that is among them (a later file may have
    been uploaded under earlier names, never the other way round); it is step 0 if only steps 0 and 1 are among them; else none can be told
    to be right, and all are ``duplicate``.

    Args:
        identity: hash of the content by step.
        last: the last step of the run.
        also: hashes known by another name than a step (the branch ``main``), told in the detail.

    Returns:
        ``(status, detail)`` by step, for the steps concerned; status is ``ok`` or ``duplicate``.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for step in sorted(identity):
        groups[identity[step]].append(step)
    found: dict[int, tuple[str, str]] = {}
    for content, steps in groups.items():
        if len(steps) == 1:
            continue
        right = last if last in steps else (0 if set(steps) <= NOTHING_LEARNED else None)
        names = [name for name, value in (also or {}).items() if value == content]
        suffix = f", and as {names[0]}" if names else ""
        for step in steps:
            others = [s for s in steps if s != step]
            detail = f"same content as {_several(others)}{suffix}"
            if right is None:
                detail += "; which of them it belongs to cannot be told"
            elif step != right:
                detail += f"; taken to belong to step {right}"
            found[step] = ("ok" if step == right else "duplicate", detail)
    return found


def equal_parts(parts: Mapping[int, Mapping[str, str]], last: int, what: str = "weight files") -> dict[int, tuple[str, str]]:
    """Steps that share some, not all, of their weight files with another step.

    The rule is that of :func:`equal_wholes`: the last step of the run keeps the file, and else nobody does. A part that is the same, under
    the same name, at every step tells nothing, since training leaves it alone (a frozen embedding); nor does one that is so at more than
    :data:`FROZEN` of the steps, or else a single wrong checkpoint, which lacks it, would accuse all the others. A part that is frozen for
    less of the run cannot be told from a copied one. Steps that are equal in all parts are left to :func:`equal_wholes`, and count as one.

    Args:
        parts: hash by file name, by step.
        last: the last step of the run.
        what: the parts, in the plural.

    Returns:
        As :func:`equal_wholes`.
    """
    holders: dict[str, list[int]] = defaultdict(list)
    for step in sorted(parts):
        for content in set(parts[step].values()):
            holders[content].append(step)
    wholes = {frozenset(own.items()) for own in parts.values()}
    common = Counter(part for whole in wholes for part in whole)
    frozen = {part for part, count in common.items() if count > max(2, FROZEN * len(wholes))}
    found: dict[int, tuple[str, str]] = {}
    for step in sorted(parts):
        mine = parts[step]
        shared = {
            name: [s for s in holders[content] if s != step and dict(parts[s]) != dict(mine)]
            for name, content in sorted(mine.items())
            if (name, content) not in frozen
        }
        shared = {name: others for name, others in shared.items() if others}
        if not shared:
            continue
        name, others = next(iter(shared.items()))
        detail = f"{len(shared)} of {len(mine)} {what} shared: {name} is also that of {_several(others)}"
        found[step] = ("ok" if step == last else "duplicate", detail)
    return found


def branch_points(suite: Suite) -> set[tuple[str | None, int | None]]:
    """Model and step that another model of the suite may rightly share: where a branch leaves its parent."""
    return {(m.name, m.branch_step) for m in suite.models} | {(m.parent, m.branch_step) for m in suite.models}


def results_of_others(results: pd.DataFrame, starts: Collection[tuple[str | None, int | None]] = ()) -> pd.DataFrame:
    """Published results that are, value by value, those of another model, which one of the two cannot have made.

    Results of one number of shots are compared by themselves, since a harness run writes them together; so a checkpoint whose results are
    another's in part is found too. Which of the two models they belong to, values do not tell: both are named.

    Args:
        results: ``model, step, task, metric, value, num_fewshot``.
        starts: of :func:`branch_points`; steps 0 and 1 may be shared by all.

    Returns:
        ``model, step, num_fewshot, other, other_step``, one row per set of results that another model has as well.
    """
    holders: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    ordered = results.assign(num_fewshot=results["num_fewshot"].fillna(0)).sort_values(["task", "metric"], kind="stable")
    for (model, step, shots), own in ordered.groupby(["model", "step", "num_fewshot"]):
        values = own["value"].map(repr)
        if int(step) in NOTHING_LEARNED or (str(model), int(step)) in starts or values.nunique() < TELLING:
            continue
        digest = tables.digest(list(zip(own["task"], own["metric"], values, strict=True)), length=64)
        holders[digest].append((str(model), int(step), int(shots)))
    rows = []
    for alike in holders.values():
        for model, step, shots in alike:
            other = next((o for o in alike if o[0] != model), None)
            if other is not None:
                rows.append((model, step, shots, other[0], other[1]))
    return pd.DataFrame(rows, columns=["model", "step", "num_fewshot", "other", "other_step"])
