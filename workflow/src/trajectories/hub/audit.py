"""The audit: which checkpoints (or results) of a model are there, what they are by hash, and which are not what their name says."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from trajectories import row_lists, tables
from trajectories.errors import UserError
from trajectories.hub.branches import gaps, shared_by_stages, stages
from trajectories.hub.continuity import Sample, out_of_line
from trajectories.hub.duplicates import NOTHING_LEARNED, TELLING, branch_points, equal_parts, equal_wholes
from trajectories.hub.files import Choice, choose, weights_of, weights_sha256
from trajectories.hub.probes import Probe, Read, Shapes, Unlike, Unreadable
from trajectories.layout import Layout
from trajectories.progress import Progress
from trajectories.suites import Model, Suite

READERS = 4
"""Revisions that are asked for at the same time."""
Source = tuple[Read, dict[str, int]]
"""How to read from a checkpoint's files, and their sizes by name."""

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("step", pa.int64()),
        ("revision", pa.string()),
        ("commit", pa.string()),
        ("sha256", pa.string()),
        ("status", pa.string()),
        ("detail", pa.string()),
        ("files", pa.string()),
    ]
)
"""``sha256`` identifies the weights (:func:`trajectories.hub.files.weights_sha256`) or the published values; ``files`` is JSON by name."""


def _row(model: str, step: int, **values: Any) -> dict[str, Any]:
    empty = {"revision": None, "commit": None, "sha256": None, "status": "ok", "detail": "", "files": "{}"}
    return {"model": model, "step": step, **empty, **values}


def _joined(*details: str) -> str:
    return "; ".join(detail for detail in details if detail)


def _judge(
    rows: list[dict[str, Any]],
    model: Model,
    *findings: Mapping[int, tuple[str, str]],
    trusted: tuple[str, ...],
    sources: Mapping[int, Source] | None = None,
) -> pd.DataFrame:
    """The table: what was found by hash, then by tensors, then what the suite knows of the kinds that neither shows (``trusted``)."""
    _apply(rows, *findings)
    if sources is not None:
        sound = {row["step"] for row in rows if row["status"] == "ok"}
        _apply(rows, _tensor_findings(model.name, {s: source for s, source in sources.items() if s in sound}, model.all_steps[-1]))
    for row in rows:
        for anomaly in model.anomalies:
            if row["status"] == "ok" and anomaly.kind in trusted and (anomaly.expanded is None or row["step"] in anomaly.expanded):
                # a result that is another model's is that model's twice
                row["status"] = "duplicate" if anomaly.kind == "contaminated" else anomaly.kind
                row["detail"] = _joined(row["detail"], f"{anomaly.detail.rstrip('.')} ({anomaly.source})")
    return pd.DataFrame(rows, columns=SCHEMA.names).sort_values("step", ignore_index=True)


def _apply(rows: list[dict[str, Any]], *findings: Mapping[int, tuple[str, str]]) -> None:
    """Let the first finding on a sound checkpoint decide on it."""
    for row in rows:
        found = next((found[row["step"]] for found in findings if row["step"] in found), None)
        if row["status"] == "ok" and found is not None:
            row["status"], row["detail"] = found[0], _joined(row["detail"], found[1])


def _weight_findings(last: int, weights: Mapping[int, Mapping[str, str]], main: str | None = None) -> list[dict[int, tuple[str, str]]]:
    identity = {step: weights_sha256(digests) for step, digests in weights.items()}
    return [equal_wholes(identity, last, {"the branch main": main} if main else None), equal_parts(weights, last)]


def _read(name: str, probe: Probe, sources: Mapping[int, Source]) -> tuple[dict[int, Sample | tuple[str, str]], dict[int, Shapes]]:
    """What a probe reads of each checkpoint, or what is wrong with it; and the shapes of those that have others than the probe's."""
    unlike: dict[int, Shapes] = {}
    with Progress(f"reading tensors of {name}", total=len(sources), unit="checkpoint") as progress, ThreadPoolExecutor(READERS) as pool:

        def sample(step: int) -> Sample | tuple[str, str]:
            try:
                return probe.sample(step, *sources[step])
            except Unlike as error:
                unlike[step] = error.shapes
                return "discontinuous", str(error)
            except Unreadable as error:
                return "missing", f"weights that cannot be read: {error}"
            finally:
                progress.update()

        return dict(zip(sources, pool.map(sample, sources), strict=True)), unlike


def _tensor_findings(name: str, sources: Mapping[int, Source], last: int) -> dict[int, tuple[str, str]]:
    """What a few tensors tell of the checkpoints that hashes found sound; the last one that can be read chooses the slices.

    Where more of the checkpoints have other shapes, all alike, than have that one's, it is the odd one: the last of those chooses anew, and
    all are read again. This happens once at most, so nothing asks more than twice for what a sound run costs.

    Equal matrices are one content, whatever else stands in their files; vectors (layer norms) may rightly stay as they were, and so may a
    part whose matrices training leaves alone, as :func:`trajectories.hub.duplicates.equal_parts` knows it.
    """
    found: dict[int, tuple[str, str]] = {}
    probe: Probe | None = None
    if len(sources) < 3:
        return found
    todo = dict(sorted(sources.items(), reverse=True))
    while probe is None and todo:
        step = next(iter(todo))
        try:
            probe = Probe(*todo[step])
        except Unreadable as error:
            found[step] = ("missing", f"weights that cannot be read: {error}")
            del todo[step]
    if probe is None or not probe.slices:
        return found
    results, unlike = _read(name, probe, todo)
    alike = sum(isinstance(r, Sample) and any(v is not None for v in r.values) for r in results.values())
    usual, count = Counter(unlike[step] for step in todo if step in unlike).most_common(1)[0] if unlike else ((), 0)
    if count > alike:
        probe = Probe(*todo[next(step for step in todo if unlike.get(step) == usual)])
        results, _ = _read(name, probe, todo)
    samples = []
    for step, result in results.items():
        if not isinstance(result, Sample):
            found[step] = result
        elif all(v is None for v in result.values):
            found[step] = ("ok", "holds none of the tensors that were compared, under their names")
        else:
            samples.append(result)
    matrices = {s.step: s.digests(probe.parts, [len(x.shape) > 1 for x in probe.slices]) for s in samples}
    whole = equal_wholes({step: tables.digest(parts) for step, parts in matrices.items() if parts}, last)
    same = equal_parts(matrices, last, "parts of the tensors read") | whole
    found |= {step: (status, f"tensors read: {detail}") for step, (status, detail) in same.items()}
    alone = [s for s in samples if found.get(s.step, ("ok", ""))[0] == "ok"]
    return found | {step: ("discontinuous", detail) for step, detail in out_of_line(alone, probe.parts).items()}


def of_hub(model: Model) -> pd.DataFrame:
    """List a model's revisions on the Hub, pinned to the commits that they name now; a few tensors of each are read, no weights downloaded.

    Args:
        model: with ``repository`` and ``revision``.

    Returns:
        One row per step of the suite (:data:`SCHEMA`). A step without a revision or without whole weights is ``missing``; one whose weights
        or a part of them are another step's is judged by :mod:`trajectories.hub.duplicates`, the others by
        :mod:`trajectories.hub.continuity`.

    Raises:
        UserError: the repository cannot be read, or the model has none.
    """
    from trajectories.hub import client  # only this source needs the network's libraries

    if model.repository is None:
        raise UserError(f"Model '{model.name}' has no Hub repository in its suite; name one, or use a suite that trains its models.")
    refs = client.refs(model.repository)
    revisions = {step: model.revision_of(step) for step in model.all_steps}
    rows, choices, main = _listed(model.name, model.repository, revisions, refs)
    sources = {
        step: _on_hub(model.repository, commit, choice) for step, (commit, choice) in choices.items() if choice.format == "safetensors"
    }
    weights = {step: choice.weights for step, (_, choice) in choices.items()}
    return _judge(rows, model, *_weight_findings(model.all_steps[-1], weights, main), trusted=("discontinuous",), sources=sources)


def of_repository(repository: str, tensors: bool = True) -> pd.DataFrame:
    """List the steps of a repository that no suite describes, as its branches and tags name them; columns as :func:`of_hub`.

    Args:
        repository: ``owner/name``.
        tensors: read a few tensors too, else hashes alone.

    Returns:
        As :func:`of_hub`, with the stage (of :func:`trajectories.hub.branches.stages`) in the column ``model``.

    Raises:
        UserError: the repository cannot be read, or none of its branches and tags looks like a step.
    """
    from trajectories.hub import client

    refs = client.refs(repository)
    found = stages(list(refs))
    if not found:
        raise UserError(
            f"None of the {len(refs)} branches and tags of {repository} looks like a training step (as 'step1000', 'checkpoint-1000' or "
            "'stage1-step1000-tokens5B' do), so there is nothing to audit."
        )
    rows_of: dict[str, list[dict[str, Any]]] = {}
    choices_of: dict[str, dict[int, tuple[str, Choice]]] = {}
    for stage, revisions in found.items():
        rows, choices_of[stage], main = _listed(stage, repository, revisions, refs)
        steps = list(revisions)
        _apply(rows, *_weight_findings(steps[-1], {step: choice.weights for step, (_, choice) in choices_of[stage].items()}, main))
        for step in gaps(steps):
            rows.append(_row(stage, step, status="missing", detail="no branch or tag, although the steps around follow at one distance"))
        rows_of[stage] = rows
    identity = {stage: {step: choice.sha256 or "" for step, (_, choice) in choices.items()} for stage, choices in choices_of.items()}
    shared = shared_by_stages(identity)
    for stage, rows in rows_of.items():
        _apply(rows, {step: ("duplicate", detail) for (other, step), detail in shared.items() if other == stage})
        if tensors:
            sound = {row["step"] for row in rows if row["status"] == "ok"}
            readable = {s: c for s, c in choices_of[stage].items() if s in sound and c[1].format == "safetensors"}
            sources = {step: _on_hub(repository, *choice) for step, choice in readable.items()}
            _apply(rows, _tensor_findings(f"{repository} {stage}".strip(), sources, max(found[stage])))
    return pd.DataFrame([row for rows in rows_of.values() for row in sorted(rows, key=lambda row: row["step"])], columns=SCHEMA.names)


def _listed(
    name: str, repository: str, revisions: Mapping[int, str], refs: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[int, tuple[str, Choice]], str | None]:
    """What the Hub lists: a row per step, commit and files of those that are whole, and the hash of the branch main."""
    from trajectories.hub import client

    commits = sorted({refs[r] for r in [*revisions.values(), "main"] if r in refs})
    label = f"listing {name or repository}"
    with Progress(label, total=len(commits), unit="revision") as progress, ThreadPoolExecutor(READERS) as pool:

        def listing(commit: str) -> Choice:
            choice = choose(client.files(repository, commit))
            progress.update()
            return choice

        listed = dict(zip(commits, pool.map(listing, commits), strict=True))
    rows, found = [], {}
    for step, revision in revisions.items():
        commit = refs.get(revision)
        if commit is None:
            detail = f"{repository} has no branch or tag '{revision}'"
            rows.append(_row(name, step, revision=revision, status="missing", detail=detail))
            continue
        choice = listed[commit]
        if choice.problem:
            detail = f"{repository}@{revision}: {choice.problem}"
            rows.append(_row(name, step, revision=revision, commit=commit, status="missing", detail=detail))
            continue
        found[step] = (commit, choice)
        files = json.dumps({n: file.to_json() for n, file in choice.files.items()}, sort_keys=True)
        detail = (
            "" if choice.format == "safetensors" else "no safetensors; weights are pickled tensors (.bin), which cannot be read in part"
        )
        rows.append(_row(name, step, revision=revision, commit=commit, sha256=choice.sha256, detail=detail, files=files))
    return rows, found, listed[refs["main"]].sha256 if "main" in refs else None


def _on_hub(repository: str, commit: str, choice: Choice) -> Source:
    """The safetensors files of a checkpoint, to be read by range."""
    from trajectories.hub import ranges

    def read(name: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        return ranges.read(repository, commit, name, wanted)

    return read, {name: choice.files[name].size for name in choice.weights}


def _here(folder: Path, names: Sequence[str]) -> Source:
    """The safetensors files of a checkpoint in a folder."""

    def read(name: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        found = []
        with open(folder / name, "rb") as file:
            for start, stop in wanted:
                file.seek(start)
                found.append(file.read(stop - start))
        return found

    return read, {name: (folder / name).stat().st_size for name in names}


def of_trained(model: Model, layout: Layout) -> pd.DataFrame:
    """List the checkpoints that were trained here, from their manifests and files; columns as :func:`of_hub`."""
    rows, weights, sources = [], {}, {}
    for step in model.all_steps:
        folder = layout.checkpoint(model.name, step)
        path = folder / "checkpoint.json"
        if not path.exists():
            rows.append(_row(model.name, step, status="missing", detail="not trained yet"))
            continue
        manifest = tables.read_json(path)
        files = manifest["files"]
        weights[step] = {name: files[name]["sha256"] for name in weights_of(files)}
        if all((folder / name).exists() for name in weights[step]):
            sources[step] = _here(folder, list(weights[step]))
        rows.append(_row(model.name, step, sha256=manifest["weights_sha256"], files=json.dumps(files, sort_keys=True)))
    return _judge(rows, model, *_weight_findings(model.all_steps[-1], weights), trusted=("discontinuous",), sources=sources)


def of_published(model: Model, layout: Layout, commit: str | None) -> pd.DataFrame:
    """List the steps that a model has published results for; columns as :func:`of_hub`.

    ``sha256`` is a digest of the values (task, metric, value), so that equal results show whatever their files are called.
    """
    results = tables.read_table(layout.published(model.name))
    rows, identity = [], {}
    by_step = dict(tuple(results.groupby("step"))) if len(results) else {}
    for step in model.all_steps:
        if step not in by_step:
            detail = "no published result" if by_step else "the model has no published results"
            rows.append(_row(model.name, step, commit=commit, status="missing", detail=detail))
            continue
        here = by_step[step].sort_values(["task", "metric", "value"])
        values = [[t, m, float(v)] for t, m, v in zip(here["task"], here["metric"], here["value"], strict=True)]
        sha256 = tables.digest([[t, m, repr(v)] for t, m, v in values], length=64)
        if len({repr(v) for *_, v in values}) >= TELLING:
            identity[step] = sha256
        files = {str(f): {"sha256": s} for f, s in sorted(set(zip(here["file"], here["sha256"], strict=True)))}
        rows.append(_row(model.name, step, commit=commit, sha256=sha256, files=json.dumps(files, sort_keys=True)))
    return _judge(rows, model, equal_wholes(identity, model.all_steps[-1]), trusted=("discontinuous", "duplicate", "contaminated"))


def of_memorized_rows(model: Model, layout: Layout, commit: str | None) -> pd.DataFrame:
    """List the steps that a model has published memorized rows for; columns as :func:`of_hub`.

    ``sha256`` is a digest of the rows, so that equal lists show whatever their files are called.
    """
    listed, facts = row_lists.load(layout.published(model.name)), tables.metadata(layout.published(model.name)).get("splits", {})
    rows, identity = [], {}
    for step in model.all_steps:
        if step not in listed:
            rows.append(_row(model.name, step, commit=commit, status="missing", detail="no published rows"))
            continue
        sha256 = hashlib.sha256(listed[step].astype("<i4").tobytes()).hexdigest()
        if len(listed[step]) >= TELLING:
            identity[step] = sha256
        repeats = facts.get(str(step), {}).get("repeats", 0)
        detail = f"{repeats:,} lines repeat a row" if repeats else ""
        rows.append(_row(model.name, step, commit=commit, sha256=sha256, detail=detail, files="{}"))
    return _judge(rows, model, equal_wholes(identity, model.all_steps[-1]), trusted=("discontinuous", "duplicate", "contaminated"))


def across_models(joined: pd.DataFrame, suite: Suite) -> pd.DataFrame:
    """Mark content that two models of a suite share, which one of them cannot have made.

    A model that the suite says has wrong files at that step (anomaly ``duplicate`` or ``contaminated``) is the wrong one; without such
    knowledge both are ``duplicate``. Models may share what they start from: steps 0 and 1, and the step where a branch leaves its parent.

    Args:
        joined: the models' audits in one table.
        suite: the suite with (at least) these models.

    Returns:
        The table with ``status`` and ``detail`` of such rows changed.
    """
    rows = joined.astype(object).where(joined.notna(), None).to_dict("records")
    starts = branch_points(suite)
    wrong = {m.name: [a for a in m.anomalies if a.kind in ("duplicate", "contaminated")] for m in suite.models}
    holders: dict[str, list[dict[Any, Any]]] = defaultdict(list)
    for row in rows:
        if isinstance(row["sha256"], str) and row["step"] not in NOTHING_LEARNED and (row["model"], row["step"]) not in starts:
            holders[row["sha256"]].append(row)
    for group in holders.values():
        if len({row["model"] for row in group}) < 2:
            continue
        accused = [row for row in group if any(a.expanded is None or row["step"] in a.expanded for a in wrong.get(row["model"], []))]
        for row in group:
            other = next(o for o in group if o["model"] != row["model"])
            row["detail"] = _joined(row["detail"], f"same content as {other['model']} at step {other['step']}")
            if not accused or row in accused:
                row["status"] = "duplicate"
    return pd.DataFrame(rows, columns=SCHEMA.names)
