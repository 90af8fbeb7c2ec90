"""The audit: which checkpoints (or results) of a model are there, what they are by hash, and which are not what their name says."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pyarrow as pa

from trajectories import row_lists, tables
from trajectories.errors import UserError
from trajectories.hub.duplicates import NOTHING_LEARNED, TELLING, branch_points, equal_parts, equal_wholes
from trajectories.hub.files import Choice, choose, weights_of, weights_sha256
from trajectories.layout import Layout
from trajectories.suites import Model, Suite

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


def _row(model: Model, step: int, **values: Any) -> dict[str, Any]:
    empty = {"revision": None, "commit": None, "sha256": None, "status": "ok", "detail": "", "files": "{}"}
    return {"model": model.name, "step": step, **empty, **values}


def _joined(*details: str) -> str:
    return "; ".join(detail for detail in details if detail)


def _judge(rows: list[dict[str, Any]], model: Model, *findings: Mapping[int, tuple[str, str]], trusted: tuple[str, ...]) -> pd.DataFrame:
    """The table: what was found by hash, then what the suite knows of the kinds that no hash shows (``trusted``)."""
    for row in rows:
        if row["status"] != "ok":
            continue
        found = next((found[row["step"]] for found in findings if row["step"] in found), None)
        if found is not None:
            row["status"], row["detail"] = found[0], _joined(row["detail"], found[1])
        if row["status"] == "ok":
            for anomaly in model.anomalies:
                if anomaly.kind in trusted and (anomaly.expanded is None or row["step"] in anomaly.expanded):
                    # a result that is another model's is that model's twice
                    row["status"] = "duplicate" if anomaly.kind == "contaminated" else anomaly.kind
                    row["detail"] = _joined(row["detail"], f"{anomaly.detail.rstrip('.')} ({anomaly.source})")
                    break
    return pd.DataFrame(rows, columns=SCHEMA.names).sort_values("step", ignore_index=True)


def _weight_findings(model: Model, weights: Mapping[int, Mapping[str, str]], main: str | None = None) -> list[dict[int, tuple[str, str]]]:
    identity, last = {step: weights_sha256(digests) for step, digests in weights.items()}, model.all_steps[-1]
    return [equal_wholes(identity, last, {"the branch main": main} if main else None), equal_parts(weights, last)]


def of_hub(model: Model) -> pd.DataFrame:
    """List a model's revisions on the Hub, pinned to the commits that they name now; no weights are downloaded.

    Args:
        model: with ``repository`` and ``revision``.

    Returns:
        One row per step of the suite (:data:`SCHEMA`). A step without a revision or without whole weights is ``missing``; one whose weights
        or a part of them are another step's is judged by :mod:`trajectories.hub.duplicates`.

    Raises:
        UserError: the repository cannot be read, or the model has none.
    """
    from trajectories.hub import client  # only this source needs the network's libraries

    if model.repository is None:
        raise UserError(f"Model '{model.name}' has no Hub repository in its suite; name one, or use a suite that trains its models.")
    repository, refs = model.repository, client.refs(model.repository)
    revisions = {step: model.revision_of(step) for step in model.all_steps}
    commits = sorted({refs[r] for r in [*revisions.values(), "main"] if r in refs})
    with ThreadPoolExecutor(4) as pool:
        listed: dict[str, Choice] = dict(zip(commits, pool.map(lambda c: choose(client.files(repository, c)), commits), strict=True))
    rows, weights = [], {}
    for step, revision in revisions.items():
        commit = refs.get(revision)
        if commit is None:
            rows.append(_row(model, step, revision=revision, status="missing", detail=f"{repository} has no branch or tag '{revision}'"))
            continue
        choice = listed[commit]
        if choice.problem:
            detail = f"{repository}@{revision}: {choice.problem}"
            rows.append(_row(model, step, revision=revision, commit=commit, status="missing", detail=detail))
            continue
        weights[step] = choice.weights
        files = json.dumps({name: file.to_json() for name, file in choice.files.items()}, sort_keys=True)
        detail = "" if choice.format == "safetensors" else "no safetensors; weights are pickled tensors (.bin)"
        rows.append(_row(model, step, revision=revision, commit=commit, sha256=choice.sha256, detail=detail, files=files))
    main = listed[refs["main"]].sha256 if "main" in refs else None
    return _judge(rows, model, *_weight_findings(model, weights, main), trusted=("discontinuous",))


def of_trained(model: Model, layout: Layout) -> pd.DataFrame:
    """List the checkpoints that were trained here, from their manifests; columns as :func:`of_hub`."""
    rows, weights = [], {}
    for step in model.all_steps:
        path = layout.checkpoint(model.name, step) / "checkpoint.json"
        if not path.exists():
            rows.append(_row(model, step, status="missing", detail="not trained yet"))
            continue
        manifest = tables.read_json(path)
        files = manifest["files"]
        weights[step] = {name: files[name]["sha256"] for name in weights_of(files)}
        rows.append(_row(model, step, sha256=manifest["weights_sha256"], files=json.dumps(files, sort_keys=True)))
    return _judge(rows, model, *_weight_findings(model, weights), trusted=("discontinuous",))


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
            rows.append(_row(model, step, commit=commit, status="missing", detail=detail))
            continue
        here = by_step[step].sort_values(["task", "metric", "value"])
        values = [[t, m, float(v)] for t, m, v in zip(here["task"], here["metric"], here["value"], strict=True)]
        sha256 = tables.digest([[t, m, repr(v)] for t, m, v in values], length=64)
        if len({repr(v) for *_, v in values}) >= TELLING:
            identity[step] = sha256
        files = {str(f): {"sha256": s} for f, s in sorted(set(zip(here["file"], here["sha256"], strict=True)))}
        rows.append(_row(model, step, commit=commit, sha256=sha256, files=json.dumps(files, sort_keys=True)))
    return _judge(rows, model, equal_wholes(identity, model.all_steps[-1]), trusted=("discontinuous", "duplicate", "contaminated"))


def of_memorized_rows(model: Model, layout: Layout, commit: str | None) -> pd.DataFrame:
    """List the steps that a model has published memorized rows for; columns as :func:`of_hub`.

    ``sha256`` is a digest of the rows, so that equal lists show whatever their files are called.
    """
    listed, facts = row_lists.load(layout.published(model.name)), tables.metadata(layout.published(model.name)).get("splits", {})
    rows, identity = [], {}
    for step in model.all_steps:
        if step not in listed:
            rows.append(_row(model, step, commit=commit, status="missing", detail="no published rows"))
            continue
        sha256 = hashlib.sha256(listed[step].astype("<i4").tobytes()).hexdigest()
        if len(listed[step]) >= TELLING:
            identity[step] = sha256
        repeats = facts.get(str(step), {}).get("repeats", 0)
        detail = f"{repeats:,} lines repeat a row" if repeats else ""
        rows.append(_row(model, step, commit=commit, sha256=sha256, detail=detail, files="{}"))
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
