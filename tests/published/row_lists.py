"""A made-up copy of the Hub's data set of memorized rows: its columns, its files, its repeated indices, with what was planted known.

The chance that a row is memorized follows a line in log odds from the first row to the last; rows come in clumps of geometric size, so that
their counts are overdispersed; a larger model keeps a smaller one's rows; an early checkpoint lists rows of which some are forgotten later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

REPOSITORY = "pythia-memorized-evals"
SCHEMA = pa.schema({"index": pa.int64(), "tokens": pa.list_(pa.int64()), "__index_level_0__": pa.int64()})
CHUNK = 50_000


@dataclass(frozen=True)
class Truth:
    """What is planted.

    Attributes:
        rows: rows of the order.
        slope: log odds of the last row less those of the first.
        recency: added log odds in the last tenth of the rows that a checkpoint has seen.
        clump: mean number of neighbouring rows that are memorized together; 1 for none. The dispersion index of counts in bins that are
            wide beside it is near ``2 * clump - 1``.
        forgotten: chance that a row memorized at an early checkpoint is lost by the next one.
        repeats: share of lines that are listed twice.
    """

    rows: int
    slope: float = 0.0
    recency: float = 0.0
    clump: float = 1.0
    forgotten: float = 0.2
    repeats: float = 0.02


def memorized(truth: Truth, n: int, seen: int, generator: np.random.Generator) -> np.ndarray:
    """About ``n`` rows below ``seen``, ascending, each once, as planted (int64)."""
    wanted = round(n / truth.clump)
    groups = generator.integers(0, seen, int(wanted * 1.3 * np.exp(abs(truth.slope) + abs(truth.recency))) + 10)
    place = groups / max(seen - 1, 1)
    odds = truth.slope * (groups / max(truth.rows - 1, 1)) + truth.recency * (place > 0.9)
    kept = groups[generator.random(len(groups)) < np.exp(odds - max(truth.slope, 0.0) - max(truth.recency, 0.0))]
    kept = np.unique(kept) if truth.clump == 1 else kept
    kept = generator.choice(kept, min(wanted, len(kept)), replace=False)
    sizes = generator.geometric(1 / truth.clump, len(kept)) if truth.clump > 1 else np.ones(len(kept), int)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = np.unique(np.repeat(kept, sizes) + within)
    return rows[rows < seen]


def nested(smaller: np.ndarray, rows: np.ndarray, kept: float, generator: np.random.Generator) -> np.ndarray:
    """A larger model's rows: a share of the smaller one's, and ``rows``."""
    return np.union1d(smaller[generator.random(len(smaller)) < kept], rows)


def write_split(folder: Path, split: str, rows: np.ndarray, truth: Truth, generator: np.random.Generator, files: int = 1) -> None:
    """Write a split in the layout of the Hub's data set, in chunks; a part of the lines is listed twice, and lines are in no order."""
    folder.mkdir(parents=True, exist_ok=True)
    again = generator.choice(rows, int(len(rows) * truth.repeats), replace=False)
    listed = generator.permutation(np.concatenate([rows, again]))
    for i, part in enumerate(np.array_split(listed, files)):
        name = f"{split}-{i:05d}-of-{files:05d}-{generator.integers(0, 2**63):016x}.parquet"
        with pq.ParquetWriter(folder / name, SCHEMA) as writer:
            for chunk in _chunks(part, generator):
                writer.write_table(chunk, row_group_size=CHUNK)


def _chunks(rows: np.ndarray, generator: np.random.Generator) -> Iterator[pa.Table]:
    for start in range(0, len(rows), CHUNK):
        index = pa.array(rows[start : start + CHUNK], pa.int64())
        tokens = pa.array(generator.integers(0, 50_257, 64 * len(index)), pa.int64())
        offsets = pa.array(np.arange(0, 64 * len(index) + 1, 64, dtype=np.int32))
        yield pa.table({"index": index, "tokens": pa.ListArray.from_arrays(offsets, tokens), "__index_level_0__": index}, schema=SCHEMA)
