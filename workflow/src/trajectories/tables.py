"""Tables and small files on disk: Parquet and JSON with provenance, written whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from trajectories.errors import Damaged, UserError, unreadable

if TYPE_CHECKING:
    import pandas as pd  # a second to import, which verbs that only copy tables do without

_KEY = b"trajectories"
_ABANDONED = 24 * 3600.0  # seconds after which an unfinished file counts as left behind by a process that was killed


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it over ``path`` when the block ends well.

    Whoever reads ``path`` sees the old content or the new one, never a part of it; the content is on disk before the name is.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise UserError(f"Cannot write '{path}': {error.strerror}; choose another 'results' folder or free it.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"Cannot write '{path}': {error.strerror}; free space or fix the folder, then run again.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole, or not at all; a number that is not finite is an error."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=False, allow_nan=False) + "\n")


def absent(path: Path) -> UserError:
    """What to raise where a result is not there yet."""
    return UserError(f"'{path}' does not exist; run the verb that makes it first (`trajectories --help` lists them in their order).")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises :class:`UserError` if absent, :class:`Damaged` if it is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise absent(path) from None
    except (ValueError, RecursionError) as error:
        raise Damaged(path, str(error)) from error


def write_table(
    table: pd.DataFrame | pa.Table,
    path: Path,
    provenance: dict[str, Any] | None = None,
    schema: pa.Schema | None = None,
    **metadata: Any,
) -> None:
    """Write a Parquet file whose own metadata says where it comes from.

    Args:
        table: the rows; the index of a data frame is not kept.
        path: where to; parent folders are made.
        provenance: JSON-able; what :func:`provenance` of this module reads back.
        schema: columns and types; a missing or an extra column is an error.
        metadata: further JSON-able entries, read back with :func:`metadata`.
    """
    if not isinstance(table, pa.Table):
        if schema is not None:
            missing, extra = set(schema.names) - set(table.columns), set(table.columns) - set(schema.names)
            if missing or extra:
                raise ValueError(f"{path}: columns missing {sorted(missing)}, unexpected {sorted(extra)}")
            table = table[schema.names]
        table = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    entry = json.dumps({"provenance": provenance or {}, **metadata}, sort_keys=True, ensure_ascii=False)
    table = table.replace_schema_metadata({_KEY: entry.encode()})
    with replacing(path) as temporary:
        # neither the format nor the compression would notice a flipped bit
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise absent(path) from None
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not the format's
            raise unreadable(path, error) from error
        raise Damaged(path, f"not a whole Parquet table: {(str(error).splitlines() or [''])[0]}") from error


def read_arrow(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file as an Arrow table; raises :class:`UserError` if absent, :class:`Damaged` if it is not whole."""
    with _reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        # unlike pq.read_table without pyarrow.dataset, which imports pandas
        return file.read(columns=list(columns) if columns else None)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file written by :func:`write_table`; raises :class:`UserError` if absent or damaged."""
    return read_arrow(path, columns).to_pandas()


def metadata(path: Path) -> dict[str, Any]:
    """All that :func:`write_table` put beside the rows; ``{}`` for a foreign file."""
    with _reading(path):
        return json.loads((pq.read_schema(path).metadata or {}).get(_KEY, b"{}"))


def provenance(path: Path) -> dict[str, Any]:
    """The provenance of a table."""
    return metadata(path).get("provenance", {})


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any, length: int = 16) -> str:
    """Short hexadecimal digest of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
