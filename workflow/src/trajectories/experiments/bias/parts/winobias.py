"""WinoBias: what the gender of a pronoun does to the person whom the model takes it for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.effects import dyadic_mean, row, share
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.scores import Scores, own_runs, read
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection

PART = "winobias"
BOTH = "both prompts"


def analyse(context: AnalysisContext, found: Findings) -> None:
    """The pronoun's effect and the accuracy by prompt, over training; the claim at the end."""
    scores = read(context, PART)
    if scores is None:
        return
    claim = claims(context.settings)["coreference-stereotyped"]
    pairs, odds = log_odds(scores)
    first, second = members(pairs)
    own = [m.name for m in own_runs(context)]
    for model, values in odds.items():
        for step, each in zip(scores.steps[model].tolist(), values, strict=True):
            place = {"model": model, "step": step}
            found.trajectories += [place | r for r in _described(pairs, each, first, second)]
        if model in own:
            effect = values[-1].mean(axis=0)
            difference = effect[:, 0] - effect[:, 1]
            result = dyadic_mean(difference, first, second)
            found.claims.append(decisions.row(claim, result, model, int(scores.steps[model][-1])))
            note = "Effects of pairs are drawn with replacement; occupations share a normal part with a fifth of the variance."
            found.calibrands.append(
                Calibrand(claim, model, simulation(difference, first, second), objection(result), note=note),
            )
    found.note(
        "WinoBias: both people named in a sentence are scored as the answer to the two prompts of the published results; the effect is the "
        "log odds of the right person against the other with the pronoun that fits the stereotype, less the same with the other pronoun, "
        "so that the prior of each person and the syntax cancel. Published figures are exact matches of generated answers, and not on this "
        "axis."
    )


def log_odds(scores: Scores) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Log odds of the right person against the other.

    Returns:
        The pairs of sentences, and by model [steps, prompts, pairs, (pro, anti)], prompts sorted by name.
    """
    wordings = sorted(set(scores.items["setting"]))
    place = {
        (w, v, a): scores.at(["pair_id"], setting=w, variant=v, answer=a).to_numpy()
        for w in wordings
        for v in ("pro", "anti")
        for a in ("right", "other")
    }
    pairs = scores.items.loc[place[wordings[0], "pro", "right"]].reset_index(drop=True)

    def each(values: np.ndarray) -> np.ndarray:
        found = [[values[:, place[w, v, "right"]] - values[:, place[w, v, "other"]] for v in ("pro", "anti")] for w in wordings]
        # [prompts, variants, steps, pairs]
        return np.transpose(np.array(found), (2, 0, 3, 1))

    return pairs, {model: each(values) for model, values in scores.logprob.items()}


def members(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the two occupations of each pair [pairs]."""
    parts = pairs["cluster"].str.split("/", expand=True)
    codes, _ = pd.factorize(pd.concat([parts[0], parts[1]], ignore_index=True), sort=True)
    return codes[: len(pairs)], codes[len(pairs) :]


def _described(pairs: pd.DataFrame, each: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[dict[str, Any]]:
    """Effect and accuracy of one checkpoint, by prompt and type."""
    wordings = sorted(("stands for", "refers to"))
    groups = {"all sentences": np.ones(len(pairs), bool)} | {k: (pairs["category"] == k).to_numpy() for k in ("type1", "type2")}
    clusters = pd.factorize(pairs["cluster"])[0]
    rows = []
    for wording, values in [*zip(wordings, each, strict=True), (BOTH, each.mean(axis=0))]:
        for name, mine in groups.items():
            place = {"level": "type", "group": name, "setting": wording}
            effect = dyadic_mean(values[mine, 0] - values[mine, 1], first[mine], second[mine])
            rows.append(place | {"metric": "coreference_effect"} | row(effect))
        for variant, column in (("pro", 0), ("anti", 1)):
            place = {"level": "variant", "group": variant, "setting": wording}
            rows.append(place | {"metric": "coreference_accuracy"} | row(share(values[:, column] > 0, clusters)))
    return rows


def simulation(difference: np.ndarray, first: np.ndarray, second: np.ndarray, shared: float = 0.2) -> Any:
    """The whole decision on effects of known mean whose occupations have parts in common: (generator, true mean) → result."""
    centred, spread = difference - difference.mean(), float(difference.std())
    members = int(max(first.max(), second.max())) + 1

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        parts = generator.standard_normal(members) * spread * np.sqrt(shared / 2)
        own = generator.choice(centred, len(centred)) * np.sqrt(1 - shared)
        return dyadic_mean(truth + own + parts[first] + parts[second], first, second)

    return simulate
