"""``trajectories analyse EXPERIMENT``: measurements (or published results) become trajectories, claims, calibration and recovery.

Needs: audit/<model>.parquet of every chosen model; stimuli, exposures, measurements and counts (if it has terms) of the experiment, or
       published/<model>.parquet.
Makes: trajectories/, claims/, calibration/ and recovery/<experiment>.parquet (all four, possibly without rows), and further tables
       trajectories/<experiment>.<name>.parquet for the figures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trajectories import experiments, row_lists, tables
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, TRAJECTORIES, Analysis, AnalysisContext
from trajectories.errors import Damaged, UserError, unreadable
from trajectories.hub.duplicates import branch_points, results_of_others
from trajectories.provenance import provenance
from trajectories.suites import Suite

if TYPE_CHECKING:
    from trajectories.cli import Machine
    from trajectories.layout import Layout
    from trajectories.recipes import Settings

PACKAGES = ("numpy", "pandas", "pyarrow", "scipy", "statsmodels")
FACTS = (
    "suite",
    "order",
    "seed",
    "branch",
    "parameters_total",
    "parameters_non_embedding",
    "tokens",
    "revision",
    "dtype",
    "experiment",
    "source",
)
"""The columns of a trajectory that the suite knows; an experiment gives the others."""
KEY = ["model", "step", "metric", "level", "group", "setting"]


def run(settings: Settings, layout: Layout, machine: Machine, experiment: str) -> None:
    """Analyse one experiment and write its tables.

    Raises:
        UserError: a table that it needs is absent or damaged, or the audit does not know a chosen step.
    """
    checkpoints, left_out, audits = _checkpoints(settings, layout)
    context, inputs = _context(settings, layout, experiment, checkpoints, left_out)
    analysis = experiments.part(experiment, "analyse")(context)
    analysis.trajectories = join_facts(analysis.trajectories, settings.suite, checkpoints, experiment)
    record = provenance(settings, layout, "analyse", [*audits, *inputs], PACKAGES, targets={"experiment": experiment})
    _write(layout, experiment, analysis, record, context.left_out)


def _checkpoints(settings: Settings, layout: Layout) -> tuple[pd.DataFrame, pd.DataFrame, list[Path]]:
    """The chosen checkpoints that are sound, those that are not, and the audit files that say so."""
    found, inputs = [], []
    for model in settings.suite.models:
        path = layout.audit(model.name)
        wanted = pd.DataFrame({"step": pd.Series(settings.extra["steps"][model.name], dtype="int64")})
        audit = wanted.merge(tables.read_table(path), on="step", how="left")
        unknown = audit.loc[audit["status"].isna(), "step"]
        if len(unknown):
            raise UserError(
                f"The audit '{path}' does not list step {unknown.iloc[0]} of '{model.name}'; run 'trajectories audit {model.name}' again."
            )
        audit["model"] = model.name
        audit["tokens"] = [model.tokens(int(step)) for step in audit["step"]]
        found.append(audit.sort_values("step"))
        inputs.append(path)
    every = pd.concat(found, ignore_index=True)
    sound = every["status"].eq("ok") | (bool(settings.extra.get("include_anomalous")) & every["status"].ne("missing"))
    if not sound.any():
        raise UserError(f"The audit finds no sound checkpoint among the {len(every)} chosen; see '{layout.audit()}'.")
    left_out = every.loc[~sound, ["model", "step", "status", "detail"]].fillna({"detail": ""}).reset_index(drop=True)
    return every[sound].reset_index(drop=True), left_out, inputs


def _context(
    settings: Settings, layout: Layout, experiment: str, checkpoints: pd.DataFrame, left_out: pd.DataFrame
) -> tuple[AnalysisContext, list[Path]]:
    """What the experiment may look at, and the list of files that it reads, which grows when it asks for planted truth."""
    suite = settings.suite
    inputs: list[Path] = []
    stimuli = exposures = published = None
    lists = suite.published is not None and suite.published.format == "memorized-rows"
    if lists:
        inputs += [layout.published(m.name) for m in suite.models]
    elif suite.source == "published":
        paths = [layout.published(m.name) for m in suite.models]
        inputs += paths
        published = pd.concat([tables.read_table(path) for path in paths], ignore_index=True)
        published = checkpoints[["model", "step"]].merge(published, on=["model", "step"], how="inner")
        if not settings.extra.get("include_anomalous"):
            published, others = _own_results(published, suite)
            left_out = pd.concat([left_out, others], ignore_index=True)
    elif experiments.has(experiment, "stimuli"):
        path = layout.stimuli(experiment)
        tables.metadata(path)  # a clear error where it is absent or damaged
        stimuli = tables.read_table(path, [c for c in pq.read_schema(path).names if c != "input_ids"])
        exposures = tables.read_table(layout.exposures(experiment))
        inputs += [path, layout.exposures(experiment)]
        inputs += [layout.measurement(str(r.model), int(r.step), experiment) for r in checkpoints.itertuples()]  # type: ignore[arg-type]
    counted = [layout.counts(order, experiment) for order in settings.extra.get("counted", [])]
    inputs += counted
    context = AnalysisContext(
        suite=suite,
        settings=experiments.settings(experiment, "analyse", settings.section),
        seed=settings.seed,
        checkpoints=checkpoints[["model", "step", "tokens"]],
        left_out=left_out,
        stimuli=stimuli,
        exposures=exposures,
        truth=_truth(layout, inputs),
        has_truth=suite.source == "trained",
        published=published,
        read=lambda model, step: tables.read_table(layout.measurement(model, step, experiment)),
        read_tensor=lambda model, step, measure: read_tensor(layout, model, step, experiment, measure),
        history=settings.extra.get("history", {}),
        counted=pd.concat([tables.read_table(path) for path in counted], ignore_index=True) if counted else None,
        rows_memorized=_lists(layout, checkpoints) if lists else None,
    )
    return context, inputs


def _own_results(published: pd.DataFrame, suite: Suite) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Published results without those that two models share, and what is left out as ``model, step, status, detail``.

    The audit finds a checkpoint whose results are all another's; this finds the rest, one number of shots at a time.
    """
    shared = results_of_others(published, branch_points(suite))
    if shared.empty:
        return published, pd.DataFrame(columns=["model", "step", "status", "detail"])
    keys = pd.MultiIndex.from_frame(shared[["model", "step", "num_fewshot"]].astype({"step": int, "num_fewshot": int}))
    own = published.assign(num_fewshot=published["num_fewshot"].fillna(0).astype(int))
    kept = published[~pd.MultiIndex.from_frame(own[["model", "step", "num_fewshot"]]).isin(keys)].reset_index(drop=True)
    detail = [f"the {r.num_fewshot}-shot results equal those of {r.other} at step {r.other_step}" for r in shared.itertuples()]
    return kept, shared[["model", "step"]].assign(status="duplicate", detail=detail)


def read_tensor(layout: Layout, model: str, step: int, experiment: str, measure: str) -> np.ndarray:
    """A tensor in float32; its file must be the one that the table beside it was written with."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = layout.tensor(model, step, experiment, measure)
    expected = tables.metadata(layout.measurement(model, step, experiment))["tensors"].get(measure)
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise Damaged(path, "another SHA-256 than the table beside it names")
        return load(content)[measure].astype(np.float32)
    except OSError as error:
        raise unreadable(path, error) from error
    except (KeyError, SafetensorError) as error:
        raise Damaged(path, f"no tensor: {error}") from error


def _lists(layout: Layout, checkpoints: pd.DataFrame) -> Callable[[str], dict[int, np.ndarray]]:
    def read(model: str) -> dict[int, np.ndarray]:
        sound = set(checkpoints.loc[checkpoints["model"] == model, "step"])
        return {step: rows for step, rows in row_lists.load(layout.published(model)).items() if step in sound}

    return read


def _truth(layout: Layout, inputs: list[Path]) -> Callable[[str], pd.DataFrame]:
    def read(name: str) -> pd.DataFrame:
        path = layout.truth(name)
        if not path.exists():
            raise KeyError(f"no planted truth called '{name}'")
        if path not in inputs:
            inputs.append(path)
        return tables.read_table(path)

    return read


def join_facts(trajectories: pd.DataFrame, suite: Suite, checkpoints: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """Give every row of an experiment's trajectories what the suite knows of its model and checkpoint.

    Args:
        trajectories: the experiment's own columns: those of ``TRAJECTORIES`` without :data:`FACTS`.
        suite: the suite with the chosen models.
        checkpoints: ``model, step, tokens, revision`` of the sound checkpoints.
        experiment: its name.

    Returns:
        All columns of ``TRAJECTORIES``, the rows in the given order.

    Raises:
        ValueError: a column is missing or unexpected, a row repeats another's key, or names a checkpoint that is not at hand.
    """
    own = [c for c in TRAJECTORIES.names if c not in FACTS]
    wrong = set(own) ^ set(trajectories.columns)
    if wrong:
        raise ValueError(f"{experiment}: trajectories lack or should not have the columns {sorted(wrong)}")
    if trajectories.duplicated(KEY).any():
        first = trajectories.loc[trajectories.duplicated(KEY), KEY].iloc[0].to_dict()
        raise ValueError(f"{experiment}: two trajectories share a row, for instance {first}")
    models = pd.DataFrame(
        {
            "model": m.name,
            "order": m.order,
            "seed": m.seed,
            "branch": m.branch,
            "parameters_total": m.parameters_total,
            "parameters_non_embedding": m.parameters_non_embedding,
            "dtype": m.dtype,
        }
        for m in suite.models
    ).astype({"seed": "Int64"})
    revision = checkpoints.get("revision")
    joined = trajectories.merge(models, on="model", how="left").merge(
        checkpoints[["model", "step", "tokens"]].assign(revision=revision), on=["model", "step"], how="left"
    )
    if joined["tokens"].isna().any():
        first = joined.loc[joined["tokens"].isna(), KEY].iloc[0].to_dict()
        raise ValueError(f"{experiment}: a trajectory names a checkpoint that is not at hand: {first}")
    joined = joined.assign(suite=suite.name, experiment=experiment, source=suite.source)
    return joined.astype({"tokens": "int64", "n": "Int64"})[TRAJECTORIES.names]


def _write(layout: Layout, experiment: str, analysis: Analysis, record: dict[str, Any], left_out: pd.DataFrame) -> None:
    metadata: dict[str, Any] = {"notes": analysis.notes, "left_out": left_out.to_dict("records")}
    folder = layout.trajectories(experiment).parent
    for stale in folder.glob(f"{experiment}.*.parquet"):
        if stale.name.removeprefix(f"{experiment}.").removesuffix(".parquet") not in analysis.extra:
            stale.unlink()
    for name, table in analysis.extra.items():
        tables.write_table(table, layout.trajectories(f"{experiment}.{name}"), record)
    outputs: list[tuple[pd.DataFrame, Path, pa.Schema]] = [
        (analysis.recovery, layout.recovery(experiment), RECOVERY),
        (analysis.calibration, layout.calibration(experiment), CALIBRATION),
        (analysis.claims, layout.claims(experiment), CLAIMS),
        (analysis.trajectories, layout.trajectories(experiment), TRAJECTORIES),
    ]
    for table, path, schema in outputs:
        tables.write_table(table, path, record, schema, **metadata)
