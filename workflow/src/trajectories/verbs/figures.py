"""``trajectories figures EXPERIMENT``: draw an experiment's figures.

Needs: trajectories/, claims/, calibration/ and recovery/<experiment>.parquet, and the further tables that `analyse` wrote beside the first.
Makes: figures/<experiment>/<name>.svg for print, and figures/<experiment>.json (specifications and captions for the report), written last.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from trajectories import experiments, tables
from trajectories.figures import Figure, FigureContext, theme
from trajectories.figures.files import specification, svg
from trajectories.progress import Progress
from trajectories.provenance import provenance

if TYPE_CHECKING:
    from trajectories.cli import Machine
    from trajectories.layout import Layout
    from trajectories.recipes import Settings

PACKAGES = ("altair", "vl-convert-python", "pandas", "pyarrow")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def run(settings: Settings, layout: Layout, machine: Machine, experiment: str) -> None:
    """Draw every figure of one experiment, and remove those that it no longer draws.

    Raises:
        UserError: a table of the experiment is absent or damaged.
        ValueError: two figures share a name, or a name is no plain file name.
    """
    context, inputs = _context(settings, layout, experiment)
    figures = [*experiments.part(experiment, "figures")(context)]
    figures += [figure for figure in common(context) if figure.name not in {own.name for own in figures}]
    names = [figure.name for figure in figures]
    wrong = [name for name in names if not NAME.fullmatch(name) or names.count(name) > 1]
    if wrong:
        raise ValueError(f"{experiment}: figure names should be plain and unique, found {wrong}")
    record = provenance(settings, layout, "figures", inputs, PACKAGES, targets={"experiment": experiment})
    folder, manifest = layout.figures(experiment), layout.figures_json(experiment)
    manifest.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    with Progress(f"drawing {experiment}", total=len(figures), unit="figure") as progress:
        for figure in figures:
            spec = specification(figure.chart)
            still = spec if figure.static is None else specification(figure.static)
            tables.write_text(folder / f"{figure.name}.svg", svg(still, figure.title, figure.caption, record))
            entries.append(
                {"name": figure.name, "title": figure.title, "caption": figure.caption, "steps_axis": figure.steps_axis, "spec": spec}
            )
            progress.update(1)
    for stale in folder.glob("*.svg"):
        if stale.stem not in names:
            stale.unlink()
    content = {"experiment": experiment, "provenance": record, "figures": entries}
    tables.write_text(manifest, json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def common(context: FigureContext) -> list[Figure]:
    """The figures that every experiment has, as far as it has the tables; one that draws a figure of that name itself replaces it."""
    found = []
    decided = context.claims[(context.claims["role"] == "primary") & context.claims["estimate"].notna()]
    if len(decided):
        models = theme.model_order(context.trajectories) if len(context.trajectories) else None
        text = (
            "Effect and interval of every primary claim, coloured by verdict; the grey zone holds effects too small to matter. "
            "A claim is supported where the whole interval lies beyond the zone in the predicted direction, "
            "and refuted where the whole interval stays short of that."
        )
        found.append(Figure("claims", "Primary claims", text, theme.forest(decided, models)))
    if len(context.calibration):
        text = (
            "How often each verdict falls on simulated data, by the true effect; dashes mark the margin and a share of 5 %. "
            "A sound decision says ‘supported’ at most 5 % of the time below the margin, and ‘refuted’ at most 5 % above it."
        )
        found.append(Figure("calibration", "How the decisions behave on simulated data", text, theme.calibration(context.calibration)))
    if len(context.recovery):
        text = "Planted parameters against their estimates with intervals; where training did what was planted, points lie on the diagonal."
        found.append(Figure("recovery", "Planted truth and its estimates", text, theme.recovery(context.recovery)))
    return found


def _context(settings: Settings, layout: Layout, experiment: str) -> tuple[FigureContext, list[Path]]:
    """What the experiment may look at, and the list of files read, which grows when it asks for further tables."""
    paths = {kind: getattr(layout, kind)(experiment) for kind in ("trajectories", "claims", "calibration", "recovery")}
    inputs = list(paths.values())

    def extra(name: str) -> pd.DataFrame:
        path = layout.trajectories(f"{experiment}.{name}")
        if not path.exists():
            raise KeyError(f"{experiment}: `analyse` wrote no table called '{name}'")
        if path not in inputs:
            inputs.append(path)
        return tables.read_table(path)

    context = FigureContext(
        suite=settings.suite,
        settings=experiments.settings(experiment, "figures", settings.section),
        extra=extra,
        **{kind: tables.read_table(path) for kind, path in paths.items()},
    )
    return context, inputs
