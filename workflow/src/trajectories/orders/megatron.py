"""Megatron's ``MMIDIDX`` index: how long each document of a binary token file is, and at which byte it begins.

Layout, little-endian: the magic, the version (uint64), the code of the tokens' type (uint8), the number of sequences and of document
bounds (uint64 each), then the sequences' lengths in tokens (int32), their first bytes (int64) and the document bounds (int64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajectories import tables
from trajectories.errors import Damaged, UserError, unreadable

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
TYPES = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.float32, 7: np.float64, 8: np.uint16}
_HEADER = struct.Struct("<QBQQ")


@dataclass(frozen=True)
class Index:
    """The content of an index file.

    Attributes:
        dtype: NumPy type of a token.
        sizes: int32 [sequences], tokens of each sequence.
        pointers: int64 [sequences], first byte of each sequence in the concatenated shards.
        documents: int64 [documents + 1], sequence at which each document begins, then the number of sequences.
    """

    dtype: np.dtype
    sizes: np.ndarray
    pointers: np.ndarray
    documents: np.ndarray


def write_index(path: Path, rows: int, row_tokens: int) -> None:
    """Write the index of ``rows`` sequences of ``row_tokens`` uint16 tokens each, every one a document of its own."""
    code = next(code for code, dtype in TYPES.items() if dtype is np.uint16)
    with tables.replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(MAGIC + _HEADER.pack(VERSION, code, rows, rows + 1))
        file.write(np.full(rows, row_tokens, "<i4").tobytes())
        file.write((np.arange(rows, dtype="<i8") * (row_tokens * 2)).tobytes())
        file.write(np.arange(rows + 1, dtype="<i8").tobytes())


def read_index(path: Path) -> Index:
    """Read an index file.

    Raises:
        UserError: the file is absent, of another format or version, or shorter or longer than its header says.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    start = len(MAGIC) + _HEADER.size
    if len(content) < start or not content.startswith(MAGIC):
        raise Damaged(path, f"no MMIDIDX index: it begins with {content[: len(MAGIC)]!r}")
    version, code, sequences, bounds = _HEADER.unpack_from(content, len(MAGIC))
    if version != VERSION or code not in TYPES:
        raise UserError(
            f"The index '{path}' has version {version} and token type {code}; only version {VERSION} and types 1 to 8 can be read."
        )
    expected = start + sequences * 12 + bounds * 8
    if len(content) != expected:
        raise Damaged(path, f"it has {len(content)} bytes, but its header promises {expected}")
    return Index(
        dtype=np.dtype(TYPES[code]),
        sizes=np.frombuffer(content, "<i4", sequences, start),
        pointers=np.frombuffer(content, "<i8", sequences, start + 4 * sequences),
        documents=np.frombuffer(content, "<i8", bounds, start + 12 * sequences),
    )
