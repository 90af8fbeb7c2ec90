"""Phase transitions: change points on two metrics and two axes, since either can make a smooth change look sharp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from trajectories.experiments.grammar.parts import Material
from trajectories.experiments.grammar.scores import Scores
from trajectories.findings import Findings
from trajectories.statistics import change_points

TABLE = "transitions"
AXES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"log tokens": np.log10, "tokens": np.asarray}
NAMED = 12
CROWD = 5
"""With so many paradigms of a model changing abruptly at once, the checkpoint is named."""


def analyse(material: Material, found: Findings) -> None:
    """Look for abrupt changes in every trajectory; table ``transitions`` with a row per place where some metric on some axis shows one."""
    settings = material.context.settings
    for setting, scores, _ in material.sets():
        long = [s for s in scores if (s.tokens > 0).sum() >= change_points.LEAST_STEPS]
        if not long:
            found.note(f"Set {setting}: no change points, which take {change_points.LEAST_STEPS} checkpoints with tokens seen.")
            continue
        rows = [row for one in long for row in _of(one, setting, settings)]
        found.add(TABLE, *rows)
        ways = [f"{metric} over {axis}" for metric in _metrics(long[0], 0) for axis in AXES]
        trajectories = sum(len(s.n) for s in long)
        rises, falls = ([r for r in rows if r["direction"] == direction] for direction in ("rise", "fall"))
        everywhere = [r for r in rises if r["ways"] == len(ways)]
        lone = {way: sum(r["shown_by"] == way for r in rises) for way in ways}
        found.note(
            f"Set {setting}, phase transitions: change points (PELT, penalty {settings.transition_penalty:g} ln(checkpoints)) in what a "
            f"sigmoid leaves whose rise takes at least {settings.smooth_rise:.0%} of the axis, with a change of at least "
            f"{settings.transition_share:.0%} of the trajectory's range from one checkpoint to the next; trajectories that span less than "
            f"{settings.least_gain:.0%} are passed over. Of {trajectories} trajectories "
            f"{len({(r['model'], r['paradigm']) for r in rises})} "
            f"have an abrupt rise ({len(rises)} places; {len(falls)} more are falls). {len(everywhere)} rises are shown by all {len(ways)} "
            f"ways of looking ({', '.join(ways)})"
            + (f": {_named(everywhere)}" if everywhere else "")
            + f". {sum(lone.values())} are shown "
            f"by one way only and depend on it: {', '.join(f'{way} {count}' for way, count in lone.items())}."
        )
        found.note(_crowded(rows, setting))
        if long[0].margin is None:
            found.note("Published results have accuracies only, so transitions on a continuous metric cannot be looked for.")


def _crowded(rows: list[dict[str, Any]], setting: str) -> str:
    """Checkpoints at which many paradigms of one model change at once."""
    counted = Counter((r["model"], r["lower_step"], r["upper_step"]) for r in rows)
    many = [(*place, count) for place, count in counted.most_common() if count >= CROWD]
    if not many:
        return f"Set {setting}: no model changes abruptly on {CROWD} paradigms or more between the same two checkpoints."
    listed = "; ".join(f"{model} between steps {lower:,} and {upper:,} ({count})" for model, lower, upper, count in many[:NAMED])
    return (
        f"Set {setting}: abrupt changes on {CROWD} paradigms or more between the same two checkpoints: {listed}. So many at once "
        "speak of the "
        "checkpoint, or of how it was measured, as much as of grammar."
    )


def _named(rows: list[dict[str, Any]]) -> str:
    rows = sorted(rows, key=lambda r: -abs(r["size"]))
    listed = ", ".join(f"{r['model']} {r['paradigm']} (steps {r['lower_step']:,} to {r['upper_step']:,})" for r in rows[:NAMED])
    return listed + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")


def _metrics(one: Scores, i: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each metric's levels and standard errors ``[steps]``."""
    level, n = one.accuracy[:, i], int(one.n[i])
    smoothed = (level * n + 1) / (n + 2)
    found = {"accuracy": (level, np.sqrt(smoothed * (1 - smoothed) / n))}
    if one.margin is not None:
        margin = one.margin[i].astype(float)
        found["log-probability margin"] = margin.mean(1), margin.std(1, ddof=1) / np.sqrt(n)
    return found


def _of(one: Scores, setting: str, settings: Any) -> Iterator[dict[str, Any]]:
    later = one.tokens > 0
    tokens, steps = one.tokens[later].astype(float), one.steps[later]
    chosen = settings.transition_penalty, settings.smooth_rise, settings.transition_share
    for i, paradigm in enumerate(one.paradigms.itertuples()):
        if np.ptp(one.accuracy[later, i]) < settings.least_gain:
            continue
        places: dict[int, dict[str, float]] = {}
        for metric, (levels, stderr) in _metrics(one, i).items():
            for axis, scale in AXES.items():
                x = scale(tokens)
                for change in change_points.changes(x, levels[later], stderr[later], *chosen):
                    near = next((p for p in places if abs(p - change.index) <= 1), change.index)
                    places.setdefault(near, {})[f"{metric} over {axis}"] = change.size
        for index, shown in sorted(places.items()):
            yield {
                "setting": setting,
                "model": one.model,
                "paradigm": paradigm.paradigm,
                "phenomenon": paradigm.phenomenon,
                "lower_step": int(steps[index - 1]),
                "upper_step": int(steps[index]),
                "tokens": float(tokens[index]),
                "before": float(one.accuracy[later][index - 1, i]),
                "after": float(one.accuracy[later][index, i]),
                "size": float(one.accuracy[later][index, i] - one.accuracy[later][index - 1, i]),
                "direction": "rise" if next(iter(shown.values())) > 0 else "fall",
                "ways": len(shown),
                "of": len(AXES) * (2 if one.margin is not None else 1),
                "shown_by": "; ".join(shown),
            }
