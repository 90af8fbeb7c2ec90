"""What ``bias`` shows to every checkpoint, part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trajectories.errors import UserError
from trajectories.experiments.bias.stimuli import crows_pairs, occupations, recognition, text, winobias, winogender
from trajectories.stimuli import Measure, Stimuli, StimuliContext, joined

SETS: dict[str, Callable[[StimuliContext], Stimuli]] = {
    "occupations": occupations.stimuli,
    "crows_pairs": crows_pairs.stimuli,
    "winobias": winobias.stimuli,
    "winogender": winogender.stimuli,
}


def stimuli(context: StimuliContext) -> Stimuli:
    """The items of every part that the suite can serve.

    Raises:
        UserError: planted occupations are asked for on a suite without planted truth.
    """
    sets = context.settings.sets
    if sets == "auto":
        sets = ["occupations"] if context.has_truth else ["crows_pairs", "winobias", "winogender"]
    if "occupations" in sets and not context.has_truth:
        raise UserError(f"Suite '{context.suite.name}' has no planted occupations; leave 'occupations' out of bias.stimuli.sets.")
    parts = {name: SETS[name](context) for name in dict.fromkeys(sets)}
    asked = recognition.stimuli(context, sets)
    if len(asked.table):
        parts["recognition"] = asked
    unseen = text.stimuli(context)
    if len(unseen.table):
        parts["text"] = unseen
    measures = [Measure("logprob")]
    if any(one.table["probe"].any() for one in parts.values()):
        measures.append(Measure("hidden", {"layers": layers(context), "positions": "last", "rows": "probe"}))
    made = joined(parts, measures)
    read = layers(context)
    made.table["layers"] = read if isinstance(read, str) else ",".join(map(str, read))
    if context.has_truth and "crows_pairs" not in sets:
        made.notes.append(
            "The public sets (CrowS-Pairs, WinoBias, WinoGender) are not shown to this suite: its models have read some million tokens, "
            "mostly documentation, and would tell noise. The planted occupations take their place."
        )
    return made


def layers(context: StimuliContext) -> Any:
    """The layers that the probe reads, as the measure ``hidden`` wants them."""
    if context.settings.layers == "auto":
        return "all" if context.has_truth else [3, -3, -1]
    return context.settings.layers
