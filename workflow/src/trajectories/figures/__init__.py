"""Figures: what an experiment draws, as Vega-Lite charts that serve both the static SVG and the interactive report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import altair as alt
    import pandas as pd

    from trajectories.suites import Suite


@dataclass
class Figure:
    """One figure.

    Args:
        name: file name without suffix, unique within the experiment: letters, digits, ``-`` and ``_``.
        title: a few words.
        caption: what is drawn, then one sentence that says what to see; plain text.
        chart: the Altair chart.
        steps_axis: whether its x axis is the training step (field ``step``), so that the report offers linear and logarithmic steps.
        static: the chart for the SVG, where it should differ from the interactive one (small multiples in place of a menu, for instance).
    """

    name: str
    title: str
    caption: str
    chart: alt.TopLevelMixin
    steps_axis: bool = False
    static: alt.TopLevelMixin | None = None


@dataclass(frozen=True)
class FigureContext:
    """What an experiment may look at when it draws: the analysed tables.

    Attributes:
        suite: the suite with the chosen models.
        settings: the ``figures`` part of the experiment's ``Settings``, validated.
        trajectories, claims, calibration, recovery: the tables that ``analyse`` wrote.
        extra: further tables by name, as ``Analysis.extra``; raises KeyError for one that the analysis did not write.
    """

    suite: Suite
    settings: Any
    trajectories: pd.DataFrame
    claims: pd.DataFrame
    calibration: pd.DataFrame
    recovery: pd.DataFrame
    extra: Callable[[str], pd.DataFrame] = field(repr=False)

    def optional(self, name: str) -> pd.DataFrame:
        """A further table that is only there where the analysis had something to say; without rows and columns elsewhere."""
        import pandas as pd

        try:
            return self.extra(name)  # noqa: S610 (a table's name, no SQL)
        except KeyError:
            return pd.DataFrame()
