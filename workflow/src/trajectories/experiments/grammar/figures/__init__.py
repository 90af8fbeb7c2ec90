"""What ``grammar`` draws, set by set of pairs."""

from __future__ import annotations

import pandas as pd

from trajectories.experiments.grammar.figures import accuracy, likeness, order, shapes
from trajectories.figures import Figure, FigureContext, theme

TITLES = {"blimp": "BLiMP", "planted": "planted pairs", "planted-seen": "planted pairs seen in training"}


def figures(context: FigureContext) -> list[Figure]:
    """The figures of every set of pairs, at most as many sets as the settings allow."""
    table = context.trajectories[context.trajectories["metric"] == "accuracy"]
    found = []
    for setting in [str(s) for s in dict.fromkeys(table["setting"])][: context.settings.sets]:
        name, own = TITLES.get(setting, setting), table[table["setting"] == setting]
        found += accuracy.figures(setting, name, own)
        timed = _of(context, "acquisition", setting, "midway")
        if setting.endswith("-seen") or timed.empty:
            continue
        sizes = own[own["model"].isin(timed["model"])].drop_duplicates("model")
        found.append(order.acquisition(setting, name, timed, sizes))
        judged = _of(context, "agreement", setting, "midway")
        if len(judged) and judged["rho"].notna().any():
            found.append(order.agreement(setting, name, judged, _of(context, "concordance", setting, "midway"), theme.model_order(sizes)))
        found += shapes.falls(setting, name, _of(context, "shapes", setting), own)
        found += shapes.transitions(setting, name, _of(context, "transitions", setting), sizes)
        found += shapes.dimensions(setting, name, _of(context, "dimensions", setting), _of(context, "sigmoids", setting), sizes)
        found += likeness.figures(setting, name, context.trajectories)
    return found


def _of(context: FigureContext, name: str, setting: str, criterion: str | None = None) -> pd.DataFrame:
    """The rows of a further table on one set of pairs (and criterion); without rows where there is no such table."""
    table = context.optional(name)
    if table.empty:
        return table
    kept = table["setting"] == setting
    return table[kept & (table["criterion"] == criterion)] if criterion else table[kept]
