"""What ``knowledge`` shows to every checkpoint, part by part."""

from __future__ import annotations

from trajectories.experiments.knowledge.stimuli import arithmetic, pararel, planted
from trajectories.stimuli import Measure, Stimuli, StimuliContext, joined


def stimuli(context: StimuliContext) -> Stimuli:
    """The items of every part that the suite can serve."""
    parts: dict[str, Stimuli] = {}
    if context.has_truth:
        parts["facts"] = planted.stimuli(context)
    else:
        parts["pararel"] = pararel.stimuli(context)
        if context.settings.arithmetic.problems:
            parts["arithmetic"] = arithmetic.stimuli(context)
    measures = [
        Measure("logprob"),
        Measure("greedy"),
        Measure("lens", {"layers": "all", "rows": "lens"}),
        Measure("hidden", {"layers": context.settings.layers, "positions": "position", "rows": "probe"}),
    ]
    found = joined(parts, measures)
    for column, absent in {"lens": False, "probe": False, "position": 0}.items():  # what only some parts have
        found.table[column] = found.table[column].fillna(absent).astype(type(absent))
    return found
