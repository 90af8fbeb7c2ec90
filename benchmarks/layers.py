"""What the lens and hidden states cost: processor time of one checkpoint on the same items, relative to log-probabilities alone.

    python benchmarks/layers.py results/nano/checkpoints/nano-m/step1200 --stimuli grammar

shows an experiment's stimuli to the checkpoint in turns, once per set of measures and round, in one process. Start-up and loading are left
out of all times; the medians over rounds are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

SETS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "logprob": [("logprob", {})],
    "logprob + hidden (last position)": [("logprob", {}), ("hidden", {})],
    "logprob + lens": [("logprob", {}), ("lens", {})],
    "logprob + lens + hidden": [("logprob", {}), ("lens", {}), ("hidden", {})],
    "logprob + lens + hidden, of a tenth": [("logprob", {}), ("lens", {"rows": "tenth"}), ("hidden", {"rows": "tenth"})],
}
"""Measures with their options, all layers throughout."""


def main() -> int:
    """Print one line per set of measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--stimuli", default="grammar", help="experiment whose stimuli are shown")
    parser.add_argument("--items", type=int, default=4000, help="at most so many items, evenly chosen")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    from trajectories import tables
    from trajectories.extraction import items, measures
    from trajectories.extraction import model as loading
    from trajectories.extraction.run import measure

    table = tables.read_arrow(args.checkpoint.absolute().parents[2] / "stimuli" / f"{args.stimuli}.parquet")
    table = table.take(pa.array(np.arange(0, table.num_rows, max(1, table.num_rows // args.items))[: args.items]))
    table = table.append_column("tenth", pa.array(np.arange(table.num_rows) % 10 == 0))
    model = loading.load(args.checkpoint, "float32", "cpu", args.threads)
    plans = {}
    for name, asked in SETS.items():
        plan = measures.plan([{"name": n, "options": options} for n, options in asked], args.stimuli)
        plans[name] = plan, items.from_table(table, plan, args.stimuli)
    seconds: dict[str, list[float]] = {name: [] for name in plans}
    for turn in range(args.rounds + 1):
        for name, (plan, shown) in plans.items():
            begun = time.process_time()
            measure(model, shown, plan, 16384, args.stimuli)
            if turn:  # the first one warms up
                seconds[name].append(time.process_time() - begun)
    median = {name: float(np.median(values)) for name, values in seconds.items()}
    shown = plans["logprob"][1]
    print(
        f"{len(shown)} items, {shown.length.mean():.1f} tokens each, {shown.span.mean():.1f} of them scored; "
        f"{model.layers} layers of width {model.width}, vocabulary of {model.vocabulary}, {args.threads} thread(s)"
    )
    for name, value in median.items():
        print(f"{name:36s} {value:7.2f} s  {value / median['logprob']:5.2f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
