"""From which layer, and from when on, a fact can be read by the logit lens, against the output."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from trajectories.analysis import AnalysisContext
from trajectories.experiments.knowledge import effects, simulations
from trajectories.experiments.knowledge.scores import Record
from trajectories.experiments.knowledge.stimuli.prompts import LAYERED, SEEN
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.acquisition import lasting
from trajectories.statistics.claims import objection, row


def describe(one: Record, context: AnalysisContext, found: Findings) -> None:
    """Accuracy by layer and step, and the step from which on each fact is read from each layer."""
    if one.lens is None or one.layered is None:
        return
    prompts = one.layered.prompts
    for form in LAYERED:
        mask = (prompts["form"] == form).to_numpy()
        if not mask.any():
            continue
        drawn = effects.Resampled.of(effects.clusters(prompts[mask]), context.settings.draws, context.generator(f"lens {one.name} {form}"))
        level = drawn.levels(one.lens[..., mask].astype(float), prompts["chance"].to_numpy()[mask])
        low, high = np.quantile(level[..., 1:], [0.025, 0.975], axis=-1)
        errors = level[..., 1:].std(axis=-1, ddof=1)
        for (i, layer), value in np.ndenumerate(level[..., 0]):
            found.trajectories.append(
                {
                    "model": one.name,
                    "step": int(one.steps[i]),
                    "metric": "lens_beyond_chance",
                    "level": "layer",
                    "group": str(layer),
                    "setting": form,
                    "value": float(value),
                    "stderr": float(errors[i, layer]),
                    "ci_low": float(low[i, layer]),
                    "ci_high": float(high[i, layer]),
                    "n": int(mask.sum()),
                    "method": "logit lens, bootstrap over clusters of facts",
                }
            )
    steps = np.append(one.steps.astype(float), np.inf)
    read = steps[lasting(one.lens)]
    for layer, fact in np.ndindex(read.shape):
        about = prompts.iloc[fact]
        found.add(
            "read_from",
            {
                "model": one.name,
                "layer": layer,
                **{name: about[name] for name in ("fact_id", "relation", "form", "frequency")},
                "step": float(read[layer, fact]),
                "output_step": float(read[-1, fact]),
            },
        )


def decide(one: Record, context: AnalysisContext, found: Findings, declared: dict[str, Any]) -> None:
    """The claim that an intermediate layer gives facts before the output does, in the form seen in training."""
    if one.lens is None or one.layered is None or len(one.steps) < 4:
        return
    settings, claim = context.settings, declared["decodable-first"]
    prompts = one.layered.prompts
    mask = (prompts["form"] == SEEN).to_numpy()
    lens, chance, labels = one.lens[..., mask], prompts["chance"].to_numpy()[mask], effects.clusters(prompts[mask])
    least, generator = settings.least_accuracy, context.generator(f"knowledge lens lag {one.name}")
    result, chosen = effects.lens_lag(lens, chance, labels, one.doublings, least, settings.draws, generator)
    layers = ", ".join(f"layer {i} {share:.0%}" for i, share in enumerate(chosen) if share >= 0.005)
    found.claims.append(row(claim, result, one.name, one.final, caveat=f"Layers chosen: {layers}." if layers else ""))
    level = effects.beyond_chance(lens[:, -1].mean(-1), chance.mean())
    simulate = partial(
        simulations.layers,
        output=lens[:, -1],
        n_layers=lens.shape[1],
        chance=chance,
        clusters=labels,
        strata=prompts["frequency"].to_numpy()[mask],
        doublings=one.doublings,
        middle=float(effects.crossing(level, effects.criterion(least).threshold(level), one.doublings)),
        least=least,
    )
    note = "All intermediate layers have one true lag, so that choosing the first of them is put to the test."
    found.calibrands.append(Calibrand(claim, one.name, simulate, objection(result), note=note))
    found.note(
        "Logit lens: the final norm and the output head read a layer as if it were the last; candidates' tokens after the first are "
        "scored with the earlier ones given. The embedding is never the layer chosen. A layer that does not reach the criterion counts as "
        "reaching it at the last checkpoint, so a lag is at least what is given."
    )
