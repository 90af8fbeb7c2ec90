"""Hold the times that a run measured against its budget: ``python benchmarks/budget.py [results/nano]``.

Reads what Snakemake wrote beside the results (``benchmarks/**/*.tsv``, a line per job) and ``budget.yaml``, and prints a table in Markdown.
The exit code is 1 if a stage took more than its budget.
"""

import sys
from pathlib import Path

import pandas as pd
import yaml

HERE = Path(__file__).resolve().parent


def measured(results: Path) -> pd.DataFrame:
    """One row per stage: ``jobs``, ``seconds`` (sum over jobs), ``longest`` and ``memory_mb`` (the largest job's resident set)."""
    folder = results / "benchmarks"
    rows = []
    for path in folder.rglob("*.tsv"):
        job = pd.read_csv(path, sep="\t", na_values="-").iloc[-1]
        stage = path.relative_to(folder).parts[0].removesuffix(".tsv")
        rows.append({"stage": stage, "seconds": job["s"], "memory_mb": job["max_rss"]})
    if not rows:
        sys.exit(f"No measured times under '{folder}'; run the workflow first.")
    stages = pd.DataFrame(rows).groupby("stage")
    return pd.DataFrame(
        {
            "jobs": stages.size(),
            "seconds": stages["seconds"].sum(),
            "longest": stages["seconds"].max(),
            "memory_mb": stages["memory_mb"].max(),
        }
    )


def table(found: pd.DataFrame, budget: dict) -> tuple[str, bool]:
    """The table in Markdown, and whether every stage kept to its budget."""
    lines = ["| stage | jobs | seconds, all jobs | longest | budget per job | memory (MB) |", "| --- | --: | --: | --: | --: | --: |"]
    kept = True
    for stage, limits in budget["stages"].items():
        if stage in found.index:
            row, allowed = found.loc[stage], limits["seconds_per_job"]
            over = row["seconds"] > allowed * row["jobs"]
            kept &= not over
            lines.append(
                f"| {stage} | {row['jobs']:.0f} | {row['seconds']:.0f} | {row['longest']:.0f} | {allowed}{' (over)' if over else ''} "
                f"| {row['memory_mb']:.0f} |"
            )
    total = found["seconds"].sum()
    lines.append(f"| all | {found['jobs'].sum():.0f} | {total:.0f} | {found['longest'].max():.0f} | | {found['memory_mb'].max():.0f} |")
    return "\n".join(lines), kept


def main() -> int:
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results/nano")
    text, kept = table(measured(results), yaml.safe_load((HERE / "budget.yaml").read_text(encoding="utf-8")))
    print(text)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
