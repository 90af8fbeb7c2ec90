"""What it saves to fetch the next checkpoints while one is measured: ``python benchmarks/prefetch.py [--seconds 3]``.

Serves checkpoints of a small random model from a Hub on this machine that takes ``--seconds`` to send one, and measures them all with room
for two, once one after the other and once with the next one under way. Prints both times, and the share of the shorter of fetching and
measuring that was hidden behind the longer.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

# in place of this folder
sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")

CHUNK = 1 << 16


def main() -> int:
    """Print one line per way, and what was gained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="that the Hub takes to send a checkpoint's weights")
    parser.add_argument("--checkpoints", type=int, default=6)
    parser.add_argument("--items", type=int, default=400, help="sequences of 128 tokens that each is shown")
    args = parser.parse_args()
    logging.disable()

    import torch
    from extraction.tiny import Place, table_of
    from hub.server import LoopbackHub
    from trajectories import tables
    from trajectories.hub import fetch
    from trajectories.verbs import extract
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.set_num_threads(1)
    sizes = {"hidden_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 768}
    sequences = [[0, *((31 * i + 7 * j) % 96 + 1 for j in range(127))] for i in range(args.items)]
    seconds = {}
    with tempfile.TemporaryDirectory() as folder, LoopbackHub() as hub:
        os.environ["HF_ENDPOINT"] = hub.endpoint
        made = Place(Path(folder) / "made")
        for step in range(args.checkpoints):
            torch.manual_seed(step)
            made.save(GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=97, bos_token_id=0, eos_token_id=0, **sizes)), step)
        commits = hub.add_checkpoints("owner/tiny-a", made.layout.checkpoint("tiny-a", 0).parent).branches
        size = fetch.weights_bytes(tables.read_json(made.layout.checkpoint("tiny-a", 0) / "checkpoint.json"))
        hub.misbehave("slow", "^/storage/", times=float("inf"), seconds=args.seconds / -(-size // CHUNK))
        for way, ahead in {
            "warm-up": -1.0,
            "measuring alone": -1.0,
            "one after the other": -1.0,
            "with the next one under way": 1e9,
        }.items():
            place = Place(Path(folder) / way, source="hub", width=192)
            place.show("grammar", table_of(sequences), [{"name": "logprob", "options": {}}])
            for step in range(args.checkpoints):
                manifest = tables.read_json(made.layout.checkpoint("tiny-a", step) / "checkpoint.json")
                about = {"repository": "owner/tiny-a", "commit": commits[f"step{step}"]}
                tables.write_json(place.layout.checkpoint("tiny-a", step) / "checkpoint.json", manifest | about)
            extract.AHEAD_OF_FETCH = ahead
            steps = range(1) if way == "warm-up" else range(args.checkpoints)
            begun = time.perf_counter()
            for step in steps:
                place.extract("grammar", step, keep_checkpoints=False, weights_disk=2 * size)
            seconds[way] = time.perf_counter() - begun
            print(f"{way:28s} {seconds[way]:7.1f} s")
    apart, together = seconds["one after the other"], seconds["with the next one under way"]
    fetching = args.seconds * args.checkpoints
    shorter = min(fetching, apart - fetching)
    hidden = (apart - together) / shorter
    print(f"{args.checkpoints} checkpoints: {apart / together:.2f} times as fast; {hidden:.0%} of the shorter part hidden")
    return 0


if __name__ == "__main__":
    sys.exit(main())
