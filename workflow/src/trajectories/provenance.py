"""Where a result comes from, as a small JSON-able record that is written into the result itself."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trajectories import __version__, tables
from trajectories.layout import Layout
from trajectories.recipes import Settings

LISTED = 64
"""Up to so many input files are listed one by one; beyond that, those of one folder share a digest."""


@cache
def _file_digest(path: Path, size: int, modified_ns: int) -> str:
    return tables.sha256(path)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; a file that has not changed since is read once per process."""
    path = Path(path).resolve()
    state = path.stat()
    return _file_digest(path, state.st_size, state.st_mtime_ns)


def _relative(path: Path, layout: Layout) -> str:
    """Path below the suite's results, or the bare name of a file that lies elsewhere (its folder is the machine's business)."""
    try:
        return Path(path).resolve().relative_to(Path(layout.root).resolve()).as_posix()
    except ValueError:
        return Path(path).name


def combined_digest(digests: dict[str, str]) -> str:
    """One SHA-256 for many files: that of the lines ``<sha256>  <name>``, sorted by name, as ``sha256sum`` prints them."""
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def _inputs(paths: Iterable[Path], layout: Layout) -> dict[str, str]:
    single = {_relative(path, layout): file_digest(path) for path in paths}
    if len(single) <= LISTED:
        return dict(sorted(single.items()))
    folders: dict[str, dict[str, str]] = {}
    for name, digest in single.items():
        folders.setdefault(name.split("/")[0], {})[name] = digest
    found: dict[str, str] = {}
    for folder, digests in folders.items():
        found |= digests if len(digests) == 1 else {f"{folder}/ ({len(digests)} files)": combined_digest(digests)}
    return dict(sorted(found.items()))


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of installed distributions by name; one that is not installed is left out."""
    found = {}
    for name in sorted(set(packages)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def provenance(
    settings: Settings, layout: Layout, verb: str, inputs: Sequence[Path], packages: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """The record of how a result was made: the same inputs and code give the same bytes on any day and any machine.

    Args:
        settings: what the verb saw of configuration and suite.
        layout: the suite's results; inputs are named relative to its root.
        verb: the verb that writes the result.
        inputs: the files read. More than :data:`LISTED` are summed up per folder by :func:`combined_digest`.
        packages: distributions whose version can change the numbers.
        more: further JSON-able entries, ``targets`` among them.

    Returns:
        ``suite, verb, targets, code, version, seed, section, inputs, packages, python``, then ``more``. No time, no host, no absolute path.
    """
    return {
        "suite": settings.suite.name,
        "verb": verb,
        "targets": more.pop("targets", {}),
        "code": settings.code,
        "version": __version__,
        "seed": settings.seed,
        "section": settings.section,
        "inputs": _inputs(inputs, layout),
        "packages": package_versions(packages),
        "python": ".".join(platform.python_version_tuple()[:2]),
        **more,
    }
