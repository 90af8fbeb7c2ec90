"""``trajectories report``: write the one file to read, and all claims as JSON.

Needs: audit.parquet; trajectories/, claims/, calibration/, recovery/<experiment>.parquet and figures/<experiment>.json of every experiment;
       stimuli/<experiment>.parquet where there are stimuli.
Makes: claims.json (a list) and report.html (self-contained; opens offline).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trajectories import tables
from trajectories.report import content, page, words

if TYPE_CHECKING:
    from trajectories.cli import Machine
    from trajectories.layout import Layout
    from trajectories.recipes import Settings


def run(settings: Settings, layout: Layout, machine: Machine) -> None:
    """Write ``claims.json`` and ``report.html``.

    Raises:
        UserError: a table or a figure file is absent or damaged.
    """
    gathered = content.gather(settings, layout)
    figures: dict[str, dict[str, Any]] = {
        f"{experiment}-{figure['name']}": figure
        for experiment in settings.extra["experiments"]
        for figure in tables.read_json(layout.figures_json(experiment))["figures"]
    }
    html = page.render(gathered, figures)
    tables.write_json(layout.claims_json, words.claims_json(content.all_claims(settings, layout)))
    tables.write_text(layout.report, html)
