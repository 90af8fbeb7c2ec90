"""What two results folders hold, compared byte by byte, and whether everything that looks whole is whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
from trajectories import tables
from trajectories.extraction.store import Store
from workflow.flow import Flow

ABOUT_THE_RUN = ("logs", "benchmarks", "recipes")
"""What tells of how a run went: times, the log's lines. All else, provenance included, is the same byte for byte."""


def results(flow: Flow) -> Path:
    return flow.folder / "results" / "miniature"


def files(root: Path) -> dict[str, Path]:
    """The files that are there to be read, by path below ``root``; names that begin with a dot are nobody's input but training's own."""
    found = {path.relative_to(root): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {
        str(name): path
        for name, path in found.items()
        if name.parts[0] not in ABOUT_THE_RUN and not any(part.startswith(".") and part != ".state" for part in name.parts)
    }


def differences(found: Path, expected: Path) -> list[str]:
    """The names of files that only one folder has, or that differ."""
    here, there = files(found), files(expected)
    odd = sorted(set(here) ^ set(there))
    return odd + [name for name in sorted(set(here) & set(there)) if here[name].read_bytes() != there[name].read_bytes()]


def half_written(root: Path) -> list[str]:
    """The files that stand under a final name and are not whole."""
    wrong = []
    for name, path in files(root).items():
        try:
            if path.suffix == ".parquet":
                pq.ParquetFile(path, page_checksum_verification=True).read()
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix in (".html", ".svg"):
                assert path.read_text(encoding="utf-8").rstrip().endswith(f"</{path.suffix[1:]}>")
            if path.name in ("checkpoint.json", "order.json", "corpus.json"):
                manifest = json.loads(path.read_text(encoding="utf-8"))
                listed = manifest.get("files") or {shard["name"]: shard for shard in manifest["shards"]}
                assert all(tables.sha256(path.parent / file) == entry["sha256"] for file, entry in listed.items())
        except Exception as error:  # whatever a reader would stumble over
            wrong.append(f"{name}: {error!r}")
    store = Store(root / "store")
    keys = [path.name for path in store.root.glob("[!.]*") if path.is_dir() and path.name not in ("leases", "counts")]
    return wrong + [f"store/{key}" for key in keys if store.get(key) is None]


def worth_keeping(root: Path) -> dict[Path, int]:
    """What cost a model's time and is whole: weights with their manifest, and entries of the store; with the times of their change."""
    weights = [path.with_name("model.safetensors") for path in root.glob("checkpoints/*/step*/checkpoint.json")]
    return {path.relative_to(root): path.stat().st_mtime_ns for path in [*weights, *root.glob("store/[!.]*/entry.json")]}


def remove(flow: Flow, *names: str) -> None:
    """Remove results by their names below the suite's folder."""
    for name in names:
        for path in results(flow).glob(name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
