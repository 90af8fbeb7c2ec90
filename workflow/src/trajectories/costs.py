"""What a run costs: jobs, bytes to download, disk, hours of extraction; from configuration, suite, and results if there are any."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from trajectories import config, experiments, tables
from trajectories.config import Resolved
from trajectories.extraction.measures import layers_of, stored
from trajectories.extraction.requests import Request
from trajectories.hub.files import weights_of
from trajectories.hub.probes import WINDOWS
from trajectories.layout import Layout
from trajectories.resources import weights_gb
from trajectories.suites import FOLDER

AT_ONCE = 3
"""Checkpoints whose weights one extraction has on the disk at most: the one that is measured, and two fetched ahead."""
PEAK = 312e12
"""Floating-point operations a second of an NVIDIA A100 in half precision, dense, at most (NVIDIA's data sheet)."""


def outputs(resolved: Resolved) -> Iterator[tuple[str, Path]]:
    """Every job of the workflow: its rule and the output that is written last."""
    layout, wanted = Layout(resolved.root), resolved.experiments
    chosen = [m.name for m in resolved.models]
    if resolved.suite.source == "published":
        yield from (("published", layout.published(name)) for name in chosen)
    else:
        yield from _before_measuring(resolved, layout)
        for name in chosen:
            for step in resolved.steps(name):
                yield from (("extract", layout.measurement(name, step, experiment)) for experiment in wanted)
    yield from (("audit", layout.audit(name)) for name in chosen)
    yield "audit_all", layout.audit()
    yield from (("analyse", layout.trajectories(experiment)) for experiment in wanted)
    yield from (("figures", layout.figures_json(experiment)) for experiment in wanted)
    yield "report", layout.report


def _before_measuring(resolved: Resolved, layout: Layout) -> Iterator[tuple[str, Path]]:
    """Checkpoints, orders, stimuli and counts."""
    suite, trained = resolved.suite, resolved.suite.source == "trained"
    if trained:
        yield "corpus", layout.corpus / "corpus.json"
        for model in suite.models:
            if model in resolved.models or model.name in _parents(resolved):
                yield "train", layout.checkpoint(model.name, model.all_steps[-1]) / "checkpoint.json"
    for name, order in suite.orders.items():
        if trained or order.repository:
            yield "order", layout.order(name) / "order.json"
    for experiment in resolved.experiments:
        yield "stimuli", layout.stimuli(experiment)
        yield from (("count", layout.counts(order, experiment)) for order in resolved.counted(experiment))
    for model in resolved.models if not trained else ():
        yield from (("fetch", layout.checkpoint(model.name, step) / "checkpoint.json") for step in resolved.steps(model.name))


def _parents(resolved: Resolved) -> set[str]:
    """The models that the chosen ones branch from, however far back."""
    found: set[str] = set()
    todo = [m.parent for m in resolved.models if m.parent]
    while todo:
        name = todo.pop()
        found.add(name)
        parent = resolved.suite.model(name).parent
        todo += [parent] if parent and parent not in found else []
    return found


def jobs(resolved: Resolved) -> pd.DataFrame:
    """``rule, jobs, there``: how many jobs there are, and of how many the output is there (which a change may yet have outdated)."""
    found: dict[str, list[bool]] = {}
    for rule, path in outputs(resolved):
        found.setdefault(rule, []).append(path.exists())
    return pd.DataFrame([{"rule": rule, "jobs": len(there), "there": sum(there)} for rule, there in found.items()])


@dataclass(frozen=True)
class Weights:
    """The weights of one checkpoint: bytes, files to be fetched and those of weights, and whether the audit or the suite's facts say so."""

    model: str
    step: int
    size: int
    files: int
    shards: int
    audited: bool

    @property
    def requests(self) -> int:
        """How often the Hub and its storage are asked: the list of files, some windows of each file of weights, and each file, where an
        address is asked for first."""
        return 1 + 2 * self.shards + max(WINDOWS, self.shards) + 2 * self.files


def weights(resolved: Resolved) -> list[Weights]:
    """The checkpoints on the Hub; those that the audit found missing are left out, and content that two share counts twice."""
    if resolved.suite.source != "hub":
        return []
    layout, found = Layout(resolved.root), []
    for model in resolved.models:
        stated = round(weights_gb(model.parameters_total, model.dtype) * 1e9)
        known = {}
        if layout.audit(model.name).is_file():
            table = tables.read_table(layout.audit(model.name), ["step", "status", "files"])
            known = {int(r.step): (r.status, json.loads(r.files)) for r in table.itertuples()}  # type: ignore[arg-type, call-overload]
        for step in resolved.steps(model.name):
            status, files = known.get(step, ("", {}))
            if status == "missing":
                continue
            size = sum(int(f["size"]) for f in files.values())
            # without the audit: the file of weights, configuration and tokenizer
            shards = len(weights_of(files)) or 1
            found.append(Weights(model.name, step, size or stated, len(files) or 3, shards, bool(files)))
    return found


def peak(resolved: Resolved, found: list[Weights]) -> int:
    """Most bytes of weights on the disk at once, if one extraction runs at a time."""
    sizes = sorted((w.size for w in found), reverse=True)
    c = resolved.config
    if c.keep_checkpoints and c.weights_disk_gb is None:
        return sum(sizes)
    most = max((AT_ONCE * s for s in sizes[:1]), default=0)
    return min(most, sum(sizes), *([int(c.weights_disk_gb * 1e9)] if c.weights_disk_gb is not None else []))


def sampled(resolved: Resolved) -> tuple[int, int]:
    """Bytes of the rows of remote orders whose exposures are told, 0 while none are chosen; and bytes read at most to count terms."""
    layout, suite = Layout(resolved.root), resolved.suite
    rows: set[tuple[str, int]] = set()
    counted = 0
    for experiment in resolved.experiments if suite.source == "hub" else ():
        if layout.exposures(experiment).is_file():
            table = tables.read_table(layout.exposures(experiment), ["order", "row"])
            rows |= set(zip(table["order"], table["row"], strict=True))
        for name in resolved.counted(experiment):
            order = suite.orders[name]
            counted += 2 * min(resolved.config.count_tokens, (order.rows or 10**12) * order.row_tokens)
    return sum(2 * suite.orders[order].row_tokens for order, _ in rows), counted


def tokens(layout: Layout, experiment: str) -> int | None:
    """Tokens that a checkpoint is shown, None while the stimuli are not chosen."""
    path = layout.stimuli(experiment)
    if not path.is_file():
        return None
    return int(pc.sum(pc.list_value_length(tables.read_arrow(path, ["input_ids"])["input_ids"])).as_py() or 0)


def measured_seconds(resolved: Resolved) -> pd.DataFrame:
    """``model, parameters, checkpoints, seconds, device``: extraction as it was timed here; seconds are summed over checkpoints."""
    layout, found = Layout(resolved.root), []
    for model in resolved.suite.models:
        folder = layout.root / "benchmarks" / "extract" / model.name
        times, steps, device = 0.0, set(), None
        for step, path in [(s, path) for s in model.all_steps for path in (folder / f"step{s}").glob("*.tsv")]:
            table = layout.measurement(model.name, step, path.stem)
            if table.is_file():
                times += float(pd.read_csv(path, sep="\t", na_values="-")["s"].iloc[-1])
                steps.add(step)
                if device is None:
                    record = tables.provenance(table).get("extraction", {})
                    device = record.get("device_name") or record.get("device")
        if device:
            row = {"model": model.name, "parameters": model.parameters_total, "checkpoints": len(steps), "seconds": times}
            found.append({**row, "device": "processor" if device == "cpu" else device})
    return pd.DataFrame(found, columns=["model", "parameters", "checkpoints", "seconds", "device"])


def hours(resolved: Resolved, timed: pd.DataFrame) -> float:
    """Hours of extraction that are still to come, at the speed of the model itself or, scaled by parameters, of the nearest in size."""
    total = 0.0
    layout = Layout(resolved.root)
    for model in resolved.models:
        left = sum(
            not all(layout.measurement(model.name, step, e).is_file() for e in resolved.experiments) for step in resolved.steps(model.name)
        )
        nearest = timed.iloc[(timed["parameters"].astype(float) / model.parameters_total).map(lambda r: abs(math.log(r))).argmin()]
        scale = 1.0 if nearest["model"] == model.name else model.parameters_total / nearest["parameters"]
        total += left * scale * nearest["seconds"] / nearest["checkpoints"] / 3600
    return total


def hidden_states(resolved: Resolved) -> int | None:
    """Bytes of the hidden states of all checkpoints, None while stimuli are not chosen."""
    layout, total = Layout(resolved.root), 0
    for experiment in resolved.experiments:
        if not layout.stimuli(experiment).is_file():
            return None
        request = Request.read(layout, experiment)
        if request.plan.hidden is None or request.items.positions is None:
            continue
        for model in resolved.models:
            layers = len(layers_of(model.layers, request.plan.hidden.layers))
            numbers = request.items.positions.size * layers * model.width * len(resolved.steps(model.name))
            total += numbers * stored(resolved.dtype(model.name)).itemsize
    return total


def tables_of_checkpoint(resolved: Resolved) -> tuple[float, int]:
    """Bytes that a checkpoint's tables of measurements take on average, with their copy in the store, and how many checkpoints say so."""
    folders = (Layout(resolved.root).root / "measurements").glob("*/step*")
    sizes = [2 * sum(p.stat().st_size for p in folder.glob("*.parquet")) for folder in folders]
    return (sum(sizes) / len(sizes), len(sizes)) if sizes else (0.0, 0)


def size(count: float) -> str:
    """Bytes as a person reads them, to two or three digits."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}" if count < 999.5 * scale else f"{count / scale:,.0f} {unit}"
    return f"{count / 1e3:.3g} kB"


def suites_table() -> str:
    """What a run over each whole suite takes, with all experiments that it can serve, as a Markdown table."""
    lines = [
        "| suite | models | checkpoints | jobs | weights to download | hours at 1 Gbit/s | disk for weights, not kept |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for name in sorted(path.stem for path in FOLDER.glob("*.yaml")):
        run = config.resolve({"suite": name, "experiments": experiments.known(), "keep_checkpoints": False})
        count = sum(len(run.steps(m.name)) for m in run.models)
        total = int(jobs(run)["jobs"].sum())
        found = weights(run)
        download = sum(w.size for w in found)
        cells = [size(download), f"{download * 8 / 1e9 / 3600:.2g}", size(peak(run, found))] if found else ["", "", ""]
        lines.append(f"| `{name}` | {len(run.models)} | {count:,} | {total:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
