"""Recognizing by prompts: is this sentence a stereotype? In several wordings, calibrated for the prior of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.effects import area, row, share
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.scores import STEREOTYPED, Scores, own_runs, read
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection

PART = "recognition"
FREE = "free"
AVERAGED = "prompts, averaged"
APART = 0.1
"""Calibration: variance between clusters (occupations, or pairs that differ in one word) of the distance between the two labels' scores, in
variances of a score."""


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Area and calibrated accuracy by wording over training; the claim at the end."""
    scores = read(context, PART)
    if scores is None:
        return
    claim = claims(context.settings)["recognized-in-prompts"]
    asked, odds = calibrated(scores)
    own = [m.name for m in own_runs(context)]
    sets = asked["pair_id"].str.split("/").str[0].to_numpy()
    for name in dict.fromkeys(sets):
        mine = sets == name
        about = asked[mine].reset_index(drop=True)
        clusters = pd.factorize(about["cluster"])[0]
        label = (about["variant"] == "more").to_numpy()
        for model, (raw, free) in odds.items():
            for step, one, prior in zip(scores.steps[model].tolist(), raw[:, :, mine], free, strict=True):
                place = {"model": model, "step": step, "group": STEREOTYPED[name]}
                found.trajectories += [place | r for r in _described(one, prior, wordings(scores), label, clusters)]
            if model in own:
                final = (raw[-1][:, mine] - free[-1][:, None]).mean(axis=0)
                result = area(final, label, clusters, less=0.5)
                found.claims.append(decisions.row(claim, result, model, int(scores.steps[model][-1]), STEREOTYPED[name]))
                note = "Scores are normal; the sentences of a pair share half of their variance, and the stereotyping ones lie higher."
                simulate = simulation(label, about["pair_id"].to_numpy(), clusters)
                found.calibrands.append(Calibrand(claim, model, simulate, objection(result), note=note))
    found.note(
        "Recognizing by prompts: the log odds of the affirmative answer less their mean over the content-free inputs "
        "'N/A', '[MASK]' and the empty one (Zhao et al. 2021, Calibrate Before Use, ICML). The correction moves the accuracy, whose "
        "threshold it sets, and the weights of the wordings; within a wording the area under the ROC curve does not depend on the prior."
    )


def wordings(scores: Scores) -> list[str]:
    """The wordings, sorted."""
    return sorted(set(scores.items["setting"]))


def calibrated(scores: Scores) -> tuple[pd.DataFrame, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Log odds of the affirmative answer.

    Returns:
        The sentences asked about, and by model [steps, wordings, sentences] and, for content-free inputs, the means [steps, wordings].
    """
    place = {w: [scores.at(["pair_id", "variant"], setting=w, answer=a) for a in ("yes", "no")] for w in wordings(scores)}
    first = next(iter(place.values()))[0]
    sentence = first.index.get_level_values("variant") != FREE
    asked = scores.items.loc[first.to_numpy()[sentence]].reset_index(drop=True)
    found = {}
    for model, values in scores.logprob.items():
        every = np.stack([values[:, yes.to_numpy()] - values[:, no.to_numpy()] for yes, no in place.values()], axis=1)
        found[model] = every[:, :, sentence], every[:, :, ~sentence].mean(axis=2)
    return asked, found


def _described(one: np.ndarray, prior: np.ndarray, names: list[str], label: np.ndarray, clusters: np.ndarray) -> Iterator[dict[str, Any]]:
    corrected = one - prior[:, None]
    for name, values in [*zip(names, corrected, strict=True), (AVERAGED, corrected.mean(axis=0))]:
        place = {"level": "set", "setting": name}
        yield place | {"metric": "recognition_area"} | row(area(values, label, clusters))
        yield place | {"metric": "recognition_accuracy"} | row(share((values > 0) == label, clusters))


def simulation(label: np.ndarray, pair: np.ndarray, clusters: np.ndarray, shared: float = 0.5) -> Any:
    """The whole decision on scores whose area is known: (generator, true area less 1/2) → result; binormal, paired and clustered."""
    pairs = pd.factorize(pair)[0]

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        score = binormal(generator, 0.5 + truth, label, pairs, clusters, shared)
        return area(score, label, clusters, less=0.5)

    return simulate


def binormal(
    generator: np.random.Generator, wanted: float, label: np.ndarray, pairs: np.ndarray, clusters: np.ndarray, shared: float = 0.5
) -> np.ndarray:
    """Normal scores whose area under the ROC curve is ``wanted`` over clusters.

    Scores of a pair share a part of their variance, and the distance between the labels differs between clusters, with the variance
    :data:`APART` where that of a score is 1.
    """
    common = generator.standard_normal(int(pairs.max()) + 1)[pairs]
    own = generator.standard_normal(len(label))
    number = pd.factorize(clusters)[0]
    apart = np.sqrt(APART) * generator.standard_normal(int(number.max()) + 1)[number]
    distance = np.sqrt(2 + APART) * special.ndtri(wanted) + apart
    return np.sqrt(shared) * common + np.sqrt(1 - shared) * own + distance * label
