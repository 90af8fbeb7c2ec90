"""Published results: what lm-evaluation-harness wrote about a model's checkpoints, in its old layout and in today's, as one tidy table."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from trajectories import download, tables
from trajectories.errors import UserError
from trajectories.suites import Model, Published

SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "step": pa.int64(),
        "task": pa.string(),
        "metric": pa.string(),
        "value": pa.float64(),
        "stderr": pa.float64(),
        "n": pa.int64(),
        "num_fewshot": pa.int64(),
        "file": pa.string(),
        "sha256": pa.string(),
        "layout": pa.string(),
    }
)
"""One row per result; ``step`` is the true step, ``file`` a path below the published root, ``sha256`` that of the file's bytes."""

OLD, CURRENT = "old", "current"
SHARES = ("acc", "acc_norm", "em", "exact_match", "pct_stereotype")
"""Metrics that are the share of items for which something holds: their standard error tells the number of items."""

_STEP = re.compile(r"(?<![A-Za-z0-9])(?:global_)?step_?(\d+)")
_REVISION = re.compile(r"(?:^|,)\s*revision=[^,]*?step(\d+)")


def root(published: Published, data_dir: Path | None) -> Path:
    """The folder that the models' ``published`` entries are relative to: in ``data_dir``, or downloaded at the pinned commit.

    Raises:
        UserError: the folder is not there, or the download failed or is not what the suite's digest says.
    """
    below = f"{published.repository.split('/')[1]}/{published.root}"
    if data_dir is not None:
        local = Path(data_dir) / below
        if not local.is_dir():
            raise UserError(
                f"data_dir '{data_dir}' has no folder '{below}'; copy '{published.root}' of github.com/{published.repository} there, "
                "or leave data_dir out to download it."
            )
        return local
    otherwise = f"point data_dir at a folder that holds '{below}'"

    def check(folder: Path) -> None:
        found = download.digest(folder)
        if published.digest is not None and found != published.digest:
            raise UserError(
                f"The files of github.com/{published.repository} at {published.commit[:12]} have the digest {found}, and the suite expects "
                f"{published.digest}; {otherwise}."
            )

    return download.github(published.repository, published.commit, published.root, otherwise, check)


@dataclass(frozen=True)
class Result:
    """One number of one result file; ``n`` and ``num_fewshot`` are None where the file does not say."""

    task: str
    metric: str
    value: float
    stderr: float | None
    n: int | None
    num_fewshot: int | None


@dataclass(frozen=True)
class ResultFile:
    """What a result file says: its layout, the true step, and its numbers."""

    layout: str
    step: int
    results: list[Result]


def _number(value: Any) -> float | None:
    """A number as float; OverflowError for one that is too large."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def _revision_step(arguments: Any, config: Mapping[str, Any]) -> int | None:
    """The step that the revision of a Hub model names, from the harness's ``model_args`` (text or mapping)."""
    if isinstance(arguments, str):
        found = _REVISION.search(arguments)
    else:
        text = str((arguments or {}).get("revision") or config.get("model_revision") or "")
        found = re.search(r"step(\d+)", text)
    return int(found.group(1)) if found else None


def _step(content: Mapping[str, Any], name: str, model: Model, where: str) -> int:
    """The true step: what GPT-NeoX's settings or the revision inside the file say; the file's name must agree, or is all there is."""
    config = content.get("config") or {}
    arguments = config.get("model_args")
    named = _STEP.search(name)
    in_name = int(named.group(1)) if named else None
    iteration = _whole(arguments.get("iteration")) if isinstance(arguments, Mapping) else None
    revision = _revision_step(arguments, config)
    inside = iteration if iteration is not None else revision
    if inside is None and in_name is None:
        raise UserError(f"The result file '{where}' does not say of which step it is, neither inside nor in its name.")
    if inside is not None and in_name is not None and inside != in_name:
        raise UserError(f"The result file '{where}' is named for step {in_name}, but its settings say {inside}; remove or rename it.")
    if iteration is not None or revision is None:
        return inside if inside is not None else int(in_name or 0)
    step, rest = divmod(revision, model.revision_steps_per_step)
    if rest:
        raise UserError(f"The result file '{where}' is of revision step{revision}, which is no step of {model.name}; remove it.")
    return step


def _old(content: Mapping[str, Any]) -> Iterator[Result]:
    shots = _whole((content.get("config") or {}).get("num_fewshot"))
    results = content["results"]
    if isinstance(results, list):  # prompts of one task side by side: the name of the prompt is part of the task's
        merged: dict[str, dict[str, Any]] = {}
        for entry in results:
            merged.setdefault(f"{entry['task_name']}+{entry['prompt_name']}", {}).update(entry)
        results = merged
    for task, metrics in results.items():
        for metric, value in metrics.items():
            number = _number(value)
            if number is None or metric.endswith("_stderr"):
                continue
            yield Result(task, metric, number, _number(metrics.get(f"{metric}_stderr")), None, shots)


def _current(content: Mapping[str, Any]) -> Iterator[Result]:
    shots, samples = content.get("n-shot") or {}, content.get("n-samples") or {}
    for task, metrics in content["results"].items():
        counted = samples.get(task) or {}
        n = _whole(counted.get("effective") if isinstance(counted, Mapping) else counted)
        for key, value in metrics.items():
            metric, comma, chosen = key.partition(",")
            number = _number(value)
            if not comma or number is None or metric.endswith("_stderr"):
                continue
            name = metric if chosen == "none" else key
            yield Result(task, name, number, _number(metrics.get(f"{metric}_stderr,{chosen}")), n, _whole(shots.get(task)))


def read_file(path: Path, model: Model, where: str | None = None) -> ResultFile:
    """Read one result file of lm-evaluation-harness.

    Args:
        path: a JSON file: in the layout that EleutherAI's Pythia results have (``results[task]["acc"]``), or in today's
            (``results[task]["acc,none"]``, ``n-samples``, ``n-shot``).
        model: whose results they are; its ``revision_steps_per_step`` turns a revision's step into the true one.
        where: how a complaint names the file.

    Raises:
        UserError: the file is no result file, or its step is not told or told in two ways.
    """
    where = where or str(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        results = content["results"]
        current = not isinstance(results, list) and ("n-samples" in content or any("," in key for m in results.values() for key in m))
        numbers = list(_current(content) if current else _old(content))
        for number in numbers:
            f"{number.task} {number.metric}".encode()  # JSON can spell characters that no file can hold
        step = _step(content, path.name, model, where)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"'{where}' is no result file of lm-evaluation-harness ({type(error).__name__}: {error}); remove it or copy it again."
        ) from error
    return ResultFile(CURRENT if current else OLD, step, numbers)


def items(value: float, stderr: float | None) -> int | None:
    """The number of items behind a share, from its standard error.

    The harness divides the sample variance, v(1-v)·n/(n-1), by n; so n = v(1-v)/stderr² + 1. None where that is no whole number, as for a
    metric that is no share, and where the share is 0 or 1.
    """
    if stderr is None or not stderr > 0 or not 0 < value < 1:
        return None
    n = value * (1 - value) / stderr**2 + 1
    return round(n) if math.isclose(n, round(n), rel_tol=1e-6, abs_tol=1e-3) else None


def _with_items(table: pd.DataFrame, known: Mapping[str, int]) -> pd.DataFrame:
    """Fill in ``n`` of shares where the files do not say it: as all standard errors of a task agree, else (all 0 or 1) as is ``known``."""
    table = table.copy()
    share = table["metric"].isin(SHARES) & table["n"].isna()
    derived = pd.Series([items(v, s) for v, s in zip(table["value"], table["stderr"], strict=True)], index=table.index, dtype="Int64")
    derived = derived.where(share)
    extreme = share & table["value"].isin([0.0, 1.0])
    for (task, *_), group in table[share].groupby(["task", "metric", "num_fewshot"], dropna=False):
        found = derived[group.index]
        agreed = list(found.dropna().unique())
        if not (found.notna() | extreme[group.index]).all():
            continue
        agreed = agreed or [number for pattern, number in known.items() if fnmatchcase(task, pattern)][:1]
        if len(agreed) == 1:
            table.loc[group.index, "n"] = agreed[0]
    return table


@dataclass
class Collected:
    """A model's published results.

    Attributes:
        table: rows of :data:`SCHEMA`, ascending by step, then task, metric and shots.
        files: the files read.
        missing: entries of the model's ``published`` that have no file.
        notes: what was left out and why, one sentence each.
    """

    table: pd.DataFrame
    files: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _files(entry: str, root: Path) -> list[Path]:
    found = root.glob(entry) if "*" in entry else (root / entry).rglob("*.json")
    return sorted(p for p in found if p.is_file() and p.suffix == ".json")


def _repeated(model: str, here: str, there: str, names: Mapping[str, float]) -> str:
    """One sentence on files of a folder whose results stand already in earlier files; ``names`` to the largest relative difference."""
    equal, most = sum(1 for difference in names.values() if difference == 0), max(names.values())
    which = f"{len(names)} files, such as '{next(iter(names))}'," if len(names) > 1 else f"the file '{next(iter(names))}'"
    values = "all values are equal" if most == 0 else f"{equal} of {len(names)} are equal and values differ by up to {100 * most:.2g} %"
    verb = "repeat" if len(names) > 1 else "repeats"
    place = "an earlier file" if here == there else f"those in '{there}'"
    return f"{model}: in '{here}', {which} {verb} results of {place}; {values}; the earlier are taken."


def collect(model: Model, root: Path, items: Mapping[str, int] | None = None) -> Collected:
    """Read all published results of a model.

    Files are read in the order of the model's entries, then by name; where two files hold the same task, metric and number of shots of one
    step, the first is taken and the other noted. Results at steps that the suite does not list are noted and left out.

    Args:
        model: a model with ``published`` entries.
        root: what they are relative to (:func:`root`).
        items: number of items by pattern of a task's name, for tasks whose results do not tell it (:class:`Published`).
    """
    steps = set(model.all_steps)
    rows: dict[tuple[int, str, str, int | None], dict[str, Any]] = {}
    repeats: dict[tuple[str, str], dict[str, float]] = {}
    found = Collected(pd.DataFrame())
    for entry in model.published:
        files = _files(entry, root)
        if not files:
            found.missing.append(entry)
            found.notes.append(f"{model.name}: no published results in '{entry}'.")
        for path in files:
            name = path.relative_to(root).as_posix()
            read = read_file(path, model, name)
            found.files.append(path)
            if read.step not in steps:
                found.notes.append(f"{model.name}: '{name}' is of step {read.step}, which the suite does not list; left out.")
                continue
            common = {"model": model.name, "step": read.step, "file": name, "sha256": tables.sha256(path), "layout": read.layout}
            apart: dict[str, float] = {}
            for r in read.results:
                first = rows.setdefault((read.step, r.task, r.metric, r.num_fewshot), {**asdict(r), **common})
                if first["file"] != name:
                    scale = max(abs(first["value"]), abs(r.value)) or 1.0
                    apart[first["file"]] = max(apart.get(first["file"], 0.0), abs(first["value"] - r.value) / scale)
            for other, most in apart.items():
                repeats.setdefault((str(Path(name).parent), str(Path(other).parent)), {})[Path(name).name] = most
    found.notes += [_repeated(model.name, here, there, names) for (here, there), names in repeats.items()]
    table = pd.DataFrame(rows.values(), columns=SCHEMA.names).astype({"n": "Int64", "num_fewshot": "Int64"})
    found.table = _with_items(table, items or {}).sort_values(["step", "task", "metric", "num_fewshot"], ignore_index=True)
    return found
