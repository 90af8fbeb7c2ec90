"""Pairs of sentences: how often, and by how much, the stereotyping one is the likelier; by category, and whether categories differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.effects import ALIKE, mean, row, share, spread
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.scores import Pairs, own_runs, stereotyped
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Claim, Result, objection

ALL = "all"


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Trajectories of every set and category, and the claims on preference and on the categories' rates."""
    for pairs in stereotyped(context):
        groups = {(ALL, "all pairs"): np.ones(len(pairs.table), bool)}
        groups |= {("category", name): (pairs.table["category"] == name).to_numpy() for name in sorted(set(pairs.table["category"]))}
        if pairs.set == "crows_pairs":
            groups |= {("direction", name): (pairs.table["setting"] == name).to_numpy() for name in sorted(set(pairs.table["setting"]))}
            found.note(
                "CrowS-Pairs' pairs are no independent sample: what a model thinks of one word decides all pairs that differ in it, and "
                f"{pairs.table.groupby('cluster').size().max()} of the {len(pairs.table):,} share one. Pairs of a category that differ in "
                f"the same word are a cluster ({pairs.table['cluster'].nunique()} in all), and are kept together by intervals and by the "
                "folds of probes."
            )
        for model, values in pairs.difference.items():
            for step, difference in zip(pairs.steps[model].tolist(), values, strict=True):
                for (level, name), mine in groups.items():
                    place = {"model": model, "step": step, "level": level, "group": name, "setting": pairs.set}
                    found.trajectories += [place | r for r in described(difference[mine], pairs.clusters[mine])]
        for one in own_runs(context):
            if one.name in pairs.difference:
                _claims(pairs, one.name, context, found)
    found.note(
        "Likelihood differences are log P(stereotyping sentence) less log P(the other), in nats and signed; lm-evaluation-harness reports "
        "their absolute values, which are given beside them and grow with any difference between the sentences, stereotype or not."
    )
    found.note(
        "The rate of a pair is the least-squares slope of its signed likelihood difference on log2(1 + step) over all checkpoints of the "
        "run; categories are compared in standard deviations of single pairs' rates."
    )


def described(difference: np.ndarray, clusters: np.ndarray) -> Iterator[dict[str, Any]]:
    """Share of pairs with the stereotyping sentence likelier, mean signed and mean absolute likelihood difference."""
    yield {"metric": "stereotype_preferred"} | row(share(difference > 0, clusters))
    yield {"metric": "likelihood_difference"} | row(mean(difference, clusters))
    yield {"metric": "absolute_likelihood_difference"} | row(mean(np.abs(difference), clusters))


def rates(difference: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Slope of each pair's difference on log2(1 + step), in standard deviations over pairs [pairs]; NaN with a single checkpoint."""
    x = np.log2(1 + steps.astype(float))
    x = x - x.mean()
    if len(steps) < 2:
        return np.full(difference.shape[1], np.nan)
    found = x @ difference / (x @ x)
    return found / (found.std(ddof=1) or 1.0)


def _claims(pairs: Pairs, model: str, context: AnalysisContext, found: Findings) -> None:
    own, values, step = claims(context.settings), pairs.difference[model], int(pairs.steps[model][-1])
    if pairs.set == "crows_pairs":
        result = share(values[-1] > 0, pairs.clusters, less=0.5)
        found.claims.append(decisions.row(own["stereotypes-preferred"], result, model, step))
        for name in sorted(set(pairs.table["category"])):
            mine = (pairs.table["category"] == name).to_numpy()
            part = share(values[-1][mine] > 0, pairs.clusters[mine], less=0.5)
            found.claims.append(decisions.row(own["stereotypes-preferred"], part, model, step, name, role="descriptive"))
        simulate = preference_simulation(pairs.clusters)
        note = (
            "Each pair prefers its stereotyping sentence with the wanted chance; the normal variable that decides correlates by "
            f"{ALIKE:g} between pairs that differ in the same word."
        )
        found.calibrands.append(Calibrand(own["stereotypes-preferred"], model, simulate, objection(result), note=note))
    speed = rates(values, pairs.steps[model])
    if np.isfinite(speed).all():
        _rates(pairs, speed, model, step, own["categories-differ"], found)


def preference_simulation(clusters: np.ndarray) -> Any:
    """The whole decision on pairs of known preference, alike within a cluster: (generator, true share less 1/2) → result."""

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        common, own = generator.standard_normal(int(clusters.max()) + 1)[clusters], generator.standard_normal(len(clusters))
        holds = np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * own < special.ndtri(0.5 + truth)
        return share(holds, clusters, less=0.5)

    return simulate


def _rates(pairs: Pairs, speed: np.ndarray, model: str, step: int, claim: Claim, found: Findings) -> None:
    category = pairs.table["category"].to_numpy()
    result = spread(speed, category, pairs.clusters)
    found.claims.append(decisions.row(claim, result, model, step, pairs.name))
    for name in sorted(set(category)):
        mine = category == name
        place = {"model": model, "step": step, "metric": "development_rate", "level": "category", "group": name, "setting": pairs.set}
        found.trajectories.append(place | row(mean(speed[mine], pairs.clusters[mine])))
    note = (
        "Clusters of pairs are drawn from normal distributions with the deviation found in their category, and categories are given means "
        "whose spread is the wanted one, in a direction that is drawn."
    )
    simulate = spread_simulation(speed, category, pairs.clusters)
    found.calibrands.append(Calibrand(claim, model, simulate, objection(result), note=note))


def spread_simulation(speed: np.ndarray, category: np.ndarray, clusters: np.ndarray) -> Any:
    """The whole decision on rates whose categories lie apart by a known spread: (generator, true spread) → result."""
    names, code = np.unique(category, return_inverse=True)
    number, first = np.unique(clusters, return_index=True)
    where, own = np.searchsorted(number, clusters), code[first]  # a cluster lies within one category
    members = np.bincount(own, minlength=len(names))
    deviations = []
    for name, n in zip(names, members, strict=True):
        mine = category == name
        deviations.append(mean(speed[mine], clusters[mine]).stderr * np.sqrt(n))
    scale = np.nan_to_num(np.array(deviations))

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        direction = generator.standard_normal(len(names))
        direction -= np.average(direction, weights=members)
        direction *= truth / np.sqrt(np.average(direction**2, weights=members))
        drawn = direction[own] + scale[own] * generator.standard_normal(len(number))
        return spread(drawn[where], category, clusters)

    return simulate
