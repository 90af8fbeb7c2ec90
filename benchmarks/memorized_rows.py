"""Time and memory of the analysis of complete lists at full size: ``python benchmarks/memorized_rows.py [folder]``.

Makes a copy of the layout of Pythia's published lists of memorized rows (eight models, six earlier checkpoints of the largest one,
146,432,000 rows, tokens and all; some 5 GB in ``folder``, kept for the next run), with a planted slope, planted clumps and a planted share
that is forgotten, runs the command's verbs from the lists to the figures, and prints a table in Markdown. The exit code is 1 if a verb took
more than 4 GB, all of them together more than 10 minutes, or an estimate misses what was planted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from published.row_lists import REPOSITORY as NAME  # noqa: E402
from published.row_lists import Truth, memorized, nested, write_split  # noqa: E402

SECONDS, MEGABYTES = 600, 4000
ROWS, PER_STEP, SLOPE, CLUMP, FORGOTTEN = 146_432_000, 1024, 0.1, 1.1, 0.2
COUNTS = {
    "70m": 463_953, "160m": 689_673, "410m": 970_341, "1b": 1_256_141,
    "1.4b": 1_373_722, "2.8b": 1_675_077, "6.9b": 2_120_969, "12b": 2_382_326,
}  # fmt: skip
EARLIER = (23000, 43000, 63000, 83000, 103000, 123000)


def make(folder: Path) -> None:
    """Write the lists, one split at a time."""
    generator, truth = np.random.default_rng(1), Truth(ROWS, SLOPE, clump=CLUMP)
    rows = np.empty(0, dtype=np.int64)
    for size, count in COUNTS.items():
        fresh = memorized(truth, int(count - 0.9 * len(rows)), ROWS, generator)
        rows = nested(rows, fresh, 0.9, generator)
        write_split(folder, f"duped.{size}", rows, truth, generator, files=2)
        print(f"duped.{size}: {len(rows):,} rows", flush=True)
    for step in reversed(EARLIER):
        seen = rows[rows < step * PER_STEP]
        kept = seen[generator.random(len(seen)) < 0.9]
        lost = memorized(truth, int(len(kept) * FORGOTTEN / (1 - FORGOTTEN)), step * PER_STEP, generator)
        rows = np.union1d(kept, np.setdiff1d(lost, rows))
        write_split(folder, f"duped.12b.{step}", rows, truth, generator)
        print(f"duped.12b.{step}: {len(rows):,} rows", flush=True)


def measured(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and peak memory (MB) of a command; ends the run if it fails."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "trajectories", *arguments], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"trajectories {' '.join(arguments)} failed")
    return time.monotonic() - start, usage.ru_maxrss / 1000


def main(folder: Path) -> int:
    """Make the lists if they are not there, run the verbs, print the table."""
    data = folder / NAME / "data"
    if not (folder / "made").exists():
        make(data)
        (folder / "made").touch()
    config = folder / "config.yaml"
    config.write_text(f"suite: pythia-memorized\nexperiments: [memorization]\ndata_dir: {folder}\nresults: {folder / 'results'}\n")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow" / "src"), "OMP_NUM_THREADS": "1"}
    found: dict[str, list[tuple[float, float]]] = {}
    for size in COUNTS:
        for verb in ("published", "audit"):
            found.setdefault(verb, []).append(measured([verb, f"pythia-{size}", "--config", str(config)], environment))
    for verb in ("analyse", "figures"):
        found[verb] = [measured([verb, "memorization", "--config", str(config)], environment)]
    print("| verb | jobs | seconds, all jobs | peak memory (MB) |\n| --- | --: | --: | --: |")
    for verb, jobs in found.items():
        print(f"| {verb} | {len(jobs)} | {sum(s for s, _ in jobs):.0f} | {max(m for _, m in jobs):,.0f} |")
    seconds, memory = sum(s for jobs in found.values() for s, _ in jobs), max(m for jobs in found.values() for _, m in jobs)
    print(f"| all | {sum(map(len, found.values()))} | {seconds:.0f} | {memory:,.0f} |\n")
    sound = recovered(folder / "results" / "pythia-memorized")
    return int(seconds > SECONDS or memory > MEGABYTES or not sound)


def recovered(results: Path) -> bool:
    """Print estimates beside what was planted; whether all are near."""
    claims = pd.read_parquet(results / "claims" / "memorization.parquet")
    forgetting = pd.read_parquet(results / "trajectories" / "memorization.parquet").query("metric == 'retained'")["value"]
    primary = claims[claims["role"] == "primary"]
    slopes = primary.loc[primary["id"] == "late-rows-memorized", "estimate"]
    excess = primary.loc[primary["metric"] == "dispersion_index", "estimate"]
    rows = [
        ("log odds ratio, last to first row", SLOPE, slopes, 0.05),
        ("share retained from one checkpoint to the next", 1 - FORGOTTEN, forgetting, 0.02),
    ]
    print("| planted | truth | lowest estimate | highest estimate |\n| --- | --: | --: | --: |")
    for name, truth, values, _ in rows:
        print(f"| {name} | {truth:g} | {values.min():.3f} | {values.max():.3f} |")
    print(f"| dispersion index over 1, smallest model | {2 * CLUMP - 2:g} | {excess.iloc[0]:.3f} | {excess.iloc[0]:.3f} |")
    return all((values - truth).abs().max() < reach for _, truth, values, reach in rows)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/benchmark-memorized-rows").resolve()))
