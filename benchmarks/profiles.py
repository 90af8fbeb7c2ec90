"""Time and memory of the causal profiles on a panel of Pythia's size, and of a general library for the same effects.

    python benchmarks/profiles.py own [rows] [checkpoints] [never-seen rows]
    python benchmarks/profiles.py library …

``own`` runs the whole part of one model: tables, claims, and the simulated samples that calibrate one claim at one truth. ``library`` runs
the Callaway and Sant'Anna estimator of ``diff-diff``, clustered, without a bootstrap, aggregates or slopes. Measured on one core of a
2-core machine with 20,000 rows, of which 4,000 never seen, and 154 checkpoints: see the output of the run for yours.
"""

from __future__ import annotations

import resource
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
from trajectories.experiments.memorization.parts import profiles
from trajectories.experiments.memorization.run import Run, Window
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.findings import Findings
from trajectories.suites import Model

ROWS_PER_STEP, STEPS, SIMULATIONS = 1024, 143_000, 200


def simulated(rows: int, checkpoints: int, never: int) -> Run:
    """Rows spread over Pythia's order, some never seen; every exposure has an effect that halves in a tenth of training."""
    generator = np.random.default_rng(0)
    linear = checkpoints - 11
    steps = np.unique(np.concatenate([[0], 2 ** np.arange(10), np.round(np.linspace(0, STEPS, linear + 1))[1:]]).astype(int))
    row = np.sort(generator.integers(0, STEPS * ROWS_PER_STEP, rows))
    n = rows + never
    ids = np.array([f"item-{i:06d}" for i in range(n)])
    kinds = np.where(np.arange(n) < rows, "row", "never")
    items = pd.DataFrame({"item_id": ids, "kind": kinds, "copy_group": np.arange(n), "weight": 1.0})
    exposures = pd.DataFrame({"item_id": ids[:rows], "order": "standard", "row": row, "step": row // ROWS_PER_STEP})
    place = np.append(row / (STEPS * ROWS_PER_STEP), np.full(never, 9.0))[:, None]
    age = steps[None] / STEPS - place
    y = generator.normal(size=(n, 1)) + 0.2 * generator.normal(size=(n, len(steps))) + np.where(age > 0, 0.5 ** (age / 0.1), 0.0)
    facts = {"layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 512, "learning_rate": 0.001, "dtype": "float32"}
    model = Model(
        name="simulated", parameters_non_embedding=500, parameters_total=8692, steps=steps.tolist(), order="standard", steps_total=STEPS,
        rows_per_step=ROWS_PER_STEP, tokens_per_step=ROWS_PER_STEP * 2048, **facts,
    )  # fmt: skip
    return Run(model, steps, Window(32, 32, 0), True, items, exposures, {"logprob": y, "memorized": y > 2})


def own(run: Run) -> None:
    """The part, then simulated samples of one truth."""
    settings = AnalyseSettings()
    context = SimpleNamespace(settings=settings, generator=lambda purpose: np.random.default_rng([1, *purpose.encode()]))
    found, start = Findings(), time.perf_counter()
    profiles.analyse(run, context, found)  # type: ignore[arg-type]
    print(f"tables and claims: {time.perf_counter() - start:.1f} s; { ({k: len(v) for k, v in found.extra.items()}) } rows")
    start, generator = time.perf_counter(), np.random.default_rng(0)
    for _ in range(SIMULATIONS):
        found.calibrands[0].simulate(generator, 0.1)
    print(f"{SIMULATIONS} simulated samples: {time.perf_counter() - start:.1f} s")


def library(run: Run) -> None:
    """The same effects from ``diff-diff``."""
    from diff_diff import CallawaySantAnna

    first = run.items["item_id"].map(run.exposures.set_index("item_id")["step"])
    treated = np.searchsorted(run.steps, first.fillna(np.inf), side="right")
    n, t = run.outcomes["logprob"].shape
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(n), t),
            "period": np.tile(np.arange(t), n),
            "y": run.outcomes["logprob"].ravel(),
            "first": np.repeat(np.where(treated < t, treated, 0), t),
            "batch": np.repeat(first.fillna(-1).where(first.notna(), -1 - np.arange(n)).to_numpy(), t),
        }
    )
    start = time.perf_counter()
    fitted = CallawaySantAnna(base_period="universal", cluster="batch").fit(
        frame, outcome="y", unit="unit", time="period", first_treat="first"
    )
    print(f"effects by cohort and checkpoint: {time.perf_counter() - start:.1f} s; {len(fitted.group_time_effects)} effects")


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[2:]]
    rows, checkpoints, never = given + [16000, 154, 4000][len(given) :]
    {"own": own, "library": library}[sys.argv[1]](simulated(rows, checkpoints, never))
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
