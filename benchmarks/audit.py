"""How often the audit's comparison of checkpoints in time is wrong, and what it costs.

    python benchmarks/audit.py rates --runs 100 --checkpoints results/nano/checkpoints
    python benchmarks/audit.py cost

``rates`` counts false alarms on simulated smooth runs (drift and diffusion in all proportions, with and without noise that has no memory;
five schedules; log-spaced and linear steps; three types of numbers) and, with ``--checkpoints``, on those of a finished run of the
embedded suite; then the anomalies that are found of those planted in both (of the simulated runs, in those of more than 100 checkpoints).
``cost`` counts requests and bytes for a model of 154 checkpoints on a loopback Hub.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from hub.histories import PYTHIA, SCHEDULES, history, revision, samples
from hub.server import LoopbackHub
from trajectories.hub import audit
from trajectories.hub.continuity import Sample, out_of_line
from trajectories.hub.probes import Probe

STEPS = {
    "Pythia's": PYTHIA,
    "every 1000": list(range(0, 100_001, 1000)),
    "sparse": [0, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000],
}
SHAPES = {f"{part}.{name}": shape for part in "abc" for name, shape in {"norm.weight": (96,), "bias": (128,), "matrix": (30, 32)}.items()}
PARTS = [name[0] + (" matrices" if name.endswith("matrix") else " vectors") for name in SHAPES]
Run = list[Sample]
Plant = Callable[[Run, Run, int, np.random.Generator], set[int]]


def moved(k: int) -> Plant:
    def plant(run: Run, other: Run, at: int, random: np.random.Generator) -> set[int]:
        """Weights from k checkpoints later (or earlier, near the end), which do not stand under their own step too."""
        source = at + k if at + k < len(run) - 1 else max(at - k, 0)
        run[at] = Sample(run[at].step, run[source].values, run[at].epsilon)
        wrong = {run[at].step}
        del run[source]
        return wrong

    return plant


def final(run: Run, other: Run, at: int, random: np.random.Generator) -> set[int]:
    """Weights of the last step, not to the bit."""
    run[at] = Sample(run[at].step, run[-1].values, run[at].epsilon)
    return {run[at].step}


def shard(run: Run, other: Run, at: int, random: np.random.Generator) -> set[int]:
    """One of three parts is the last step's."""
    part = "abc"[random.integers(3)]
    values = [run[-1].values[k] if p[0] == part else v for k, (p, v) in enumerate(zip(PARTS, run[at].values, strict=True))]
    run[at] = Sample(run[at].step, values, run[at].epsilon)
    return {run[at].step}


def seed(run: Run, other: Run, at: int, random: np.random.Generator) -> set[int]:
    """The same step of another seed's run."""
    run[at] = other[at]
    return {run[at].step}


def spliced(run: Run, other: Run, at: int, random: np.random.Generator) -> set[int]:
    """Another seed's run for up to ten steps in a row."""
    stop = min(at + int(random.integers(2, 11)), len(run) - 1)
    run[at:stop] = other[at:stop]
    return {s.step for s in run[at:stop]}


def start(run: Run, other: Run, at: int, random: np.random.Generator) -> set[int]:
    """Step 0 of another seed."""
    run[0] = other[0]
    return {run[0].step}


PLANTED: dict[str, Plant] = {
    "another step's, 2 away": moved(2),
    "another step's, 4 away": moved(4),
    "another step's, 10 away": moved(10),
    "the last step's": final,
    "one shard of the last step's": shard,
    "another seed's, one step": seed,
    "another seed's, 2 to 10 steps": spliced,
    "another seed's step 0": start,
}


def simulated(runs: int, random: np.random.Generator) -> Iterator[tuple[str, bool, Run, Run]]:
    """Runs of all kinds, whether they are mostly noise without memory, each with one of another seed."""
    for number in range(runs):
        schedule, steps = list(SCHEDULES)[number % len(SCHEDULES)], list(STEPS)[number % len(STEPS)]
        dtype = ["F32", "F16", "BF16"][random.integers(3)]
        kind = {"schedule": schedule, "drift": random.choice([0.0, 0.3, 0.6, 0.9]), "noise": random.choice([0.0, 0.3, 1.0, 3.0])}
        kind["travel"] = random.uniform(0.5, 4)
        both = [samples(history(2 * number + k, STEPS[steps], SHAPES, **kind), dtype) for k in (0, 1)]
        yield steps, kind["noise"] > 1, both[0], both[1]


def trained(folder: Path) -> Iterator[tuple[str, Run, list[str]]]:
    """The embedded suite's runs, read as the audit reads them."""
    for model in sorted(p for p in folder.iterdir() if p.is_dir()):
        steps = sorted(int(p.name[4:]) for p in model.glob("step*") if p.name[4:].isdigit())
        sources = {step: audit._here(model / f"step{step}", ["model.safetensors"]) for step in steps}
        probe = Probe(*sources[steps[-1]])
        yield model.name, [probe.sample(step, *sources[step]) for step in steps], probe.parts


def line(*cells: object) -> None:
    print("| " + " | ".join(str(c) for c in cells) + " |", flush=True)


def rates(runs: int, checkpoints: Path | None) -> None:
    random = np.random.default_rng(1)
    line("runs", "checkpoints", "flagged", "runs with a flag")
    line("---", "--:", "--:", "--:")
    everything = list(simulated(runs, random))
    alarms = [(steps, len(run), len(out_of_line(run, PARTS))) for steps, _, run, _ in everything]
    for steps in STEPS:
        own = [(n, k) for s, n, k in alarms if s == steps]
        line(f"{len(own)} simulated, steps {steps}", sum(n for n, _ in own), sum(k for _, k in own), sum(k > 0 for _, k in own))
    suite = [] if checkpoints is None else list(trained(checkpoints))
    for name, run, parts in suite:
        found = out_of_line(run, parts)
        line(name, len(run), len(found), int(bool(found)))
    # every other, third … checkpoint of the trained runs: other spacings of real weights
    thinned = [(run[k::every], parts) for _, run, parts in suite for every in (2, 3, 4) for k in range(every)]
    flags = [len(out_of_line(run, parts)) for run, parts in thinned]
    if thinned:
        line(f"{len(thinned)} thinned ones", sum(len(run) for run, _ in thinned), sum(flags), sum(f > 0 for f in flags))
    print()
    line("planted", "runs", "found", "others flagged")
    line("---", "--:", "--:", "--:")
    for name, plant in PLANTED.items():
        for noisy in (False, True):
            runs_so = [(run, other, PARTS) for steps, so, run, other in everything if so == noisy and steps != "sparse"]
            told(f"{name}, simulated{', mostly noise' if noisy else ''}", plant, runs_so, random)
        pairs = {n: (run, parts) for n, run, parts in suite}
        if {"nano-s", "nano-s-seed2"} <= set(pairs) and name != "one shard of the last step's":
            told(f"{name}, nano-s", plant, [(pairs["nano-s"][0], pairs["nano-s-seed2"][0], pairs["nano-s"][1])] * 16, random)


def told(name: str, plant: Plant, runs: list[tuple[Run, Run, list[str]]], random: np.random.Generator) -> None:
    hits, others, planted = 0, 0, 0
    for run, other, parts in runs:
        changed = list(run)
        wrong = plant(changed, other, int(random.integers(1, len(run) - 1)), random)
        found = set(out_of_line(changed, parts))
        hits, others, planted = hits + len(wrong & found), others + len(found - wrong), planted + len(wrong)
    line(name, len(runs), f"{hits / planted:.0%} of {planted}", others)


def cost() -> None:
    line("files", "type", "bytes of weights", "listing requests", "requests for tensors", "bytes read", "seconds")
    line("---", "---", "--:", "--:", "--:", "--:", "--:")
    shapes = {f"layers.{k}.{n}": s for k in range(12) for n, s in {"norm.weight": (256,), "bias": (256,), "matrix": (1024, 256)}.items()}
    for shards, dtype in ((1, "F16"), (3, "F16"), (3, "F32")):
        run = history(1, shapes=shapes)
        with LoopbackHub() as hub:
            os.environ["HF_ENDPOINT"] = hub.endpoint
            repository = hub.add("owner/model", {f"step{step}": revision(tensors, shards, dtype) for step, tensors in run.items()})
            whole = sum(e.size for files in repository.commits.values() for e in files.values() if e.large)
            started = time.monotonic()
            table = audit.of_repository("owner/model")
            seconds = time.monotonic() - started
            assert set(table["status"]) == {"ok"}
            asked = [len(hub.asked("^/api/")), len(hub.asked("resolve|storage")), hub.sent("resolve|storage")]
        line(shards, dtype, f"{whole:,}", asked[0], asked[1], f"{asked[2]:,}", f"{seconds:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rates", "cost"])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--checkpoints", type=Path)
    args = parser.parse_args()
    if args.what == "rates":
        rates(args.runs, args.checkpoints)
    else:
        cost()


if __name__ == "__main__":
    main()
