"""Unlearning and U-shapes: which trajectories fall, tested over all of a set at once, and named."""

from __future__ import annotations

from typing import Any

import numpy as np

from trajectories.experiments.grammar.parts import Material
from trajectories.experiments.grammar.scores import CHANCE
from trajectories.findings import Findings
from trajectories.statistics import reversals
from trajectories.statistics.claims import ALPHA

TABLE = "shapes"
NAMED = 8
"""So many, those that fall most, are named in the note; the table has all."""


def analyse(material: Material, found: Findings) -> None:
    """Test every trajectory for falls; table ``shapes`` with a row per trajectory."""
    context = material.context
    least = context.settings.least_drop
    for setting, scores, _ in material.sets():
        errors, largest = {}, []
        for one in scores:
            if len(one.steps) < 3:
                continue
            drawn = one.replicates(context.settings.draws, context.generator(f"falls {setting} {one.model}"))
            for i, n in enumerate(one.n):
                errors[one.model, i], most = reversals.largest(one.accuracy[:, i], drawn(i), int(n))
                largest.append(most)
        if not largest:
            continue
        joint = np.max(largest, axis=0)
        critical = float(np.quantile(joint, 1 - ALPHA))
        rows = []
        for one in (s for s in scores if len(s.steps) >= 3):
            for i, paradigm in enumerate(one.paradigms.itertuples()):
                shape = reversals.reversal(one.accuracy[:, i], errors[one.model, i], critical, least)
                final = float(one.accuracy[-1, i])
                learned = CHANCE + context.settings.least_gain
                unlearned = shape.shape in (reversals.FALL, reversals.INVERTED) and one.accuracy[shape.peak, i] >= learned > final
                rows.append(
                    {
                        "setting": setting,
                        "model": one.model,
                        "paradigm": paradigm.paradigm,
                        "phenomenon": paradigm.phenomenon,
                        "shape": shape.shape,
                        "from_step": int(one.steps[shape.peak]),
                        "to_step": int(one.steps[shape.trough]),
                        "drop": shape.drop,
                        "peak": float(one.accuracy[shape.peak, i]),
                        "trough": float(one.accuracy[shape.trough, i]),
                        "final": final,
                        "unlearned": bool(unlearned),
                        "t": shape.t,
                        "critical": critical,
                        "p_adjusted": float((1 + (joint >= shape.t).sum()) / (1 + len(joint))),
                    }
                )
        found.add(TABLE, *rows)
        found.note(_said(setting, rows, critical, least))


def _said(setting: str, rows: list[dict[str, Any]], critical: float, least: float) -> str:
    named = sorted((r for r in rows if r["shape"] != reversals.NONE), key=lambda r: -r["drop"])
    test = (
        f"a fall of at least {least:.0%} between two checkpoints of more than {critical:.1f} standard errors, the critical value "
        "that 5 % of sets "
        "without any change would exceed somewhere"
    )
    if not named:
        return f"Set {setting}: none of {len(rows)} trajectories falls ({test})."
    counts = {shape: sum(r["shape"] == shape for r in named) for shape in (reversals.U_SHAPE, reversals.INVERTED, reversals.FALL)}
    gone = [r for r in named if r["unlearned"]]
    return (
        f"Set {setting}: {len(named)} of {len(rows)} trajectories fall ({test}): {counts[reversals.U_SHAPE]} fall and at the end "
        "have made up "
        f"for at least half of it (U-shape), {counts[reversals.INVERTED]} rise and fall, {counts[reversals.FALL]} only fall; "
        f"{len(gone)} are "
        f"unlearned, from above chance back to it or below. The largest falls: {_listed(named)}. "
        + (f"Unlearned: {_listed(gone)}. " if gone else "")
        + "The noise is that of the sample of pairs: a fall is one of this run on pairs like these."
    )


def _listed(rows: list[dict[str, Any]]) -> str:
    listed = "; ".join(
        f"{r['model']} {r['paradigm']} ({r['shape']}, {r['peak']:.0%} at step {r['from_step']:,} to {r['trough']:.0%} at step "
        f"{r['to_step']:,}, finally {r['final']:.0%})"
        for r in rows[:NAMED]
    )
    return listed + (f"; {len(rows) - NAMED} more in the table" if len(rows) > NAMED else "")
