"""Public data sets: declared in ``sets.yaml``, downloaded at a pinned commit or read from ``data_dir``, and always checked by SHA-256."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field

from trajectories import download, tables
from trajectories.errors import UserError, require_known
from trajectories.suites import Strict

HERE = Path(__file__).resolve().parent


class DataSet(Strict):
    """A public data set and where it comes from."""

    title: str = Field(description="Its name in prose.")
    repository: str = Field(description="GitHub repository (owner/name) of its authors.")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="Commit of that repository.")
    prefix: str = Field(description="Folder of the files in that repository.")
    folder: str = Field(description="Folder of the files below `data_dir`.")
    licence: str = Field(description="SPDX identifier.")
    citation: str = Field(description="How to cite it.")


@cache
def declared() -> dict[str, DataSet]:
    """The data sets by name."""
    content = yaml.safe_load((HERE / "sets.yaml").read_text(encoding="utf-8"))
    return {name: DataSet.model_validate(entry) for name, entry in content.items()}


def _set(name: str) -> DataSet:
    require_known("data set", name, declared())
    return declared()[name]


@cache
def files(name: str) -> dict[str, str]:
    """SHA-256 of each file of a data set, by its path below the data set's folder."""
    start = _set(name).folder + "/"
    lines = (line.split("  ", 1) for line in (HERE / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    return {path.removeprefix(start): sha256 for sha256, path in lines if path.startswith(start)}


def verify(name: str, folder: Path, remedy: str) -> None:
    """Raise :class:`UserError` that names the first file of a data set that is absent or differs, and says ``remedy``."""
    for path, expected in files(name).items():
        place = folder / path
        try:
            found = tables.sha256(place)
        except OSError as error:
            raise UserError(f"The file '{place}' of the data set '{name}' cannot be read ({error.strerror}); {remedy}.") from error
        if found != expected:
            raise UserError(f"The file '{place}' of the data set '{name}' has SHA-256 {found}, not {expected}; {remedy}.")


def folder(name: str, data_dir: Path | None = None) -> Path:
    """The folder that holds the files of a data set, every one of them checked.

    Args:
        name: a name in ``sets.yaml``.
        data_dir: folder with local copies in the layout ``<folder of the set>/<file>``; None downloads the set (once) into the cache.

    Raises:
        UserError: no such data set, a file is absent or altered, or the download failed.
    """
    chosen = _set(name)
    if data_dir is not None:
        local = Path(data_dir) / chosen.folder
        if not local.is_dir():
            raise UserError(
                f"data_dir '{data_dir}' has no folder '{chosen.folder}'; copy '{chosen.prefix}' of github.com/{chosen.repository} there, "
                "or leave data_dir out to download it."
            )
        verify(
            name,
            local,
            f"copy it again from github.com/{chosen.repository} at commit {chosen.commit[:12]}, or leave data_dir out to download it",
        )
        return local
    otherwise = f"point data_dir at a folder that holds '{chosen.folder}'"
    fetched = download.github(
        chosen.repository, chosen.commit, chosen.prefix, otherwise, lambda new: verify(name, new, otherwise), keep=files(name).keys()
    )
    verify(name, fetched, f"delete the folder '{fetched}' and run again")
    return fetched


def sources(name: str) -> dict[str, str]:
    """What a result says of a data set: ``licence``, ``citation``, ``sha256`` (over its lines of SHA256SUMS), origin."""
    chosen = _set(name)
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in files(name).items())
    return {
        "licence": chosen.licence,
        "citation": chosen.citation.strip(),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
        "repository": chosen.repository,
        "commit": chosen.commit,
    }
