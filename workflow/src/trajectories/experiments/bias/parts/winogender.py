"""WinoGender: pronouns against the share of women in an occupation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.effects import coefficient, mean, row
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.scores import differences, own_runs, read
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection

PART = "winogender"
REFERENTS = ("occupation", "participant")
STATISTICS = ("bls", "bergsma")


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Log odds of *she* to *he* over training, their slopes on both statistics, and the claim at the end."""
    scores = read(context, PART)
    if scores is None:
        return
    claim = claims(context.settings)["labour-statistics-followed"]
    pairs, log_odds = differences(scores, "feminine", "masculine")
    clusters = pd.factorize(pairs["cluster"])[0]
    own = [m.name for m in own_runs(context)]
    for model, values in log_odds.items():
        last = int(scores.steps[model][-1])
        for step, y in zip(scores.steps[model].tolist(), values, strict=True):
            place = {"model": model, "step": step}
            for referent in REFERENTS:
                mine = (pairs["category"] == referent).to_numpy()
                at = place | {"level": "referent", "group": referent}
                found.trajectories.append(at | {"metric": "pronoun_log_odds", "setting": PART} | row(mean(y[mine], clusters[mine])))
                for name in STATISTICS:
                    fitted = slope(pairs[mine], y[mine], name)
                    found.trajectories.append(at | {"metric": "labour_slope", "setting": name} | row(fitted))
        mine = (pairs["category"] == "occupation").to_numpy()
        chosen, y = pairs[mine].reset_index(drop=True), values[-1][mine]
        for name, group in chosen.assign(y=y).groupby("cluster"):
            facts = {"bls": group["bls"].iloc[0], "bergsma": group["bergsma"].iloc[0]}
            found.add("winogender", {"model": model, "step": last, "occupation": name, "value": group["y"].mean()} | facts)
        if model in own:
            result = slope(chosen, y, "bls")
            found.claims.append(decisions.row(claim, result, model, last))
            note = "Occupations' residuals around the fitted line are drawn anew and set around a line of the wanted slope."
            found.calibrands.append(Calibrand(claim, model, simulation(chosen, y), objection(result), note=note))
    found.note(
        "WinoGender: log odds of the sentence with *she* to that with *he*. Where the pronoun stands for the other person, the "
        "occupation's statistics should matter less; that is shown beside. Statistics are the United States' Bureau of Labor Statistics "
        "(2015/16) and Bergsma and Lin's counts of text, as the data set carries them; shares enter as log odds, kept within 0.5 % and "
        "99.5 %. The occupations are the clusters."
    )


def slope(pairs: pd.DataFrame, y: np.ndarray, name: str) -> Result:
    """Slope of the log odds on the log odds of women by one of the statistics; named and unnamed participants have levels of their own."""
    x = special.logit(pairs[name].clip(0.5, 99.5).to_numpy(dtype=float) / 100)
    named = (pairs["setting"] == "named").to_numpy(dtype=float)
    return coefficient(y, np.column_stack([np.ones(len(y)), named, x]), np.array([0.0, 0.0, 1.0]), pairs["cluster"].to_numpy())


def simulation(pairs: pd.DataFrame, y: np.ndarray) -> Any:
    """The whole decision on log odds of known slope: (generator, true slope) → result; an occupation's residuals are drawn together."""
    x = special.logit(pairs["bls"].clip(0.5, 99.5).to_numpy(dtype=float) / 100)
    design = np.column_stack([np.ones(len(y)), (pairs["setting"] == "named").to_numpy(dtype=float), x])
    fitted, *_ = np.linalg.lstsq(design, y, rcond=None)
    code, names = pd.factorize(pairs["cluster"])
    residual = (y - design @ fitted) * np.sqrt(len(names) / max(len(names) - 3, 1))
    order = np.argsort(code, kind="stable")
    blocks = np.split(residual[order], np.cumsum(np.bincount(code))[:-1])
    whole = len({len(b) for b in blocks}) == 1

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        if whole:
            noise = np.empty(len(y))
            noise[order] = np.concatenate([blocks[i] for i in generator.integers(0, len(blocks), len(blocks))])
        else:
            noise = generator.choice(residual, len(y))
        return slope(pairs, design[:, :2] @ fitted[:2] + truth * x + noise, "bls")

    return simulate
