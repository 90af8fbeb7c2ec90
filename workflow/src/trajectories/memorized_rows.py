"""Published lists of memorized rows: which rows of a training order a checkpoint can recite, as a Hub data set with a split per checkpoint.

A split lies in Parquet files whose column ``index`` holds the 0-based row in the training order, beside the row's tokens, which are never
read. Files are matched by the split's name, whatever their number and the digests in their names: ``data/<split>-00000-of-00002-<digest>.
parquet`` as they are uploaded, or ``default/<split>/0000.parquet`` as the Hub converts them. The ranks of the runs that made the lists
overlapped, so indices repeat.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trajectories import download, locks, row_lists
from trajectories.errors import UserError
from trajectories.hub.fetch import fetch_file
from trajectories.hub.files import RemoteFile
from trajectories.progress import Progress
from trajectories.suites import Model, Published

COLUMN = "index"
MOST_LINES = 1 << 28
"""Lines of a file; more than an order of Pythia's has rows."""
_CONVERTED, _UPLOADED = "/{split}/", r"(?:^|/){split}-(\d+)-of-(\d+)(?:-[0-9a-f]+)?\.parquet$"
_COMMIT = re.compile(r"[0-9a-f]{40}")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """The memorized rows of one checkpoint.

    Attributes:
        rows: int64, ascending, each once.
        listed: lines of the data set, repeats included.
        files: what was read.
    """

    rows: np.ndarray
    listed: int
    files: list[Path]

    @property
    def repeats(self) -> int:
        """Lines that repeat another one's row."""
        return self.listed - len(self.rows)


def read(repository: str, split: str, revision: str = "main", data_dir: Path | None = None) -> Split:
    """The rows that a split lists, without repeats.

    Args:
        repository: data set (owner/name) on the Hub.
        split: name of the split, for instance ``duped.12b`` or ``duped.12b.23000``.
        revision: commit, tag or branch.
        data_dir: folder that holds a copy as ``<name of the repository>/<files as on the Hub>``; without it the split's files are
            downloaded (once, taken up again where that broke off, and checked by SHA-256).

    Raises:
        UserError: no such split, a file that is no Parquet or has no column ``index``, or a download that failed.
    """
    files = local(repository, split, data_dir) if data_dir is not None else fetched(repository, split, revision)
    if not files:
        where = f"'{data_dir}/{_folder(repository)}'" if data_dir is not None else f"the Hub's '{repository}' at {revision[:12]}"
        raise UserError(f"The split '{split}' has no files in {where}; correct the suite's name of the split or copy them there.")
    listed = [_column(path) for path in files]
    return Split(np.unique(np.concatenate(listed)), sum(map(len, listed)), files)


def local(repository: str, split: str, data_dir: Path) -> list[Path]:
    """A split's files below ``data_dir``, in the order of their names; raises :class:`UserError` where the data set has no folder there."""
    folder = Path(data_dir) / _folder(repository)
    if not folder.is_dir():
        raise UserError(
            f"data_dir '{data_dir}' has no folder '{_folder(repository)}'; copy the Hub's data set '{repository}' there, or leave data_dir "
            "out to download it."
        )
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")]
    return [folder / name for name in of_split(names, split, str(folder))]


def of_split(names: Iterable[str], split: str, where: str) -> list[str]:
    """Those of a data set's file names that belong to a split, sorted.

    Raises:
        UserError: the files' own count says that one is absent.
    """
    pattern = re.compile(_UPLOADED.format(split=re.escape(split)))
    names = sorted(names)
    found = {name: match for name in names if (match := pattern.search(name))}
    if not found:
        return [name for name in names if _CONVERTED.format(split=split) in f"/{name}"]
    numbers, totals = [int(m[1]) for m in found.values()], {int(m[2]) for m in found.values()}
    if sorted(numbers) != list(range(max(totals))) or len(totals) > 1:
        raise UserError(
            f"Of the split '{split}' in {where} there are {len(found)} files where their names say {max(totals)}; copy it anew."
        )
    return list(found)


def fetched(repository: str, split: str, revision: str) -> list[Path]:
    """A split's files in the cache (:func:`trajectories.download.cache`), downloaded if they are not there.

    Raises:
        UserError: the Hub cannot be read, or a file has another content than it lists.
    """
    commit, files = _remote(repository, revision)
    by_name = {file.name: file for file in files}
    wanted = of_split(by_name, split, f"the Hub's '{repository}'")
    place = download.cache() / "hub" / repository.replace("/", "+") / commit
    found = []
    for name in wanted:
        path = place / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with locks.lock(path.with_name(f".{path.name}.lock")):
                if not path.exists():  # it gets its name when it is whole and checked
                    part = path.with_name(f".{path.name}.part")
                    start = part.stat().st_size if part.exists() else 0
                    with Progress(f"fetching {split}", total=by_name[name].size, unit="byte", initial=start) as progress:
                        fetch_file(repository, commit, by_name[name], part, progress, "datasets")
                    os.replace(part, path)
        except OSError as error:
            raise UserError(
                f"Cannot keep '{name}' of '{repository}' in '{place}': {error.strerror or error}; name another folder in "
                f"{download.CACHE_VARIABLE}."
            ) from error
        found.append(path)
    return found


@cache
def _remote(repository: str, revision: str) -> tuple[str, list[RemoteFile]]:
    from trajectories.hub import client  # a local copy needs no network library

    commit = revision if _COMMIT.fullmatch(revision) else client.refs(repository, "datasets").get(revision)
    if commit is None:
        raise UserError(f"The Hub's data set '{repository}' has no branch or tag '{revision}'; correct the suite's revision.")
    return commit, client.files(repository, commit, "datasets", recursive=True)


def _folder(repository: str) -> str:
    return repository.rpartition("/")[2]


def _column(path: Path) -> np.ndarray:
    """The rows that a file lists, as int64, repeats included."""
    try:
        with pq.ParquetFile(path) as file:
            if COLUMN not in file.schema_arrow.names:
                raise UserError(f"'{path}' has no column '{COLUMN}', so it lists no memorized rows; remove it or copy it again.")
            if not pa.types.is_integer(file.schema_arrow.field(COLUMN).type) or file.metadata.num_rows > MOST_LINES:
                raise UserError(f"'{path}' should list at most {MOST_LINES:,} whole numbers as '{COLUMN}'; remove it or copy it again.")
            column = file.read(columns=[COLUMN])[COLUMN]
            if column.null_count:
                raise UserError(f"'{path}' has lines without '{COLUMN}'; remove it or copy it again.")
            return column.to_numpy().astype(np.int64, copy=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise UserError(f"'{path}' is not a whole Parquet table ({error}); copy or download it again.") from error


@dataclass
class Collected:
    """A model's memorized rows at its checkpoints.

    Attributes:
        table: columns of :data:`trajectories.row_lists.SCHEMA`.
        splits: per step: ``split``, ``listed`` (lines of the data set), ``repeats``, ``ahead`` (rows that the checkpoint has not yet seen).
        files: the files read.
        missing: names of splits that have no files.
        notes: what was left out and why, one sentence each.
    """

    table: pa.Table
    splits: dict[int, dict[str, int | str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def split_of(model: Model, step: int) -> str | None:
    """The split that lists what a model has memorized at a step; None where the suite names none."""
    if not model.published:
        return None
    return model.published[0] if step == model.steps_total else f"{model.published[0]}.{step}"


def collect(model: Model, published: Published, rows: int | None, data_dir: Path | None) -> Collected:
    """Read what a model has memorized at each of its steps, one split after the other.

    Args:
        model: with the name of its last split as ``published`` entry.
        published: the suite's data set.
        rows: rows of the model's order, if the suite tells.
        data_dir: as for :func:`read`.

    Raises:
        UserError: a row lies beyond the order's end, or the data set cannot be read; a split without files is noted as missing.
    """
    found, kept = Collected(row_lists.table({})), {}
    for step in model.all_steps:
        split = split_of(model, step)
        here = _listed(published, split, data_dir) if split else []
        if split is None or not here:
            found.missing.append(split or f"step {step}")
            found.notes.append(f"{model.name}: no published rows at step {step}.")
            continue
        part = read(published.repository, split, published.commit, data_dir)
        seen, last = step * model.rows_per_step, int(part.rows[-1]) if len(part.rows) else 0
        if (len(part.rows) and part.rows[0] < 0) or (rows is not None and last >= rows):
            raise UserError(f"The split '{split}' lists row {last if last >= 0 else part.rows[0]}, and the order has {rows:,} rows.")
        ahead = len(part.rows) - int(np.searchsorted(part.rows, seen))
        found.splits[step] = {"split": split, "listed": part.listed, "repeats": part.repeats, "ahead": ahead}
        found.files += part.files
        if part.repeats:
            found.notes.append(f"{model.name}, step {step}: {part.repeats:,} of {part.listed:,} lines repeat a row and are left out.")
        if ahead:
            found.notes.append(f"{model.name}, step {step}: {ahead:,} of the listed rows were not yet seen by that checkpoint.")
        kept[step] = part.rows.astype(np.int32)
    found.table = row_lists.table(kept)
    return found


def _listed(published: Published, split: str, data_dir: Path | None) -> list[Path] | list[str]:
    """The names of a split's files, without any download."""
    if data_dir is not None:
        return local(published.repository, split, data_dir)
    commit, files = _remote(published.repository, published.commit)
    return of_split([f.name for f in files], split, f"the Hub's '{published.repository}' at {commit[:12]}")
