"""Further tables of the analysis, which are only there where a part had something to say."""

from __future__ import annotations

import pandas as pd

from trajectories.figures import FigureContext


def extra(context: FigureContext, name: str) -> pd.DataFrame:
    """A further table by its name; without rows and columns where the analysis wrote none."""
    try:
        return context.extra(name)  # noqa: S610 (a table's name, no SQL)
    except KeyError:
        return pd.DataFrame()
