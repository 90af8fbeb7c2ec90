"""Which checkpoints of a model are the same one under several names, told by hashes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

NOTHING_LEARNED = {0, 1}
"""Warm-up starts at learning rate zero, so one step may leave the weights as they were."""


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


def equal_parts(parts: Mapping[int, Mapping[str, str]], last: int) -> dict[int, tuple[str, str]]:
    """Steps that share some, not all, of their weight files with another step.

    The rule is that of :func:`equal_wholes`: the last step of the run keeps the file, and else nobody does.

    Args:
        parts: hash by file name, by step.
        last: the last step of the run.

    Returns:
        As :func:`equal_wholes`.
    """
    holders: dict[str, list[int]] = defaultdict(list)
    for step in sorted(parts):
        for content in set(parts[step].values()):
            holders[content].append(step)
    found: dict[int, tuple[str, str]] = {}
    for step in sorted(parts):
        mine = parts[step]
        shared = {
            name: [s for s in holders[content] if s != step and dict(parts[s]) != dict(mine)] for name, content in sorted(mine.items())
        }
        shared = {name: others for name, others in shared.items() if others}
        if not shared:
            continue
        name, others = next(iter(shared.items()))
        detail = f"{len(shared)} of {len(mine)} weight files shared: {name} is also that of {_several(others)}"
        found[step] = ("ok" if step == last else "duplicate", detail)
    return found
