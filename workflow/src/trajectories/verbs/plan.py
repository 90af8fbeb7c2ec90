"""``trajectories plan``: what the configured run costs and could tell, and the sample that its claims would take; no rule calls it.

Needs: nothing but configuration and suite; sizes come from ``audit/``, speed from ``benchmarks/``, measured rates and design effects from
       ``claims/`` and ``trajectories/`` where they are.
Makes: nothing; it prints the costs, then one table for each experiment that has a plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from trajectories import costs, experiments, tables
from trajectories.layout import Layout
from trajectories.plans import Plan, PlanContext

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
    yield from _costs(resolved, layout)
    for experiment in resolved.experiments:
        if resolved.suite.source == "published":
            yield f"\n{experiment}: published results are read whole, so there is no sample to choose."
            continue
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


def _costs(resolved: Resolved, layout: Layout) -> Iterator[str]:
    """Jobs, network, disk and time."""
    jobs = costs.jobs(resolved)
    total = pd.DataFrame([{"rule": "all", "jobs": jobs["jobs"].sum(), "there": jobs["there"].sum()}])
    shown = pd.concat([jobs, total]).rename(columns={"there": "output is there"})
    yield f"\n{Plan(shown.map(lambda v: v if isinstance(v, str) else f'{v:,}')).text()}\n"
    found = costs.weights(resolved)
    if found:
        yield from _network(resolved, found)
    if resolved.suite.source != "published":
        yield _measurements(resolved)
        yield from _time(resolved, layout)


def _network(resolved: Resolved, found: list[costs.Weights]) -> Iterator[str]:
    config = resolved.config
    download, largest = sum(w.size for w in found), max(w.size for w in found)
    audited = sum(w.audited for w in found)
    known = "as the audit lists them" if audited == len(found) else f"parameters × precision, for {len(found) - audited:,} not yet audited"
    requests = len(resolved.models) + sum(w.requests for w in found)
    yield f"Weights to download: {costs.size(download)} ({known}), with some {requests:,} requests, those of the audit included."
    rows, counted = costs.sampled(resolved)
    sample = (
        f"{costs.size(rows)} of rows" if rows else "the rows of experiments' stimuli (not chosen yet; a row of 2,049 tokens takes 4 kB)"
    )
    yield f"Training orders: {sample}, and {costs.size(counted)} at most to count terms. Public data sets are not counted here."
    keeping = "all of it is kept; set 'weights_disk_gb' or 'keep_checkpoints: false' to need less"
    if config.weights_disk_gb is not None:
        keeping = f"'weights_disk_gb' is {config.weights_disk_gb:g}, the largest checkpoint takes {costs.size(largest)}"
        if largest > config.weights_disk_gb * 1e9:
            keeping += ", which is more: raise it"
    elif not config.keep_checkpoints:
        keeping = f"{costs.AT_ONCE} of the largest checkpoints, for each extraction that runs at a time"
    yield f"Disk for weights at its peak: {costs.size(costs.peak(resolved, found))} ({keeping})."


def _measurements(resolved: Resolved) -> str:
    states = costs.hidden_states(resolved)
    shown = "hidden states as the stimuli ask for them (not chosen yet)" if states is None else f"{costs.size(states)} of hidden states"
    each, looked = costs.tables_of_checkpoint(resolved)
    if not looked:
        return f"Disk for measurements: {shown}, and tables, whose size one measured checkpoint tells."
    size = costs.size(each * sum(len(resolved.steps(m.name)) for m in resolved.models))
    return f"Disk for measurements: {shown}, and {size} of tables, as the {looked:,} checkpoints here take {costs.size(each)} each."


def _time(resolved: Resolved, layout: Layout) -> Iterator[str]:
    shown = {e: costs.tokens(layout, e) for e in resolved.experiments}
    timed = costs.measured_seconds(resolved)
    checkpoints = sum(len(resolved.steps(m.name)) for m in resolved.models)
    if len(timed):
        devices = ", ".join(sorted(set(timed["device"])))
        yield (
            f"Extraction still to do: {costs.hours(resolved, timed):.3g} hours one after another, at the speed of "
            f"{int(timed['checkpoints'].sum()):,} checkpoints timed here ({devices}), each model at its own or its neighbour's in size."
        )
        return
    if None in shown.values():
        text = (
            "Extraction: the stimuli are not chosen yet; "
            f"`snakemake --cores 2 --until stimuli --config suite={resolved.suite.name}` chooses them and reads megabytes, then plan again."
        )
    else:
        each = sum(v or 0 for v in shown.values())
        work = sum(2.0 * m.parameters_total * each * len(resolved.steps(m.name)) for m in resolved.models)
        least = work / costs.PEAK / 3600
        text = (
            f"Extraction: {each:,} tokens shown to each of {checkpoints:,} checkpoints are {work:.2g} floating-point operations; an NVIDIA "
            f"A100 at its peak ({costs.PEAK / 1e12:.0f} × 10¹² a second, data sheet) would need {least:.2g} hours, a run more."
        )
    yield f"{text} For hours as measured, run one checkpoint of each size first (with the key 'steps')."


def run(resolved: Resolved) -> None:
    """Print the plan."""
    for part in plan(resolved):
        print(part)


def _result(layout: Layout, experiment: str, name: str) -> pd.DataFrame | None:
    path = {"claims": layout.claims(experiment), "trajectories": layout.trajectories(experiment)}.get(
        name, layout.trajectories(f"{experiment}.{name}")
    )
    return tables.read_table(path) if path.is_file() else None
