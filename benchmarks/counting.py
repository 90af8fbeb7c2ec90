"""How fast terms are counted in a training order: time and peak memory, on an order of made-up tokens in Pythia's shape.

    python benchmarks/counting.py --tokens 500000000 --terms 1000 --pairs 1000

writes an order whose tokens have a natural language's frequencies (Zipf) into a temporary folder, takes terms of one to four tokens from
its own rows, so that they occur, and counts them, first alone, then with pairs. Times are of reading and counting alone.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROW_TOKENS, VOCABULARY, END = 2049, 50_304, 0


def made(rows: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of tokens, ranks drawn by Zipf's law; every 500th token or so ends a document."""
    weights = 1 / (np.arange(1, VOCABULARY) + 2.7)
    edges = np.cumsum(weights / weights.sum())
    for start in range(0, rows, 1024):
        shape = (min(1024, rows - start), ROW_TOKENS)
        tokens = 1 + np.searchsorted(edges, random.random(shape, np.float32)).astype(np.uint16)
        tokens[random.random(shape, np.float32) < 1 / 500] = END
        yield np.minimum(tokens, VOCABULARY - 1).astype(np.uint16)


def write(folder: Path, rows: int, random: np.random.Generator) -> None:
    """An order in Megatron's format, written piece by piece."""
    from trajectories import tables
    from trajectories.orders.megatron import write_index

    with open(folder / "document.bin", "wb") as file:
        for part in made(rows, random):
            file.write(part.astype("<u2").tobytes())
    write_index(folder / "document.idx", rows, ROW_TOKENS)
    shard = {"name": "document.bin", "bytes": rows * ROW_TOKENS * 2, "sha256": None}
    manifest = {"order": "made-up", "row_tokens": ROW_TOKENS, "rows": rows, "rows_per_step": 1024, "index": "document.idx"}
    tables.write_json(folder / "order.json", {**manifest, "shards": [shard], "remote": None})


def main() -> int:
    """Print a line for the terms, and one for terms and pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=500_000_000)
    parser.add_argument("--terms", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20, help="steps up to which is counted")
    args = parser.parse_args()

    from trajectories.orders import open_order
    from trajectories.orders.counting import count
    from trajectories.orders.terms import Terms

    random = np.random.default_rng(1)
    rows = args.tokens // ROW_TOKENS // 1024 * 1024
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), rows, random)
        reader = open_order(Path(name))
        sample = reader[random.integers(0, rows, 64)].ravel()
        sequences = {}
        for i in range(args.terms):
            at, length = int(random.integers(len(sample) - 4)), 1 + i % 4
            sequences[f"t{i}"] = [sample[at : at + length].tolist()]
        pairs = [(f"t{a}", f"t{b}") for a, b in random.integers(0, args.terms, (args.pairs, 2))]
        steps = [int(s) for s in np.unique(np.linspace(1, rows // 1024, args.steps).round())]
        for what, terms in {"terms": Terms(sequences, (), END), "terms and pairs": Terms(sequences, pairs, END)}.items():
            wall, used = time.perf_counter(), time.process_time()
            found = count(reader, terms, steps, 2 * args.tokens, random)
            wall, used = time.perf_counter() - wall, time.process_time() - used
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{what}: {found.read * (ROW_TOKENS - 1):,} tokens, {len(terms.names)} terms, {len(terms.pairs)} pairs: {wall:.1f} s "
                f"({used:.1f} s of one processor), peak memory {memory:.0f} MB; {found.count[-1].sum():,.0f} found"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
