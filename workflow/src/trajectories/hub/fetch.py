"""Checkpoints from the Hub: fetched from the audited commit, checked by hash, removed to save disk and brought back unchanged.

A checkpoint folder is whole when its manifest ``checkpoint.json`` stands in it. The weights may be absent all the same: they are a cache
that :func:`discard` empties and :func:`ensure` fills again with the very bytes that the manifest names.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trajectories import locks, tables
from trajectories.errors import Damaged, UserError
from trajectories.hub.files import FORMATS, RemoteFile, allowed, weights_format, weights_of, weights_sha256
from trajectories.layout import Layout
from trajectories.progress import Progress
from trajectories.suites import Model

if TYPE_CHECKING:
    from trajectories.hub.client import Kind

MANIFEST = "checkpoint.json"
_PART = ".{name}.{hash}.part"
_log = logging.getLogger(__name__)


def fetch(model: Model, layout: Layout, step: int, weights: bool = True) -> Path:
    """Fetch the checkpoint that the model's audit lists, and write its manifest last.

    What is there already with the right hash is kept, and what is there of a file is continued. For a checkpoint that the audit found
    missing the manifest says why (``"missing"``) and names no files, so that a run over many checkpoints goes on without it.

    Args:
        model: a model of a Hub suite.
        layout: where its audit lies and its checkpoint goes.
        step: training step.
        weights: fetch the weights too; without them the manifest still names them, for :func:`ensure`.

    Returns:
        The checkpoint's folder.

    Raises:
        UserError: the audit lists no such step, or a file cannot be fetched whole and unchanged.
    """
    audit = tables.read_table(layout.audit(model.name))
    row = audit[audit["step"] == step]
    if row.empty:
        raise UserError(f"The audit of '{model.name}' lists no step {step}; choose one of the suite's steps, or run the audit again.")
    entry = row.iloc[0]
    folder = layout.checkpoint(model.name, step)
    if entry["status"] == "missing":
        _log.warning("%s step %d is missing on the Hub and left out: %s", model.name, step, entry["detail"])
        tables.write_json(folder / MANIFEST, _missing(model, step, str(entry["revision"]), str(entry["detail"])))
        return folder
    repository, commit = model.repository or "", str(entry["commit"])
    files = {name: RemoteFile.from_json(name, f) for name, f in json.loads(entry["files"]).items() if allowed(name)}
    wanted = {name: file for name, file in files.items() if weights or weights_format(name) is None}
    _bring(repository, commit, wanted, folder, f"fetching {model.name} step {step}")
    _check_index(folder, files)
    tables.write_json(folder / MANIFEST, _manifest(model, step, str(entry["revision"]), commit, folder, files))
    return folder


def ensure(model: Model, layout: Layout, step: int) -> Path:
    """Make sure that a checkpoint's weights are there, and return its folder.

    Weights that were discarded come back from the commit, and with the hashes, that the manifest names. Call it under the lock that
    guards the use of the weights, or another process may discard them again.

    Raises:
        UserError: no manifest, files absent of a model that was trained here, or files that cannot be fetched.
    """
    folder = layout.checkpoint(model.name, step)
    manifest = tables.read_json(folder / MANIFEST)
    if manifest.get("missing"):
        raise UserError(f"The checkpoint of '{model.name}' at step {step} is missing on the Hub ({manifest['missing']}); leave it out.")
    entries = manifest["files"]
    absent = {n: e for n, e in entries.items() if allowed(n) and not _has_size(folder / n, e["size"])}
    if not absent:
        return folder
    if manifest.get("commit") is None:
        raise Damaged(folder / min(absent), "absent, or of another size than its manifest says")
    files = {name: RemoteFile(name, entry["size"], sha256=entry["sha256"]) for name, entry in absent.items()}
    _bring(manifest["repository"], manifest["commit"], files, folder, f"fetching {model.name} step {step}")
    return folder


def discard(folder: Path) -> int:
    """Remove the weights (whole or partial) of a fetched checkpoint, never of one that was trained here; the small files stay.

    Returns:
        Bytes freed.
    """
    manifest = tables.read_json(folder / MANIFEST)
    if manifest.get("commit") is None:
        return 0
    found = weights_on_disk(folder)
    for path in found:
        path.unlink(missing_ok=True)
    return sum(found.values())


def weights_bytes(manifest: Mapping[str, Any]) -> int:
    """Size of all weights that a manifest names."""
    return sum(manifest["files"][name]["size"] for name in weights_of(manifest["files"]))


def weights_on_disk(folder: Path) -> dict[Path, int]:
    """The weights in a checkpoint's folder, whole or partial, and their sizes in bytes."""
    found = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.endswith(".part"):
                name = name.removesuffix(".part")[1:].rpartition(".")[0]
            if weights_format(name) is not None:
                with contextlib.suppress(FileNotFoundError):  # renamed or removed meanwhile
                    found[Path(entry.path)] = entry.stat().st_size
    return found


def _partial(folder: Path) -> list[Path]:
    """The files that a broken fetch has left, by the name of the file that each is a part of."""
    return [path for path in folder.glob(".*.part") if allowed(path.name.removesuffix(".part")[1:].rpartition(".")[0])]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _bring(repository: str, commit: str, files: Mapping[str, RemoteFile], folder: Path, label: str) -> None:
    """Have every file in the folder with its right hash; each appears under its name only when it is whole and checked."""
    from trajectories.hub import client  # a checkpoint that is there needs no network library

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locks.lock(folder / ".fetch.lock"):
            parts = {name: folder / _PART.format(name=name, hash=(file.sha256 or file.blob or "")[:16]) for name, file in files.items()}
            lacking = {name: file for name, file in sorted(files.items()) if not file.matches(folder / name)}
            for path in set(_partial(folder)) - set(parts.values()):
                path.unlink()  # of another commit: nobody will continue it
            if not lacking:
                return
            for name in lacking:
                (folder / name).unlink(missing_ok=True)  # another content, which would lie beside the right one
            have = sum(parts[name].stat().st_size for name in lacking if parts[name].exists())
            total = sum(file.size for file in lacking.values())
            _check_space(folder, total - have)
            with Progress(label, total=total, unit="byte", initial=have) as progress:
                for name, file in lacking.items():
                    fetch_file(repository, commit, file, parts[name], progress)
                    os.replace(parts[name], folder / name)
    except OSError as error:
        raise client.disk_error(error, folder) from error


def fetch_file(repository: str, commit: str, file: RemoteFile, part: Path, progress: Progress, kind: Kind = "models") -> None:
    """Fetch one file into ``part``, going on where an earlier fetch broke off, and check its hash; a wrong one is fetched once more.

    Raises:
        UserError: as :func:`trajectories.hub.client.download`, or the content is not what the Hub lists.
    """
    from trajectories.hub import client

    for last in (False, True):
        client.download(repository, commit, file, part, progress.update, kind)
        if file.matches(part):
            return
        part.unlink()
        progress.update(-file.size)
        if not last:
            _log.info("'%s' of %s@%s has a wrong hash; fetching it again", file.name, repository, commit[:12])
    expected = f"SHA-256 {file.sha256}" if file.sha256 else f"git hash {file.blob}"
    raise UserError(
        f"'{file.name}' of {repository}@{commit[:12]} arrived twice with another content than the Hub lists ({expected}); "
        "nothing of it was kept, so run again later or report it to the repository."
    )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"The checkpoint needs {needed / 1e9:.1f} GB more in '{folder}', where {free / 1e9:.1f} GB are free; free some, "
            "set 'keep_checkpoints: false', or choose another 'results' folder."
        )


def _check_index(folder: Path, files: Mapping[str, RemoteFile]) -> None:
    """The index of shards comes from outside too: it may name nothing but the shards that were checked."""
    for name in {index for _, index in FORMATS.values()} & set(files):
        content = tables.read_json(folder / name)
        shards = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(shards, dict):
            raise UserError(f"'{folder / name}' should map tensors to files under 'weight_map'; report it to the repository.")
        if foreign := sorted({str(shard) for shard in shards.values()} - set(weights_of(files))):
            raise UserError(
                f"'{folder / name}' names '{foreign[0]}', which is no weight file of this revision; report it to the repository."
            )


def _manifest(model: Model, step: int, revision: str, commit: str, folder: Path, files: Mapping[str, RemoteFile]) -> dict[str, Any]:
    config = tables.read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"'{folder / 'config.json'}' should hold a mapping of keys; report it to the repository.")
    sha256 = {name: file.sha256 or tables.sha256(folder / name) for name, file in sorted(files.items())}
    entries = {name: {"sha256": digest, "size": files[name].size} for name, digest in sha256.items()}
    weights = weights_of(entries)
    return {
        "model": model.name,
        "step": step,
        "repository": model.repository,
        "revision": revision,
        "commit": commit,
        "dtype": config.get("dtype") or config.get("torch_dtype") or model.dtype,
        "format": weights_format(weights[0]),
        "weights_sha256": weights_sha256({name: sha256[name] for name in weights}),
        "files": entries,
    }


def _missing(model: Model, step: int, revision: str, detail: str) -> dict[str, Any]:
    about = {"model": model.name, "step": step, "repository": model.repository, "revision": revision, "commit": None, "dtype": None}
    return {**about, "format": None, "weights_sha256": None, "files": {}, "missing": detail}
