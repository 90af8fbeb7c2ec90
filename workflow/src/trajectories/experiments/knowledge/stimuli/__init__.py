"""What ``knowledge`` shows to every checkpoint, part by part."""

from __future__ import annotations

from trajectories.stimuli import Measure, Stimuli, StimuliContext, joined


def stimuli(context: StimuliContext) -> Stimuli:
    """The items of every part that the suite can serve."""
    parts: dict[str, Stimuli] = {}
    return joined(parts, [Measure("logprob")])
