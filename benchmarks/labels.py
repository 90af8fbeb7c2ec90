"""What a label costs: teacher forcing beside generation, on one checkpoint's own sample of rows.

    python benchmarks/labels.py results/nano/checkpoints/nano-m/step1200 --threads 1

decides for the rows of the memorization experiment's stimuli (every n-th of them) whether greedy decoding gives the scored tokens: by one
teacher-forced pass (labels alone, and with log-probabilities), with the share of tokens reproduced on top (decoding on from the first
error), by ``generate`` with a cache, and by ``generate`` without one. All in one process, in turns; the shortest processor time of several
rounds counts, and ratios are to the labels with log-probabilities. Labels are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Processor time in seconds, and the result."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def generated(module: Any, prompts: np.ndarray, n: int, batch: int, cache: bool) -> np.ndarray:
    """Greedy continuations by transformers' own loop, int64 [prompts, n]."""
    import torch

    parts = []
    with torch.inference_mode():
        for begin in range(0, len(prompts), batch):
            part = torch.from_numpy(prompts[begin : begin + batch])
            out = module.generate(
                part, attention_mask=torch.ones_like(part), do_sample=False, max_new_tokens=n, eos_token_id=None, pad_token_id=0,
                use_cache=cache,
            )  # fmt: skip
            parts.append(out[:, part.shape[1] :].numpy())
    return np.concatenate(parts)


def main() -> int:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--rows", type=int, default=1000, help="at most so many rows, evenly chosen")
    parser.add_argument("--batch", type=int, default=256, help="rows per batch of generate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    from trajectories import tables
    from trajectories.extraction import items, measures
    from trajectories.extraction import model as loading
    from trajectories.extraction.run import measure

    root = args.checkpoint.resolve().parents[2]
    table = tables.read_arrow(root / "stimuli" / "memorization.parquet")
    table = table.take(np.linspace(0, len(table) - 1, min(args.rows, len(table))).astype(int))
    model = loading.load(args.checkpoint, "float32", "cpu", args.threads)
    start, end = table["start"][0].as_py(), table["end"][0].as_py()
    ids = np.stack(table["input_ids"].to_numpy(zero_copy_only=False)).astype(np.int64)

    def ours(*names: str) -> Callable[[], np.ndarray]:
        plan = measures.plan([{"name": name} for name in names], "benchmark")
        shown = items.from_table(table, plan, "benchmark")

        def label() -> np.ndarray:
            return measure(model, shown, plan, 16384, "benchmark")[0]["matched"].to_numpy()

        return label

    def theirs(cache: bool) -> np.ndarray:
        right = generated(model.module, ids[:, :start], end - start, args.batch, cache) == ids[:, start:end]
        return np.where(right.all(axis=1), right.shape[1], right.argmin(axis=1))

    ways: dict[str, Callable[[], np.ndarray]] = {
        "labels": ours("greedy"),
        "labels, log-probability": ours("logprob", "greedy"),
        "labels, log-probability, score": ours("logprob", "greedy", "generate"),
        "generate, cache": lambda: theirs(True),
        "generate, no cache": lambda: theirs(False),
    }
    best: dict[str, float] = {}
    found: dict[str, np.ndarray] = {}
    for _ in range(args.rounds):
        for name, way in ways.items():
            seconds, found[name] = timed(way)
            best[name] = min(seconds, best.get(name, np.inf))
    one, expected = best["labels, log-probability"], found["generate, cache"]
    print(f"{len(ids)} rows, {start} tokens given, {end - start} scored, {args.threads} thread(s)")
    for name, seconds in best.items():
        print(f"{name:32s} {seconds:7.2f} s  {seconds / one:5.2f}  {int((found[name] != expected).sum())} matched lengths differ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
