"""``trajectories plan``: what the configured run could tell, and the sample that its claims would take; for people, no rule calls it.

Needs: nothing but configuration and suite; measured rates and design effects come from ``claims/`` and ``trajectories/`` where they are.
Makes: nothing; it prints one table for each experiment that has a plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from trajectories import experiments, tables
from trajectories.layout import Layout
from trajectories.plans import PlanContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trajectories.config import Resolved


def plan(resolved: Resolved) -> Iterator[str]:
    """The text of the plan, a section per experiment.

    Raises:
        UserError: a table of results is damaged.
    """
    layout = Layout(resolved.root)
    models = ", ".join(m.name for m in resolved.models)
    checkpoints = sum(len(resolved.steps(m.name)) for m in resolved.models)
    yield f"Suite {resolved.suite.name}: {checkpoints:,} checkpoints of {models}."
    for experiment in resolved.experiments:
        if not experiments.has(experiment, "plan"):
            yield f"\n{experiment}: has no plan of its own."
            continue
        context = PlanContext(
            suite=resolved.suite,
            models=resolved.models,
            steps={m.name: resolved.steps(m.name) for m in resolved.models},
            settings=getattr(resolved.config, experiment),
            result=lambda name, experiment=experiment: _result(layout, experiment, name),  # type: ignore[misc]
        )
        yield f"\n{experiment}\n"
        yield experiments.part(experiment, "plan")(context).text()
    for experiment, reason in resolved.left_out.items():
        yield f"\n{experiment}: left out, since {reason}."


def run(resolved: Resolved) -> None:
    """Print the plan."""
    for part in plan(resolved):
        print(part)


def _result(layout: Layout, experiment: str, name: str) -> pd.DataFrame | None:
    path = {"claims": layout.claims(experiment), "trajectories": layout.trajectories(experiment)}.get(
        name, layout.trajectories(f"{experiment}.{name}")
    )
    return tables.read_table(path) if path.is_file() else None
