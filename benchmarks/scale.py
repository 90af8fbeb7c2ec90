"""Do the plans of long runs grow in proportion? ``python benchmarks/scale.py [--times 1 2 4 8] [--by checkpoints]``.

Takes a made-up suite on the Hub of 16 models with 154 checkpoints each (all of Pythia), and multiples of it; runs Snakemake dry on
nothing (all jobs are to be planned), and for real on finished results (nothing is to be done), which are faked: empty files, written in the
sequence in which jobs would have made them. Prints a line per size with seconds of processor time, then the
exponents of growth: 1 is in proportion, 2 quadratic.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from trajectories import config, costs, experiments, recipes

ROOT = Path(__file__).resolve().parents[1]
NAME = "made-up"
MODELS, CHECKPOINTS = 16, 154


def suite(models: int, checkpoints: int) -> dict[str, Any]:
    """The suite's file: facts of a small model throughout, since only their number matters."""
    facts = {"layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 16, "learning_rate": 0.001, "dtype": "float16"}
    facts |= {"parameters_total": 1000, "parameters_non_embedding": 744, "rows_per_step": 1024, "tokens_per_step": 2097152}
    facts |= {"steps": [{"start": 0, "stop": checkpoints - 1, "every": 1}], "steps_total": checkpoints, "order": "pile"}
    facts |= {"repository": "owner/{name}", "revision": "step{step}"}
    order = {"row_tokens": 2049, "repository": "owner/pile", "index": "document.idx", "shards": ["document.bin"]}
    return {
        "title": "Made up",
        "description": "As large as asked for.",
        "source": "hub",
        "tokenizer": "owner/tokenizer",
        "orders": {"pile": order},
        "defaults": facts,
        "models": [{"name": f"model-{i}"} for i in range(models)],
    }


def fake(run: config.Resolved) -> int:
    """Write every output of the workflow, each stage later than what it stands on; returns how many jobs would have made them."""
    recipes.prepare(run)
    recipes.write_all(run)
    stages = ["order", "audit", "stimuli", "fetch", "audit_all", "count", "extract", "analyse", "figures", "report"]
    found = sorted(costs.outputs(run), key=lambda job: stages.index(job[0]))
    begun = time.time() - 10 * len(stages)
    for rule, path in found:
        others = {
            "stimuli": [run.root / folder / path.name for folder in ("exposures", "terms")],
            "analyse": [run.root / folder / path.name for folder in ("claims", "calibration", "recovery")],
            "report": [run.root / "claims.json"],
        }
        if rule == "figures":
            path.with_suffix("").mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        when = begun + 10 * stages.index(rule)
        for output in (path, *others.get(rule, [])):
            output.parent.mkdir(parents=True, exist_ok=True)
            output.touch()
            os.utime(output, (when, when))
        if rule == "figures":
            os.utime(path.with_suffix(""), (when, when))
    for recipe in (run.root / "recipes").glob("*.json"):
        os.utime(recipe, (begun - 10, begun - 10))
    return len(found)


def snakemake(folder: Path, *options: str) -> tuple[float, float, str]:
    """Seconds of processor time, largest memory of any run so far in MB, and what was said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2", "--quiet", "rules", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return seconds, after.ru_maxrss / 1000, done.stdout + done.stderr


def main() -> int:
    """Print one line per size, and the exponents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--by", choices=["checkpoints", "models"], default="checkpoints", help="what there are more of")
    args = parser.parse_args()
    print("| times | jobs | dry run of all (s) | nothing to do (s) | memory (MB) |\n| --: | --: | --: | --: | --: |")
    sizes, dry, idle = [], [], []
    for times in args.times:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part in ("Snakefile", "workflow", "profiles", "envs"):
                source = ROOT / part
                (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
            by = {"models": (MODELS * times, CHECKPOINTS), "checkpoints": (MODELS, CHECKPOINTS * times)}[args.by]
            (folder / "suites").mkdir()
            (folder / "suites" / f"{NAME}.yaml").write_text(yaml.safe_dump(suite(*by)))
            given = {"suite": NAME, "experiments": experiments.known(), "device": "cpu", "keep_checkpoints": False}
            (folder / "config.yaml").write_text(yaml.safe_dump(given))
            os.environ["TRAJECTORIES_SUITES"] = str(folder / "suites")
            os.environ["PYTHONPATH"] = str(folder / "workflow" / "src")
            seconds, _, _ = snakemake(folder, "-n")
            jobs = fake(config.resolve({**given, "results": str(folder / "results")}))
            idle_seconds, memory, said = snakemake(folder)
            if "Nothing to be done" not in said:
                sys.exit(f"The faked results are not up to date: {said[-2000:]}")
        sizes.append(jobs)
        dry.append(seconds)
        idle.append(idle_seconds)
        print(f"| {times} | {jobs:,} | {seconds:.1f} | {idle_seconds:.1f} | {memory:.0f} |", flush=True)
    if len(sizes) > 1:
        grown = math.log(sizes[-1] / sizes[-2])
        for what, values in (("dry run", dry), ("nothing to do", idle)):
            print(f"{what}: exponent {math.log(values[-1] / values[-2]) / grown:.2f} over the last step")
    return 0


if __name__ == "__main__":
    sys.exit(main())
