"""A small finished run, made up: the tables of two experiments on a suite of three models, without training or measuring anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from trajectories import experiments, tables
from trajectories.analysis import CALIBRATION, CLAIMS, RECOVERY, TRAJECTORIES, empty
from trajectories.cli import Machine
from trajectories.figures import Figure, FigureContext, theme
from trajectories.layout import Layout
from trajectories.recipes import Settings
from trajectories.statistics import claims as deciding
from trajectories.suites import Suite
from trajectories.verbs import figures, report

STEPS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 400]
GROUPS = ["agreement", "binding", "islands", "licensing"]
EXPERIMENTS = ("learning", "recall")
FIRST = deciding.Claim(
    id="late-rows",
    experiment="learning",
    family="late-rows",
    statement="Rows seen late are more likely to be memorized than rows seen early.",
    prediction="The odds of the last row are higher than those of the first.",
    rival="Only the last few rows stand out.",
    metric="accuracy",
    scale="log odds ratio",
    margin=float(np.log(1.25)),
)
SECOND = deciding.Claim(
    id="shared-order",
    experiment="learning",
    family="shared-order",
    statement="Models learn in a shared order.",
    prediction="Ranks correlate.",
    rival="Each run has its own.",
    metric="accuracy",
    scale="rank correlation",
    margin=0.3,
)


@dataclass
class Run:
    """A finished run: where it lies, what it was told, and its HTML once :meth:`report` has been called."""

    settings: Settings
    layout: Layout

    def figures(self) -> None:
        """Draw the figures of both experiments."""
        for name in EXPERIMENTS:
            figures.run(self.settings, self.layout, Machine(), name)

    def report(self) -> str:
        """Write the report and return its HTML."""
        report.run(self.settings, self.layout, Machine())
        return self.layout.report.read_text(encoding="utf-8")


def suite(**changes: Any) -> Suite:
    """Three models of two sizes, one of them a second seed."""
    shared = {
        "heads": 2,
        "vocabulary": 64,
        "learning_rate": 1e-3,
        "rows_per_step": 4,
        "tokens_per_step": 512,
        "steps_total": 400,
        "dtype": "float32",
    }
    sizes = {"tiny": (1, 8, 1000, 1), "small": (2, 16, 9000, 1), "small-seed2": (2, 16, 9000, 2)}
    models = [
        {
            "name": name,
            "layers": layers,
            "width": width,
            "head_width": width // 2,
            "parameters_total": n + 128 * width,
            "parameters_non_embedding": n,
            "seed": seed,
        }
        | {"steps": STEPS, "order": "standard", **shared}
        for name, (layers, width, n, seed) in sizes.items()
    ]
    models[0]["anomalies"] = [{"steps": [4, 8], "kind": "duplicate", "detail": "Serves the weights of step 2.", "source": "the audit"}]
    facts = {
        "title": "Made-up suite",
        "description": "Nothing was trained.",
        "licence": "CC0-1.0",
        "citation": ["Somebody. A citation of the suite."],
    }
    return Suite.model_validate(
        {"name": "made-up", "source": "trained", "orders": {"standard": {"row_tokens": 129}}, "models": models, **facts, **changes}
    )


def trajectories(suite: Suite, experiment: str) -> pd.DataFrame:
    """Accuracy rising from one half, sooner in larger models and in the earlier groups."""
    rows = []
    for m in suite.models:
        for i, group in enumerate(GROUPS):
            for step in m.all_steps:
                value = 0.5 + 0.48 / (
                    1 + np.exp(2 * (np.log(10 + 10 * i) - np.log1p(step) - np.log(m.parameters_non_embedding / 3000) / 3))
                )
                rows.append(
                    {
                        "suite": suite.name,
                        "model": m.name,
                        "order": m.order,
                        "seed": m.seed,
                        "branch": None,
                        "parameters_total": m.parameters_total,
                    }
                    | {"parameters_non_embedding": m.parameters_non_embedding, "step": step, "tokens": m.tokens(step), "revision": None}
                    | {
                        "dtype": "float32",
                        "experiment": experiment,
                        "metric": "accuracy",
                        "level": "phenomenon",
                        "group": group,
                        "setting": "",
                    }
                    | {
                        "value": value,
                        "stderr": 0.02,
                        "ci_low": value - 0.04,
                        "ci_high": min(1, value + 0.04),
                        "n": 200,
                        "method": "Wilson",
                    }
                    | {"source": "trained"}
                )
    return pd.DataFrame(rows)[TRAJECTORIES.names]


def claims(suite: Suite) -> pd.DataFrame:
    """Two claims on every model with all three verdicts, and one that has no estimate."""
    rows = []
    for m, effect in zip(suite.models, (0.9, 0.25, -0.5), strict=True):
        rows.append(deciding.row(FIRST, deciding.Result(effect, 0.12, n=1000, n_clusters=50, n_events=300, method="logit"), m.name, 400))
        rows.append(deciding.row(FIRST, deciding.Result(effect / 2, 0.3, n=500, method="logit"), m.name, 128, role="descriptive"))
    rows.append(deciding.row(SECOND, deciding.Result(0.7, 0.1, n=12, method="Spearman"), "tiny", 400))
    rows.append(deciding.row(SECOND, deciding.Result(np.nan, problem="all ranks are tied", n=12), "small", 400))
    return deciding.table(rows)


def calibration() -> pd.DataFrame:
    """A well-behaved decision."""
    truth = np.array([-0.2, 0.0, 0.22, 0.5, 0.9])
    supported = np.array([0, 0.01, 0.05, 0.6, 1.0])
    refuted = np.array([1, 0.6, 0.05, 0.0, 0.0])
    facts = {
        "claim": "late-rows",
        "test": "logit",
        "scale": "log odds ratio",
        "margin": 0.223,
        "n": 1000,
        "n_clusters": 50,
        "n_sim": 400,
        "seed": 1,
    }
    rates = {"rate_supported": supported, "rate_refuted": refuted, "rate_inconclusive": 1 - supported - refuted}
    return pd.DataFrame({"truth": truth, **facts, **rates})[CALIBRATION.names]


def recovery() -> pd.DataFrame:
    """Two parameters: one found, one missed."""
    return pd.DataFrame(
        {"parameter": ["skew of nurse", "skew of smith"], "model": "small", "step": 400, "truth": [0.8, 0.2], "estimate": [0.75, 0.5]}
        | {"ci_low": [0.6, 0.4], "ci_high": [0.9, 0.6], "covered": [True, False], "n": 160, "method": "Wilson", "comment": ""}
    )[RECOVERY.names]


def drawn(context: FigureContext) -> list[Figure]:
    """The figures of both made-up experiments: small multiples, and a menu with small multiples in print."""
    table = context.trajectories
    many = theme.trajectory(table, "accuracy", facet="group", percent=True, reference=0.5)
    menu = theme.trajectory(table, "accuracy", choose="group", percent=True)
    return [
        Figure("groups", "Accuracy by group", "Accuracy over training.", many, steps_axis=True),
        Figure("one", "One group", "Choose a group.", menu, steps_axis=True, static=many),
    ]


def make(
    folder: Path, monkeypatch: Any, suite: Suite, note: str = "A note.", detail: str = "step 8 equals step 2", draw: Any = drawn
) -> Run:
    """Write the tables of a run and let the made-up experiments be found; figures and report are not yet made."""
    module = ModuleType("made_up")
    module.figures = draw  # type: ignore[attr-defined]
    monkeypatch.setattr(experiments, "part", lambda name, part: getattr(module, part))
    monkeypatch.setattr(experiments, "settings", lambda name, verb, section: SimpleNamespace())
    layout = Layout(folder)
    record = {"code": "c0ffee", "seed": 1, "inputs": {"audit.parquet": "ab" * 32}, "packages": {"numpy": "2.0"}, "python": "3.11"}
    data = {"pairs": {"licence": "CC-BY-4.0", "citation": "Somebody else. A data set.", "sha256": "cd" * 32}}
    bad = {8: "duplicate"}
    audit = [
        {
            "model": m.name,
            "step": s,
            "revision": None,
            "commit": None,
            "sha256": f"{m.name}{s}",
            "status": bad.get(s, "ok") if m.name == "tiny" else "ok",
        }
        | {"detail": detail if m.name == "tiny" and s in bad else None}
        for m in suite.models
        for s in m.all_steps
    ]
    tables.write_table(pd.DataFrame(audit), layout.audit(), record)
    items = pa.table({"item_id": ["a"], "input_ids": [[1, 2]], "start": [1], "end": [2]})
    for name in EXPERIMENTS:
        full = name == "learning"
        tables.write_table(trajectories(suite, name), layout.trajectories(name), record, TRAJECTORIES, notes=[note], left_out=[])
        tables.write_table(claims(suite) if full else empty(CLAIMS), layout.claims(name), record, CLAIMS)
        tables.write_table(calibration() if full else empty(CALIBRATION), layout.calibration(name), record, CALIBRATION)
        tables.write_table(recovery() if full else empty(RECOVERY), layout.recovery(name), record, RECOVERY)
        tables.write_table(items, layout.stimuli(name), record, sources=data, notes=["How items were chosen."])
    extra = {
        "steps": {m.name: STEPS for m in suite.models},
        "experiments": list(EXPERIMENTS),
        "left_out": {"bias": "The suite has no pronouns."},
    }
    extra |= {"include_anomalous": False, "sections": {"learning": {"analyse": {"margin": 1.25}}}}
    return Run(Settings(suite, {}, 1, extra, "c0de"), layout)
