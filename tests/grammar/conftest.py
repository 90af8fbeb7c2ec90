"""Contexts and a results folder of the small suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from grammar.small import measured, suite, truth, words
from trajectories import tables
from trajectories.analysis import AnalysisContext
from trajectories.experiments.grammar.settings import AnalyseSettings, StimuliSettings
from trajectories.layout import Layout
from trajectories.recipes import Settings
from trajectories.stimuli import Stimuli, StimuliContext


@pytest.fixture(scope="session")
def stimuli_context() -> Callable[..., StimuliContext]:
    def make(planted: pd.DataFrame | None = None, blimp: Path | None = None, **settings: Any) -> StimuliContext:
        def read(name: str) -> pd.DataFrame:
            assert name == "paradigms"
            assert planted is not None
            return planted

        texts = [] if planted is None else [*planted["good"], *planted["bad"]]
        return StimuliContext(
            suite=suite(), settings=StimuliSettings(**settings), seed=1, orders={}, rows_per_step={}, tokenizer=lambda: words(*texts),
            truth=read, has_truth=planted is not None, data=lambda name: blimp,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def analysis_context(stimuli_context: Callable[..., StimuliContext]) -> Callable[..., AnalysisContext]:
    from trajectories.experiments.grammar.stimuli import stimuli

    def make(pairs: int = 40, read: Any = None, **settings: Any) -> AnalysisContext:
        shown = stimuli(stimuli_context(truth(pairs))).table.drop(columns="input_ids")
        chosen = suite()
        checkpoints = pd.DataFrame(
            [(m.name, s, m.tokens(s)) for m in chosen.models for s in m.all_steps], columns=["model", "step", "tokens"]
        )
        return AnalysisContext(
            suite=chosen, settings=AnalyseSettings(**{"draws": 100, "permutations": 200, "simulations": 20, **settings}), seed=1,
            checkpoints=checkpoints, left_out=checkpoints[:0], stimuli=shown, exposures=None, truth=lambda name: truth(pairs),
            has_truth=True, published=None, read=read or (lambda model, step: measured(shown, model, step)),
        )  # fmt: skip

    return make


@pytest.fixture
def results(tmp_path: Path, stimuli_context: Callable[..., StimuliContext]) -> tuple[Settings, Layout]:
    """A results folder with audits, stimuli and measurements, as the verbs before ``analyse`` leave it; step 160 of b is a duplicate."""
    from trajectories.experiments.grammar.stimuli import stimuli

    layout, chosen = Layout(tmp_path / "small"), suite()
    shown: Stimuli = stimuli(stimuli_context(truth()))
    tables.write_table(shown.table, layout.stimuli("grammar"), measures=[m.as_json() for m in shown.measures])
    tables.write_table(shown.exposures, layout.exposures("grammar"))
    for model in chosen.models:
        status = ["duplicate" if (model.name, step) == ("b", 160) else "ok" for step in model.all_steps]
        audit = pd.DataFrame(
            {"model": model.name, "step": model.all_steps, "revision": None, "sha256": "0", "status": status, "detail": ""}
        )
        tables.write_table(audit, layout.audit(model.name))
        for step in model.all_steps:
            tables.write_table(measured(shown.table, model.name, step), layout.measurement(model.name, step, "grammar"))
    section = AnalyseSettings(draws=100, permutations=200, simulations=20).model_dump(mode="json")
    steps = {m.name: m.all_steps for m in chosen.models}
    return Settings(chosen, section, 1, {"steps": steps, "include_anomalous": False}, "code"), layout
