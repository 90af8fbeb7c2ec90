"""What extraction has computed, found again by the digest of all that it depends on.

An entry is a folder ``<key>/`` with ``table.parquet``, ``<measure>.safetensors`` for tensors, and ``entry.json``, which lists the SHA-256
of the others. It is made under another name and renamed, so it is there whole or not at all; and its files are checked when it is read, so
one that was damaged later is thrown away and computed again. Nothing but double work depends on the lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trajectories import locks, tables
from trajectories.errors import UserError

ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished entry counts as left behind by a process that was killed."""


@dataclass(frozen=True)
class Entry:
    """One result in the store.

    Attributes:
        folder: where it lies.
        record: how it was computed: device, package versions and so on, as given to :meth:`Store.put`.
        tensors: SHA-256 of its tensors' files, by measure.
    """

    folder: Path
    record: dict[str, Any]
    tensors: dict[str, str]

    def table(self) -> pa.Table:
        """The measurements, one row per item."""
        return tables.read_arrow(self.folder / "table.parquet")

    def copy_tensor(self, name: str, target: Path) -> None:
        """Put a tensor's file at ``target``, whole or not at all: a second name of the same bytes, or a copy where that is not possible."""
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        temporary.unlink(missing_ok=True)
        try:
            try:
                os.link(self.folder / f"{name}.safetensors", temporary)
            except OSError:
                shutil.copyfile(self.folder / f"{name}.safetensors", temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise UserError(f"Cannot write '{target}': {error.strerror}; free space or fix the folder, then run again.") from error
        finally:
            # renaming a name over another one of the same file leaves both
            temporary.unlink(missing_ok=True)


class Store:
    """Entries by key below one folder.

    Args:
        root: the folder; made when something is written.
    """

    def __init__(self, root: Path):
        self.root = Path(root)

    def get(self, key: str) -> Entry | None:
        """The entry of a key, or None if there is none; a damaged one is removed."""
        folder = self.root / key
        try:
            content = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
            for name, expected in content["files"].items():
                if tables.sha256(folder / name) != expected:
                    raise ValueError(name)
            files = sorted(content["files"].items())
            tensors = {name.removesuffix(".safetensors"): sha256 for name, sha256 in files if name.endswith(".safetensors")}
            return Entry(folder, content["record"], tensors)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            if folder.exists():
                self._remove(folder)
            return None

    def put(self, key: str, table: pa.Table, tensors: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> Entry:
        """Add an entry; if another process was first, theirs stays.

        Args:
            key: a digest of everything that the content depends on.
            table: one row per item.
            tensors: by measure.
            record: JSON-able; how it was computed.
        """
        from safetensors.numpy import save_file

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            part = Path(tempfile.mkdtemp(dir=self.root, prefix=f".{key}.", suffix=".part"))
        except OSError as error:
            raise UserError(f"Cannot write '{self.root}': {error.strerror}; choose another 'results' folder or free it.") from error
        try:
            part.chmod(0o755)  # mkdtemp's folders are private
            tables.write_table(table, part / "table.parquet")
            about = json.dumps(dict(record), sort_keys=True)
            for name, tensor in tensors.items():
                with tables.replacing(part / f"{name}.safetensors") as path:
                    save_file({name: np.ascontiguousarray(tensor)}, path, metadata={"trajectories": about})
            files = {p.name: tables.sha256(p) for p in sorted(part.iterdir())}
            tables.write_json(part / "entry.json", {"key": key, "record": dict(record), "files": files})
            with contextlib.suppress(OSError):  # there already
                os.rename(part, self.root / key)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        entry = self.get(key)
        if entry is None:
            raise UserError(f"The store's entry '{self.root / key}' cannot be read back; check the disk of the 'results' folder.")
        return entry

    def lock(self, name: str, wait: bool = True) -> contextlib.AbstractContextManager[locks.Held]:
        """Hold a lock between all processes that use the store, on whichever node.

        Args:
            name: what is locked.
            wait: wait for a lock that is held, or give up at once.

        Returns:
            As :func:`trajectories.locks.lock`.
        """
        return locks.lock(self.root / "leases" / name, wait)

    def _remove(self, folder: Path) -> None:
        """Out of the way first, in one step, so that nobody sees half of it."""
        aside = Path(tempfile.mkdtemp(dir=self.root, prefix=".damaged.", suffix=".part"))
        with contextlib.suppress(OSError):
            os.rename(folder, aside / folder.name)
        shutil.rmtree(aside, ignore_errors=True)

    def _sweep(self) -> None:
        for part in self.root.glob(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > ABANDONED:
                    shutil.rmtree(part, ignore_errors=True)
