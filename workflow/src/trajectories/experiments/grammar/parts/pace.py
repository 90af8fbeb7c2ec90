"""Does acquisition take the same number of tokens whatever the size? The ratio of tokens, from steps known only as intervals."""

from __future__ import annotations

from functools import partial

import numpy as np

from trajectories.experiments.grammar import acquired, effects, hypotheses
from trajectories.experiments.grammar.parts import Material
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import censored_normal, claims
from trajectories.statistics.claims import Claim, Result

CLAIM = "size-changes-tokens"
METHOD = "difference of mean log tokens, interval-censored normal, sandwich over phenomena"
MOST_BEFORE = 0.5
"""With more of a model's paradigms acquired before its first checkpoint, their mean time is only guessed from a tail."""
LIKENESS = 0.5
"""Assumed in simulations: correlation over paradigms of two models' log tokens."""


def declared(factor: float) -> Claim:
    """The claim with its margin, the logarithm of a factor of tokens."""
    return Claim(
        id=CLAIM,
        experiment=hypotheses.EXPERIMENT,
        family=CLAIM,
        statement=f"Size changes the number of tokens at which paradigms are acquired, by a factor of more than {factor:g}.",
        prediction="The ratio of the tokens at acquisition (halfway to the final level) to those of the smallest model lies outside the factor.",
        rival=f"Acquisition comes at the same number of tokens across sizes, within a factor of {factor:g} (this claim refuted).",
        metric="acquisition",
        scale="log ratio of tokens",
        margin=float(np.log(factor)),
        sided="two-sided",
    )


def ratio(low: np.ndarray, high: np.ndarray, clusters: np.ndarray) -> Result:
    """Mean log tokens of the first model less that of the second; ``low`` and ``high`` ``[2, paradigms]``, ``-inf`` before the first checkpoint."""
    facts = {"n": len(clusters), "n_clusters": len(np.unique(clusters)), "method": METHOD}
    nothing = float("nan")
    if facts["n_clusters"] < effects.LEAST_CLUSTERS:  # type: ignore[operator]
        return Result(nothing, problem=f"the paradigms belong to {facts['n_clusters']} phenomena", **facts)  # type: ignore[arg-type]
    before = np.isinf(low).mean(1).max()
    if before > MOST_BEFORE:
        return Result(nothing, problem=f"{before:.0%} of a model's paradigms are acquired before its first checkpoint", **facts)  # type: ignore[arg-type]
    fits = [censored_normal.fit(*ends) for ends in zip(low, high, strict=True)]
    if fits[0] is None or fits[1] is None:
        return Result(nothing, problem="too few paradigms are acquired between two checkpoints", **facts)  # type: ignore[arg-type]
    groups = facts["n_clusters"]
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=fits[0].influence - fits[1].influence)
    stderr = float(np.sqrt(groups / (groups - 1) * np.square(sums).sum()))  # type: ignore[operator]
    return Result(fits[0].mean - fits[1].mean, stderr, float(groups - 1), **facts)  # type: ignore[operator, arg-type]


def simulated(
    generator: np.random.Generator, truth: float, *, centre: float, sd: float, grids: list[np.ndarray], clusters: np.ndarray
) -> Result:
    """Two models that need ``exp(truth)`` times the tokens of each other, seen on their own checkpoints; what is not acquired is left out."""
    _, index = np.unique(clusters, return_inverse=True)

    def draw() -> np.ndarray:
        shared = generator.standard_normal(index.max() + 1)[index]
        return np.sqrt(effects.ICC) * shared + np.sqrt(1 - effects.ICC) * generator.standard_normal(len(index))

    common, low, high = draw(), [], []
    for grid, shift in zip(grids, (truth / 2, -truth / 2), strict=True):
        time = centre + shift + sd * (np.sqrt(LIKENESS) * common + np.sqrt(1 - LIKENESS) * draw())
        ends = np.concatenate([[-np.inf], grid, [np.inf]])
        place = np.searchsorted(grid, time)
        low.append(ends[place])
        high.append(ends[place + 1])
    kept = np.isfinite(high).all(0)
    return ratio(np.array(low)[:, kept], np.array(high)[:, kept], clusters[kept])


def analyse(material: Material, found: Findings) -> None:
    """Every model against the smallest of its order."""
    context = material.context
    claim = declared(context.settings.same_tokens_factor)
    for setting, scores, primary in material.sets():
        by_name = {s.model: s for s in scores if len(s.steps) > 1}
        models = [m for m in context.suite.models if m.name in by_name]
        for model in models:
            small = hypotheses.reference(model, models)
            if small is None or material.acquisition.empty:
                continue
            names = [model.name, small.name]
            lower, upper = (
                acquired.matrix(material.acquisition, setting, "midway", f"{end}_tokens").loc[names] for end in ("lower", "upper")
            )
            counted = np.isfinite(upper.to_numpy()).all(0)
            clusters = acquired.phenomena(material.acquisition, lower.columns)[counted]
            first = [_first(by_name[name].tokens) for name in names]
            ends = upper.to_numpy()[:, counted].astype(float)
            starts = lower.to_numpy()[:, counted].astype(float)
            censored = (ends <= np.array(first)[:, None]) | (starts <= 0)
            low = np.where(censored, -np.inf, np.log(np.where(censored, 1, starts)))
            high = np.log(np.maximum(ends, np.array(first)[:, None]))
            result = ratio(low, high, clusters)
            remark = (
                f"Held against {small.name}. {int((~counted).sum())} of {len(counted)} paradigms that not both acquire are left out; acquired "
                f"before the first checkpoint (kept as censored): {censored[0].mean():.0%} and {censored[1].mean():.0%}."
            )
            role = None if primary else "descriptive"
            found.claims.append(
                claims.row(claim, result, model.name, int(by_name[model.name].steps[-1]), setting, role=role, caveat=remark)
            )
            if primary:
                found.calibrands.append(_calibrand(claim, model.name, result, low, high, clusters, [by_name[n].tokens for n in names]))


def _first(tokens: np.ndarray) -> float:
    """The first checkpoint after training began: what is acquired by then has no known start."""
    return float(tokens[tokens > 0][0])


def _calibrand(
    claim: Claim, model: str, result: Result, low: np.ndarray, high: np.ndarray, clusters: np.ndarray, tokens: list[np.ndarray]
) -> Calibrand:
    fitted = [f for f in (censored_normal.fit(*ends) for ends in zip(low, high, strict=True)) if f is not None]
    centre, sd = (float(np.mean([getattr(f, name) for f in fitted])) if fitted else 1.0 for name in ("mean", "sd"))
    grids = [np.log(t[t > 0].astype(float)) for t in tokens]
    note = (
        "Log tokens are normal with the observed mean and spread, alike between the two models by a correlation of 0.5 and within a phenomenon "
        "by 0.3, seen on the same checkpoints, and left out if not acquired by the end."
    )
    simulate = partial(simulated, centre=centre, sd=sd, grids=grids, clusters=clusters)
    return Calibrand(claim, model, simulate, claims.objection(result), note=note)
