"""Recite, reconstruct, recollect over training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from trajectories.experiments.memorization.figures.common import primary_window
from trajectories.experiments.memorization.settings import CATEGORIES
from trajectories.figures import Figure, FigureContext, theme


def figures(context: FigureContext) -> list[Figure]:
    """How the memorized rows divide over training, and how much of each category is memorized; none where hardly anything is memorized."""
    table = primary_window(context.trajectories)
    table = table[table["level"] == "taxonomy"]
    table = table.assign(group=pd.Categorical(table["group"], list(CATEGORIES), ordered=True)).sort_values("group", kind="stable")
    table["group"] = table["group"].astype(str)
    divided, memorized = (table[table["metric"] == metric] for metric in ("composition", "extractable"))
    if divided.empty:
        return []
    look: dict[str, Any] = {"facet": "group", "columns": 3, "width": 190, "percent": True}
    return [
        Figure(
            "taxonomy",
            "Recited, reconstructed, recollected",
            "How the memorized rows divide: recited ones have many copies in the order, reconstructed ones repeat or count on, recollected "
            "ones are the rest; bands are 95 % intervals. Only what is recollected is memory of a text that was met a few times.",
            theme.trajectory(divided, "share of memorized rows", **look),
            steps_axis=True,
        ),
        Figure(
            "taxonomy-extractable",
            "How much of each kind is memorized",
            "Share of the rows seen so far, memorized or not, of which greedy decoding gives the scored tokens, by what kind of memory it "
            "would take; bands are 95 % intervals. Where recollection stays at zero, copies and templates explain all memorization.",
            theme.trajectory(memorized, "extractable", **look),
            steps_axis=True,
        ),
    ]
