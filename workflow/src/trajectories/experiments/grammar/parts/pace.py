"""Does acquisition take the same number of tokens whatever the size? The ratio of tokens, from steps known only as intervals.

Halfway is where a trajectory's isotonic regression crosses. The last crossing of the trajectory itself, which describes, comes the later
the more it wanders between checkpoints and the lower it ends: of two models that learn at one time over Pythia's checkpoints and wander by
0.03, the one that ends at 0.7 would seem to need 1.4 times the tokens of the one that ends at 0.85.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from trajectories.experiments.grammar import acquired, effects, hypotheses
from trajectories.experiments.grammar.parts import Material
from trajectories.experiments.grammar.scores import Scores
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import censored_normal, claims, intervals
from trajectories.statistics.claims import Claim, Result

CLAIM = "size-changes-tokens"
EARLY = "size-changes-early-share"
METHOD = "difference of mean log tokens, interval-censored normal, sandwich over phenomena"
MOST_BEFORE = 0.5
"""With more of a model's paradigms acquired before its first checkpoint, their mean time is only guessed from a tail."""
DECIDES = "isotonic"
"""The criterion of acquisition that decides; see :mod:`trajectories.statistics.acquisition`."""
LIKENESS = 0.5
"""Assumed in simulations: correlation over paradigms of two models' log tokens."""


def declared(factor: float) -> Claim:
    """The claim with its margin, the logarithm of a factor of tokens."""
    return hypotheses.declare(
        CLAIM,
        statement=f"Size changes the number of tokens at which paradigms are acquired, by a factor of more than {factor:g}.",
        prediction=(
            "The ratio of the tokens at acquisition (where the isotonic regression is halfway to the final level) to those of the smallest "
            "model lies outside the factor."
        ),
        rival=f"Acquisition comes at the same number of tokens across sizes, within a factor of {factor:g} (this claim refuted).",
        metric="acquisition",
        scale="log ratio of tokens",
        margin=float(np.log(factor)),
        sided="two-sided",
    )


def declared_early(settings: Any) -> Claim:
    """What can be told of the same question where most is acquired before the first checkpoint."""
    return hypotheses.declare(
        EARLY,
        statement=f"Size changes the share of paradigms acquired in the first {settings.early_fraction:.0%} of training.",
        prediction="Of the paradigms that both acquire, that share differs from the smallest model's by more than the margin.",
        rival="By then sizes have acquired the same share, within the margin (this claim refuted).",
        metric="acquisition",
        scale="difference of shares",
        margin=settings.early_difference_margin,
        sided="two-sided",
        role="descriptive",
    )


def early_shares(ours: np.ndarray, theirs: np.ndarray, clusters: np.ndarray) -> Result:
    """Difference of the shares acquired by a time; ``[paradigms]`` bool. One paradigm is added to the variance, so that it is never 0."""
    groups = len(np.unique(clusters))
    result = partial(Result, n=len(clusters), n_clusters=groups, method=f"paired difference of shares, {effects.JACKKNIFE}")
    if groups < effects.LEAST_CLUSTERS:
        return result(np.nan, problem=f"the paradigms belong to {groups} phenomena, and an interval needs {effects.LEAST_CLUSTERS}")
    difference = ours.astype(float) - theirs
    estimate, stderr, df = intervals.cluster_jackknife(lambda m: float(difference[m].mean()), clusters)
    return result(estimate, stderr=float(np.hypot(stderr, 1 / len(clusters))), df=float(df))


def simulated_early(generator: np.random.Generator, truth: float, *, rate: float, clusters: np.ndarray) -> Result:
    """Two models of which one has acquired ``truth`` more of the paradigms, alike within a phenomenon and between the models."""
    common = _clustered(generator, clusters)
    ours, theirs = (
        np.sqrt(LIKENESS) * common + np.sqrt(1 - LIKENESS) * _clustered(generator, clusters) < stats.norm.ppf(rate + shift)
        for shift in (truth / 2, -truth / 2)
    )
    return early_shares(ours, theirs, clusters)


def _clustered(generator: np.random.Generator, clusters: np.ndarray) -> np.ndarray:
    """Standard normal values, correlated by :data:`effects.ICC` within a cluster."""
    _, index = np.unique(clusters, return_inverse=True)
    shared = generator.standard_normal(index.max() + 1)[index]
    return np.sqrt(effects.ICC) * shared + np.sqrt(1 - effects.ICC) * generator.standard_normal(len(index))


def ratio(low: np.ndarray, high: np.ndarray, clusters: np.ndarray) -> Result:
    """Mean log tokens of the first model less that of the second.

    Args:
        low: ``[2, paradigms]``, log tokens after which it is acquired; ``-inf`` before the first checkpoint.
        high: ``[2, paradigms]``, log tokens by which it is.
        clusters: ``[paradigms]``, phenomena.
    """
    _, index = np.unique(clusters, return_inverse=True)
    groups = int(index.max()) + 1 if len(index) else 0
    result = partial(Result, n=len(clusters), n_clusters=groups, method=METHOD)
    before = float(np.isinf(low).mean(1).max()) if len(index) else 0.0
    if groups < effects.LEAST_CLUSTERS:
        return result(
            np.nan, problem=f"the paradigms belong to {groups} phenomena, and an interval over phenomena needs {effects.LEAST_CLUSTERS}"
        )
    if before > MOST_BEFORE:
        return result(np.nan, problem=f"{before:.0%} of a model's paradigms are acquired before its first checkpoint")
    one, other = (censored_normal.fit(*ends) for ends in zip(low, high, strict=True))
    if one is None or other is None:
        return result(np.nan, problem="too few paradigms are acquired between two checkpoints")
    sums = np.bincount(index, weights=one.influence - other.influence)
    stderr = float(np.sqrt(groups / (groups - 1) * np.square(sums).sum()))
    return result(one.mean - other.mean, stderr=stderr, df=float(groups - 1))


def simulated(
    generator: np.random.Generator, truth: float, *, centre: float, sd: float, grids: list[np.ndarray], clusters: np.ndarray
) -> Result:
    """Two models, of which one needs ``exp(truth)`` times the other's tokens, seen at their checkpoints, the not acquired left out."""
    common, low, high = _clustered(generator, clusters), [], []
    for grid, shift in zip(grids, (truth / 2, -truth / 2), strict=True):
        time = centre + shift + sd * (np.sqrt(LIKENESS) * common + np.sqrt(1 - LIKENESS) * _clustered(generator, clusters))
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
            _compare(material, setting, primary, claim, [by_name[model.name], by_name[small.name]], found)
            found.note(
                "Where sizes are compared by when they are halfway, the isotonic regression's crossing decides: the last crossing of a "
                "trajectory that wanders comes late, the more so the lower it ends, and would make larger models sooner where both "
                "learn at one time. This was settled on simulated runs."
            )


def _compare(material: Material, setting: str, primary: bool, claim: Claim, pair: list[Scores], found: Findings) -> None:
    """A model against a smaller one: halfway to the final level; by the last crossing, and at the fixed level, as descriptions."""
    names, table = [one.model for one in pair], material.acquisition
    for kind in (DECIDES, "midway", "fixed"):
        lower, upper = (acquired.matrix(table, setting, kind, f"{end}_tokens").loc[names] for end in ("lower", "upper"))
        counted = np.isfinite(upper.to_numpy()).all(0)
        clusters = acquired.phenomena(table, lower.columns)[counted]
        low, high = _ends(lower.to_numpy()[:, counted], upper.to_numpy()[:, counted], pair)
        result = ratio(low, high, clusters)
        before = [f"{share:.0%}" for share in np.isinf(low).mean(1)] if counted.any() else ["none", "none"]
        remark = (
            f"Held against {names[1]}. {int((~counted).sum())} of {len(counted)} paradigms that not both acquire are left out; acquired "
            f"before the first checkpoint, and kept as such: {before[0]} and {before[1]}."
        )
        if kind == DECIDES:
            _compare_early(material, setting, primary, upper.to_numpy()[:, counted], clusters, pair, found)
        deciding = primary and kind == DECIDES
        group, role = (setting, "primary") if deciding else (f"{setting} {kind}", "descriptive")
        found.claims.append(claims.row(claim, result, names[0], int(pair[0].steps[-1]), group, role=role, caveat=remark))
        if deciding:
            found.calibrands.append(_calibrand(claim, names[0], result, low, high, clusters, [one.tokens for one in pair]))


def _compare_early(
    material: Material, setting: str, primary: bool, upper: np.ndarray, clusters: np.ndarray, pair: list[Scores], found: Findings
) -> None:
    settings = material.context.settings
    claim, limit = declared_early(settings), settings.early_fraction * min(one.tokens[-1] for one in pair)
    common = np.intersect1d(pair[0].tokens, pair[1].tokens)
    times = common[(common > 0) & (common <= limit)]
    step = int(pair[0].steps[-1])
    if not len(times):
        result = Result(np.nan, n=len(clusters), problem="the two have no checkpoint at the same number of tokens early in training")
        found.claims.append(claims.row(claim, result, pair[0].model, step, setting))
        return
    ours, theirs = upper <= times[-1]
    result = early_shares(ours, theirs, clusters)
    remark = f"By {times[-1]:,} tokens {ours.mean():.0%} are acquired, of {pair[1].model} {theirs.mean():.0%}." if len(ours) else ""
    found.claims.append(claims.row(claim, result, pair[0].model, step, setting, caveat=remark))
    if primary and len(ours):
        rate = float(np.clip((ours.mean() + theirs.mean()) / 2, 0.05 + claim.margin, 0.95 - claim.margin))
        simulate = partial(simulated_early, rate=rate, clusters=clusters)
        note = f"As many are acquired early as in the data, but at most {0.95 - claim.margin:.0%}, so that there is room for a difference."
        found.calibrands.append(Calibrand(claim, pair[0].model, simulate, claims.objection(result), note=note))


def _ends(lower: np.ndarray, upper: np.ndarray, pair: list[Scores]) -> tuple[np.ndarray, np.ndarray]:
    """Ends of log tokens ``[2, paradigms]``; what is acquired by the first checkpoint with tokens seen has no known start."""
    first = np.array([one.tokens[one.tokens > 0][0] for one in pair], dtype=float)[:, None]
    upper = np.maximum(upper.astype(float), first)
    before = (upper <= first) | (lower <= 0)
    return np.where(before, -np.inf, np.log(np.where(before, 1, lower))), np.log(upper)


def _calibrand(
    claim: Claim, model: str, result: Result, low: np.ndarray, high: np.ndarray, clusters: np.ndarray, tokens: list[np.ndarray]
) -> Calibrand:
    fitted = [f for f in (censored_normal.fit(*ends) for ends in zip(low, high, strict=True)) if f is not None]
    centre, sd = (float(np.mean([getattr(f, name) for f in fitted])) if fitted else 1.0 for name in ("mean", "sd"))
    grids = [np.log(t[t > 0].astype(float)) for t in tokens]
    note = (
        "Log tokens are normal with the observed mean and spread, alike between the two models by a correlation of 0.5 and within a "
        "phenomenon "
        "by 0.3, seen on the same checkpoints, and left out if not acquired by the end."
    )
    simulate = partial(simulated, centre=centre, sd=sd, grids=grids, clusters=clusters)
    return Calibrand(claim, model, simulate, claims.objection(result), note=note)
