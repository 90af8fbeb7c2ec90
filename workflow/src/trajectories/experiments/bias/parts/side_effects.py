"""The pronoun intervention on CrowS-Pairs, and its side effect on text that it leaves alone.

Pairs about gender whose tokens the swap does not change, since they have no gendered pronoun, are dropped: they cannot show its direct
effect. Other categories stand beside, as what should not move. Intervals describe items and not runs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias import intervention_claims as names
from trajectories.experiments.bias.effects import ALIKE, mean
from trajectories.experiments.bias.paired_runs import endpoint, keep, paired
from trajectories.experiments.bias.scores import differences, read
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection

CROWS, TEXT, GENDER = "crows_pairs", "text", "gender"


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Every branch beside its parent on what was shown; nothing on published results or without branches."""
    if context.stimuli is None or not any(m.parent for m in context.suite.models):
        return
    _crows(context, found)
    _text(context, found)
    found.note(
        "A branch starts from its parent's checkpoint, where the two are one model, so the paired difference at one step is the difference "
        "in differences since the branch; there is no trend before it to be compared. Intervals of one branch describe items, not runs: "
        "another seed may answer otherwise."
    )


def _crows(context: AnalysisContext, found: Findings) -> None:
    scores = read(context, CROWS)
    if scores is None:
        return
    pairs, values = differences(scores, "more", "less")
    claim = names.intervention(context.settings)[names.FAIRER]
    changes = scores.items.groupby("pair_id")["gendered"].any().loc[pairs["pair_id"]].to_numpy()
    for pair in paired(context, scores.steps, values):
        preferred = (pair.own > 0).astype(float) - (pair.other > 0)
        for category in sorted(set(pairs["category"])):
            mine = (pairs["category"] == category).to_numpy()
            mine = mine & changes if category == "gender" else mine
            if mine.sum() < 2:
                continue
            clusters = pd.factorize(pairs["cluster"][mine])[0]
            for step, change, logs in zip(pair.steps.tolist(), preferred[:, mine], pair.change[:, mine], strict=True):
                keep(found, pair, step, "did_stereotype_preferred", "category", category, mean(change, clusters), "crows_pairs")
                keep(found, pair, step, "did_likelihood_difference", "category", category, mean(logs, clusters), "crows_pairs")
            if category != "gender":
                continue
            sides = np.stack([pair.own[-1, mine] > 0, pair.other[-1, mine] > 0])
            result = paired_shares(sides, clusters)
            caveat = f"The interval describes pairs, for this one branch; {int((~changes & (pairs['category'] == category)).sum())} pairs "
            caveat += "without a gendered pronoun were dropped."
            found.claims.append(decisions.row(claim, result, pair.branch.name, int(pair.steps[-1]), caveat=caveat))
            both = sides.mean(1)
            simulate = partial(_less, parent=float(both[1]), apart=float((sides[0] != sides[1]).mean()), clusters=clusters)
            note = (
                "As many pairs as in the sample are answered otherwise by the two runs, in the wanted proportion of directions; what "
                f"decides correlates by {ALIKE:g} between pairs that differ in the same word."
            )
            found.calibrands.append(Calibrand(claim, pair.branch.name, simulate, objection(result), note=note))
            endpoint(found, pair, "CrowS-Pairs, gender", result)


def paired_shares(sides: np.ndarray, clusters: np.ndarray) -> Result:
    """The difference of two shares of the same pairs: bool ``[2, pairs]``, the branch first; clusters from 0 [pairs]."""
    change = sides[0].astype(float) - sides[1]
    found = mean(change, clusters)
    counted: dict[str, Any] = {"n": 2 * len(change), "n_clusters": found.n_clusters, "n_events": int(sides.sum())}
    return Result(found.estimate, found.stderr, found.df, method="paired difference of shares, jackknife over clusters", **counted)


def _less(generator: np.random.Generator, truth: float, *, parent: float, apart: float, clusters: np.ndarray) -> Result:
    """Pairs of which a share ``apart`` (or as many as the effect takes) are answered otherwise by the two runs, alike within a cluster."""
    apart = min(max(apart, abs(truth) + 0.01), 1.0)
    up, n = (apart + truth) / 2, len(clusters)
    common = generator.standard_normal(int(clusters.max()) + 1)[clusters]
    kind = special.ndtr(np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * generator.standard_normal(n))
    before = generator.random(n) < parent
    branch = np.where(kind < up, True, np.where(kind < apart, False, before))
    other = np.where(kind < up, False, np.where(kind < apart, True, before))
    return paired_shares(np.stack([branch, other]), clusters)


def _text(context: AnalysisContext, found: Findings) -> None:
    """A side effect: the loss on rows that no model is trained on."""
    scores = read(context, TEXT)
    if scores is None:
        return
    claim = names.intervention(context.settings)[names.TEXT]
    tokens = (scores.items["end"] - scores.items["start"]).to_numpy()
    loss = {model: -values / tokens for model, values in scores.logprob.items()}
    rows = np.arange(len(tokens))
    for pair in paired(context, scores.steps, loss):
        for step, change in zip(pair.steps.tolist(), pair.change, strict=True):
            result = mean(change, rows)
            keep(found, pair, step, "did_text_loss", "all", "rows never seen", result)
        found.claims.append(
            decisions.row(claim, result, pair.branch.name, int(pair.steps[-1]), caveat="The interval describes rows of text.")
        )
        simulate = partial(_losses, spread=float(change.std(ddof=1)), n=len(change))
        note = "Rows' changes are drawn from a normal distribution with the standard deviation of those found."
        found.calibrands.append(Calibrand(claim, pair.branch.name, simulate, objection(result), note=note))
        endpoint(found, pair, "loss on text never seen, nats per token", result)


def _losses(generator: np.random.Generator, truth: float, *, spread: float, n: int) -> Result:
    return mean(truth + spread * generator.standard_normal(n), np.arange(n))
