"""Extraction beside its peers on one checkpoint: do the sums agree, and how long does each take?

    python benchmarks/extraction.py results/nano/checkpoints/nano-m/step600 --threads 1

scores every planted minimal pair (or those of a folder with BLiMP's files) with this package, lm-evaluation-harness and minicons in one
process, in turns, and prints processor time and agreement. Start-up and loading are left out of all times.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

# in place of this folder, whose file would hide the tests' package of the same name
sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")


def read_pairs(checkpoint: Path, blimp: Path | None) -> list[tuple[str, str]]:
    """Minimal pairs (good, bad): BLiMP's, or the planted ones of the embedded suite that the checkpoint belongs to."""
    if blimp is not None:
        lines = [json.loads(line) for path in sorted(blimp.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
        return [(line["sentence_good"], line["sentence_bad"]) for line in lines]
    import pandas as pd

    truth = pd.read_parquet(checkpoint.resolve().parents[2] / "corpus" / "truth" / "paradigms.parquet")
    return list(zip(truth["good"], truth["bad"], strict=True))


def timed(score: Callable[[], np.ndarray], rounds: int) -> tuple[float, np.ndarray]:
    """The shortest processor time of several rounds, in seconds, and the result."""
    best, found = float("inf"), np.zeros(0)
    for _ in range(rounds):
        begun = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            found = score()
        best = min(best, time.process_time() - begun)
    return best, found


def main() -> int:
    """Print one line per peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--blimp", type=Path, help="folder with BLiMP's .jsonl files")
    parser.add_argument("--pairs", type=int, default=1000, help="at most so many pairs, evenly chosen")
    parser.add_argument("--batch", type=int, default=64, help="sentences per batch of the peers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    from extraction import peers
    from extraction.tiny import asked, items_of
    from trajectories.extraction import model as loading
    from trajectories.extraction.run import measure

    pairs = read_pairs(args.checkpoint, args.blimp)
    pairs = pairs[:: max(1, len(pairs) // args.pairs)][: args.pairs]
    sentences = [good for good, _ in pairs] + [bad for _, bad in pairs]
    model = loading.load(args.checkpoint, "float32", "cpu", args.threads)
    module, tokenizer = peers.pair(args.checkpoint)

    def ours() -> np.ndarray:
        plan = asked("logprob")
        shown = [[tokenizer.eos_token_id, *tokenizer(s, add_special_tokens=False).input_ids] for s in sentences]
        return measure(model, items_of(shown, plan), plan, 16384, "pairs")[0]["logprob"].to_numpy()

    seconds, expected = timed(ours, args.rounds)
    half = len(pairs)
    accuracy = np.mean(expected[:half] > expected[half:])
    print(f"{len(sentences)} sentences, {args.threads} thread(s), batches of {args.batch}: accuracy {accuracy:.4f}")
    print(f"{'trajectories':24s} {seconds:8.2f} s")
    for name, peer in (("lm-evaluation-harness", peers.harness), ("minicons", peers.minicons)):
        theirs, found = timed(lambda peer=peer: peer(module, tokenizer, sentences, args.batch), args.rounds)  # type: ignore[misc]
        flipped = int(np.sum((found[:half] > found[half:]) != (expected[:half] > expected[half:])))
        print(
            f"{name:24s} {theirs:8.2f} s  {theirs / seconds:5.2f} times as long; "
            f"largest difference {np.abs(found - expected).max():.1e} nats, {flipped} of {half} decisions differ"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
