"""Looks for a secret in everything that a run has left."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def holding(folder: Path, *secrets: str) -> list[str]:
    """The files below a folder whose name or content holds one of the secrets; tables are unpacked, metadata included."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            content += repr(table.schema.metadata).encode() + table.to_pandas().to_csv().encode()
        if any(secret.encode() in content or secret in str(path) for secret in secrets):
            found.append(path.relative_to(folder).as_posix())
    return found
