"""What the figures of several parts share."""

from __future__ import annotations

import altair as alt
import pandas as pd


def primary_window(table: pd.DataFrame) -> pd.DataFrame:
    """The trajectories of the window that decides, which the analysis writes first."""
    settings = [s for s in dict.fromkeys(table["setting"]) if s]
    return table[table["setting"].isin(settings[:1])]


def place(column: str, title: str = "place among the rows seen") -> alt.X:
    """The axis of places in the training order: 0 is the first row seen, 1 the last."""
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f")
    return alt.X(f"{column}:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)
