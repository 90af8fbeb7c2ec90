"""Which branches and tags of a repository are training steps, told by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

# `step1000`, `step1000-tokens4B`, `stage1-step1000-tokens5B`, `stage2-ingredient1-step1000-tokens3B`, `checkpoint-1000`, `global_step1000`
_STEP = re.compile(
    r"(?P<before>.*?)(?P<word>global[-_]?step|step|checkpoint|ckpt|iteration|iter)[-_]?(?P<step>\d{1,12})"
    r"(?:[-_]tokens?[-_]?\d+(?:\.\d+)?[KMBT]?)?(?P<after>[-_].*)?",
    re.IGNORECASE,
)
_ALMOST_ALL = 0.9


def stages(names: Sequence[str]) -> dict[str, dict[int, str]]:
    """The step-like names among the branches and tags of a repository, by stage.

    Names that differ in the step alone (and in the tokens seen, ``tokens5B``) are one stage: ``stage1-step1000-tokens5B`` is step 1000 of
    ``stage1``, ``checkpoint-1000`` step 1000 of a stage without a name.

    Args:
        names: of all branches and tags.

    Returns:
        Stage to step to name; the stage with the most steps first. Of two names of one step in one stage the first in the alphabet counts.
    """
    found: dict[tuple[str, str], dict[int, str]] = {}
    for name in sorted(names):
        match = _STEP.fullmatch(name)
        if match is not None:
            key = ((match["before"] + (match["after"] or "")).strip("-_./"), match["word"].lower())
            found.setdefault(key, {}).setdefault(int(match["step"]), name)
    words = Counter(stage for stage, _ in found)
    named = {
        (stage if words[stage] == 1 else f"{stage} {word}".strip()): dict(sorted(steps.items())) for (stage, word), steps in found.items()
    }
    return dict(sorted(named.items(), key=lambda item: (-len(item[1]), item[0])))


def gaps(steps: Sequence[int]) -> list[int]:
    """Steps that are absent where nearly all others follow one another at one distance.

    Args:
        steps: ascending.

    Returns:
        The absent ones; none unless nine of ten steps of the regular stretch are there.
    """
    distances = Counter(b - a for a, b in pairwise(steps))
    if not distances:
        return []
    every, count = distances.most_common(1)[0]
    on_grid = [s for s in steps if s % every == steps[-1] % every and s > 0]
    first = next((a for a, b in pairwise(steps) if b - a == every), steps[-1])
    expected = range(first, on_grid[-1] + 1, every) if on_grid else range(0)
    absent = sorted(set(expected) - set(steps))
    return absent if count >= 3 and len(expected) - len(absent) >= _ALMOST_ALL * len(expected) else []


def shared_by_stages(identity: Mapping[str, Mapping[int, str]]) -> dict[tuple[str, int], str]:
    """Checkpoints whose content another stage has as well, although neither starts with it.

    A stage may rightly start from any checkpoint of another one, which then stands in both.

    Args:
        identity: hash of the content by stage and step.

    Returns:
        ``(stage, step)`` to what it shares.
    """
    holders: dict[str, list[tuple[str, int]]] = {}
    for stage, steps in identity.items():
        for step in sorted(steps):
            holders.setdefault(steps[step], []).append((stage, step))
    starts = {(stage, min(steps)) for stage, steps in identity.items() if steps}
    found = {}
    for alike in holders.values():
        if len({stage for stage, _ in alike}) > 1 and not starts & set(alike):
            for stage, step in alike:
                other = next(o for o in alike if o[0] != stage)
                found[stage, step] = f"same content as step {other[1]} of '{other[0]}'"
    return found
