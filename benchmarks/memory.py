"""How much memory an analysis of Pythia takes: ``python benchmarks/memory.py {grammar,memorization,bias,knowledge} [--models 2] [--all]``.

Gives the experiment made-up measurements of the size of a full run at 154 checkpoints of each of the largest models (BLiMP's 67,000 pairs;
26,000 rows; for ``bias`` and ``knowledge`` the stimuli that ``trajectories stimuli <experiment> --set suite=pythia`` has chosen, whose file
``--stimuli`` names), reads them as the analysis does, or with ``--all`` runs the whole analysis, and prints the largest resident memory.
What one more model adds is the difference between two such runs. ``--checkpoints`` takes fewer, since hidden states are read one at a time.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from trajectories import config, experiments, tables
from trajectories.analysis import AnalysisContext

PAIRS, ROWS = 67_000, 26_000


def peak() -> float:
    """Largest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def grammar(rng: np.random.Generator) -> tuple[pd.DataFrame, Any]:
    """Stimuli of BLiMP's shape, and a function from a step to what is measured."""
    number = np.arange(PAIRS)
    pair = pd.DataFrame(
        {"pair_id": number.astype(str), "paradigm": (number // 1000).astype(str), "phenomenon": (number // 6000).astype(str)}
    )
    pair = pair.assign(field="syntax", frequency=-1, set="blimp", identical=False)
    stimuli = pd.concat([pair.assign(variant=v, item_id=v + pair["pair_id"]) for v in ("good", "bad")], ignore_index=True)

    def measured(step: int) -> dict[str, Any]:
        return {"logprob": rng.normal(size=2 * PAIRS) + (stimuli["variant"] == "good") * np.log10(step + 1) / 5, "n_tokens": 10}

    return stimuli, measured


def memorization(rng: np.random.Generator) -> tuple[pd.DataFrame, Any]:
    """Rows of an order with the lists that extraction writes, and a function from a step to what is measured."""
    number = np.arange(ROWS)
    stimuli = pd.DataFrame({"item_id": number.astype(str), "unit": number, "kind": "row", "source": "made up", "k": 32, "offset": 0})
    stimuli = stimuli.assign(lengths=[[32]] * ROWS, primary=True, weight=1.0, canary_id=None, copy_group=number, copies_known=True)
    stimuli = stimuli.assign(zlib_bits=rng.normal(size=ROWS), distinct=rng.normal(size=ROWS), repeating=rng.random(ROWS) < 0.1)
    stimuli["counting"] = rng.random(ROWS) < 0.1

    def measured(step: int) -> dict[str, Any]:
        matched = np.where(rng.random(ROWS) < 0.05, 32, rng.integers(0, 32, ROWS))
        lists = {"hits": list(rng.random((ROWS, 32)) < 0.5), "score": rng.random(ROWS), "min_margin": rng.random(ROWS)}
        return {"logprob": rng.normal(size=ROWS), "n_tokens": 32, "matched": matched, "memorized": matched == 32, **lists}

    return stimuli, measured


def chosen(path: Path, rng: np.random.Generator, layers: int) -> tuple[pd.DataFrame, Any]:
    """Stimuli as the workflow chose them, and a function from a step to what is measured, the logit lens of all layers included."""
    stimuli = tables.read_table(path).drop(columns="input_ids")
    read = stimuli["lens"].to_numpy(bool) if "lens" in stimuli else np.zeros(len(stimuli), bool)

    def measured(step: int) -> dict[str, Any]:
        layered = rng.normal(size=(len(stimuli), layers + 1)).astype(np.float32)
        lens = {"lens_logprob": [row if asked else None for row, asked in zip(layered, read, strict=True)]} if read.any() else {}
        return {"logprob": rng.normal(size=len(stimuli)), "n_tokens": 2, "matched": rng.integers(0, 3, len(stimuli)), **lens}

    return stimuli, measured


def hidden(stimuli: pd.DataFrame, width: int, rng: np.random.Generator) -> np.ndarray:
    """Hidden states of the items that are probed: nine layers for knowledge, three for bias."""
    layers = 3 if "layers" in stimuli else 9
    return rng.normal(size=(int(stimuli["probe"].sum()), 1, layers, width)).astype(np.float32)


def read(experiment: str, context: AnalysisContext) -> None:
    """Read all measurements and keep what the analysis keeps of them."""
    if experiment == "grammar":
        from trajectories.experiments.grammar.scores import from_measurements

        from_measurements(context)
    elif experiment == "bias":
        from trajectories.experiments.bias import scores

        assert context.stimuli is not None
        for part in context.stimuli["part"].unique():
            scores.read(context, part)
    elif experiment == "knowledge":
        from trajectories.experiments.knowledge.scores import records

        ends = [record.last() for record in records(context)]
        assert len(ends) == len(context.suite.models)
    else:
        from trajectories.experiments.memorization.run import runs

        kept = []
        for run in runs(context):
            kept.append(run.last())


def main() -> int:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=["grammar", "memorization", "bias", "knowledge"])
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--checkpoints", type=int, default=154)
    parser.add_argument("--stimuli", type=Path, help="for bias and knowledge")
    parser.add_argument("--all", action="store_true", help="the whole analysis, not the reading alone")
    args = parser.parse_args()
    run = config.resolve({"suite": "pythia", "experiments": [args.experiment]})
    models, rng = run.models[-args.models :], np.random.default_rng(1)
    if args.stimuli:
        stimuli, measured = chosen(args.stimuli, rng, models[-1].layers)
    else:
        stimuli, measured = {"grammar": grammar, "memorization": memorization}[args.experiment](rng)
    steps = [(m, s) for m in models for s in m.all_steps[-args.checkpoints :]]
    checkpoints = pd.DataFrame([{"model": m.name, "step": s, "tokens": m.tokens(s)} for m, s in steps])
    rows = np.arange(len(stimuli)) * 5000
    context = AnalysisContext(
        suite=run.suite.model_copy(update={"models": models}),
        settings=experiments.settings(args.experiment, "analyse", run.section(args.experiment)["analyse"]),
        seed=1,
        checkpoints=checkpoints,
        left_out=checkpoints.iloc[:0].assign(status="", detail=""),
        stimuli=stimuli,
        exposures=pd.DataFrame({"item_id": stimuli["item_id"], "order": models[0].order, "row": rows, "step": rows // 1024}),
        truth=lambda name: pd.DataFrame(),
        has_truth=False,
        published=None,
        read=lambda model, step: pd.DataFrame({"item_id": stimuli["item_id"].to_numpy(), **measured(step)}),
        read_tensor=lambda model, step, measure: hidden(stimuli, run.suite.model(model).width, rng),
        history={m.name: [(m.order or "", 0)] for m in models},
    )
    before, begun = peak(), time.process_time()
    if args.all:
        experiments.part(args.experiment, "analyse")(context)
    else:
        read(args.experiment, context)
    what, seconds = "analysis" if args.all else "reading", time.process_time() - begun
    memory = f"{peak():.0f} MB ({before:.0f} MB before it)"
    many = f"{args.models} × {args.checkpoints} checkpoints"
    print(f"{args.experiment}, {many}: {what} takes {memory}, {seconds:.0f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
