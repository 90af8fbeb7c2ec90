"""Accuracy over training, as a whole, by phenomenon, and at the end."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from trajectories.figures import Figure, theme


def figures(setting: str, name: str, own: pd.DataFrame) -> list[Figure]:
    """The figures of one set of pairs; of pairs seen in training only the whole."""
    overall = own[own["level"] == "set"]
    by_phenomenon = own[own["level"] == "phenomenon"].assign(phenomenon=lambda t: t["group"].str.replace("_", " "))
    bands = "Bands are 95 % intervals over pairs; dashes mark chance."
    options: dict[str, Any] = {"percent": True, "reference": 0.5}
    found = [
        Figure(
            f"accuracy-{setting}",
            f"Accuracy on {name}",
            f"Share of minimal pairs whose grammatical sentence is the likelier one, the mean over paradigms. {bands}",
            theme.trajectory(overall, "accuracy", **options),
            steps_axis=True,
        ),
        Figure(
            f"accuracy-by-phenomenon-{setting}",
            f"Accuracy on {name} by phenomenon",
            f"The mean over each phenomenon's paradigms. {bands}",
            theme.trajectory(by_phenomenon, "accuracy", facet="phenomenon", tooltip=["phenomenon"], **options),
            steps_axis=True,
        ),
        Figure(
            f"final-accuracy-{setting}",
            f"Final accuracy on {name}",
            "Accuracy on each paradigm at each model's last sound checkpoint; below 50 %, chance, the ungrammatical sentence is preferred.",
            _final(own),
        ),
    ]
    return found[:1] if setting.endswith("-seen") else found


def _final(own: pd.DataFrame) -> alt.TopLevelMixin:
    cells = own[own["level"] == "paradigm"]
    cells = cells[cells["step"] == cells.groupby("model")["step"].transform("max")]
    order = cells.groupby("group")["value"].mean().sort_values(ascending=False).index.tolist()
    return theme.heatmap(
        cells, "model", "group", value_title="accuracy", domain=(0, 1), percent=True, sort_x=theme.model_order(cells), sort_y=order
    )
