"""Do early models decide like n-gram models? Agreement of decisions over training, beyond chance."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trajectories.experiments.grammar import effects, hypotheses
from trajectories.experiments.grammar.parts import Material
from trajectories.experiments.grammar.scores import Scores, right
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims, intervals
from trajectories.statistics.claims import Claim, Result

CLAIM = "early-like-ngrams"
TABLE = "likeness"
METHOD = f"difference of Cohen's kappas, paradigms weighing alike, {effects.JACKKNIFE}"
SPREAD = 0.1
"""Assumed in simulations: standard deviation of the difference of agreement between paradigms."""


def declared(settings: Any) -> Claim:
    """The claim with its margin."""
    return hypotheses.declare(
        CLAIM,
        statement=f"Early models decide like a {settings.ngram_order}-gram model, more than late ones.",
        prediction=(
            f"Cohen's kappa with its decisions is higher at the end of the first {settings.early_fraction:.0%} of training than finally."
        ),
        rival="Agreement with n-gram models is no more than both being right on the same share of pairs, or stays as it is.",
        metric="ngram_agreement",
        scale="difference of kappas",
        margin=settings.ngram_margin,
    )


def cells(model: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Shares of pairs of a paradigm: right by both, by the model alone, by the other alone, by neither ``[..., 4]``, over the last axis."""
    both, alone, missed = (model & other).mean(-1), (model & ~other).mean(-1), (~model & other).mean(-1)
    return np.stack([both, alone, missed, 1 - both - alone - missed], -1)


def kappa(shares: np.ndarray) -> np.ndarray:
    """Cohen's kappa (1960, *Educ. Psychol. Meas.* 20) of shares ``[..., paradigms, 4]``, paradigms alike; NaN where it has no room."""
    both, alone, missed, neither = np.moveaxis(shares.mean(-2), -1, 0)
    model, other = both + alone, both + missed
    chance = model * other + (1 - model) * (1 - other)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1 - 1e-12, (both + neither - chance) / (1 - chance), np.nan)


def within(shares: np.ndarray) -> np.ndarray:
    """The same with chance taken for each paradigm by itself: whether they err on the same pairs, whatever the paradigm."""
    both, alone, missed, neither = np.moveaxis(shares, -1, 0)
    model, other = both + alone, both + missed
    chance = model * other + (1 - model) * (1 - other)
    rest = (1 - chance).mean(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rest > 1e-12, (both + neither - chance).mean(-1) / rest, np.nan)


def change(early: np.ndarray, late: np.ndarray, clusters: np.ndarray, pairs: int) -> Result:
    """Kappa at an early checkpoint less that at the last one; shares ``[paradigms, 4]``."""
    facts: dict[str, Any] = {"n": pairs, "n_clusters": len(np.unique(clusters)), "method": METHOD}
    estimate = float(kappa(early) - kappa(late))
    if facts["n_clusters"] < effects.LEAST_CLUSTERS:
        return Result(estimate, problem=f"the paradigms belong to {facts['n_clusters']} phenomena", **facts)
    if not np.isfinite(estimate):
        return Result(estimate, problem="one of the two decides alike on every pair", **facts)
    _, stderr, df = intervals.cluster_jackknife(lambda m: float(kappa(early[m]) - kappa(late[m])), clusters)
    return Result(estimate, stderr, df, **facts)


def simulated(generator: np.random.Generator, truth: float, *, late: float, n: np.ndarray, rate: float, clusters: np.ndarray) -> Result:
    """Decisions that copy the n-gram model's on a share of pairs, which is then kappa, and else are right at the same rate."""
    _, index = np.unique(clusters, return_inverse=True)
    shared = np.sqrt(effects.ICC) * generator.standard_normal(index.max() + 1)[index]
    moved = truth + SPREAD * (shared + np.sqrt(1 - effects.ICC) * generator.standard_normal(len(n)))

    def drawn(copied: np.ndarray) -> np.ndarray:
        q = np.clip(copied, -0.3, 1)[:, None]
        alone = (1 - q) * rate * (1 - rate)
        p = np.concatenate([rate - alone, alone, alone, 1 - rate - alone], 1)
        return generator.multinomial(n, np.clip(p, 0, 1)) / n[:, None]

    return change(drawn(late + moved), drawn(np.full(len(n), late)), clusters, int(n.sum()))


def analyse(material: Material, found: Findings) -> None:
    """Agreement of each model with each n-gram model at every checkpoint; table ``likeness``; the claim for one n."""
    stimuli, settings = material.context.stimuli, material.context.settings
    columns = [] if stimuli is None else sorted(c for c in stimuli if c.startswith("logprob_") and c.endswith("gram"))
    if not columns:
        found.note("No agreement with n-gram models: there are no n-gram log-probabilities (published results, or an order not at hand).")
        return
    assert stimuli is not None
    claim = declared(settings)
    for setting, scores, primary in material.sets():
        margins = {int(c.removeprefix("logprob_").removesuffix("gram")): _margins(stimuli, setting, c) for c in columns}
        decisions = {n: {p: right(m) for p, m in by.items()} for n, by in margins.items()}
        for one in scores:
            assert one.correct is not None
            names = one.paradigms["paradigm"]
            for n, decided in decisions.items():
                shares = np.stack([cells(c.astype(bool), decided[p]) for c, p in zip(one.correct, names, strict=True)], 1)
                rates = np.array([decided[p].mean() for p in names])
                _trajectory(one, setting, n, shares, found)
                _margin_correlations(one, margins[n], found)
                if len(one.steps) > 1:
                    deciding = primary and n == settings.ngram_order
                    _decide(claim, one, setting, n, shares, float(rates.mean()), settings, deciding, found)
        rights = ", ".join(f"{n}-gram {np.mean([d.mean() for d in by.values()]):.0%}" for n, by in decisions.items())
        found.note(
            f"Set {setting}: n-gram models decide rightly on {rights} of the pairs, the mean over paradigms. Agreement of decisions "
            "is Cohen's "
            "kappa: 0 is what two that are right as often as they are would share by chance, 1 is the same decision on every pair; "
            "the table "
            "'likeness' also has it within paradigms, and the correlation of the margins. They are counted on the order as a whole, which "
            "early checkpoints have seen only in part."
        )


def _margins(stimuli: pd.DataFrame, setting: str, column: str) -> dict[str, np.ndarray]:
    """By paradigm, an n-gram model's log-probability of the good sentence less that of the bad one, in the order of :class:`Scores`."""
    own = stimuli[stimuli["set"] == setting]
    good = own[own["variant"] == "good"]
    bad = own[own["variant"] == "bad"].set_index("pair_id")[column]
    margin = good[column].to_numpy(dtype=float) - bad.loc[good["pair_id"]].to_numpy(dtype=float)
    margin = np.where(np.abs(margin) < 1e-9, 0, margin)
    return {str(p): margin[(good["paradigm"] == p).to_numpy()] for p in dict.fromkeys(good["paradigm"])}


def _trajectory(one: Scores, setting: str, n: int, shares: np.ndarray, found: Findings) -> None:
    clusters = one.paradigms["phenomenon"].to_numpy()
    own, stratified = kappa(shares), within(shares)
    for i, step in enumerate(one.steps):
        at = shares[i]
        _, stderr, df = intervals.cluster_jackknife(lambda m, at=at: float(kappa(at[m])), clusters)  # type: ignore[misc]
        low, high = intervals.t_interval(float(own[i]), stderr, df)
        row = {
            "model": one.model,
            "step": int(step),
            "metric": "ngram_agreement",
            "level": "n-gram",
            "group": f"{n}-gram",
            "setting": setting,
        }
        row |= {"value": float(own[i]), "stderr": stderr, "ci_low": max(low, -1.0), "ci_high": min(high, 1.0), "n": int(one.n.sum())}
        found.trajectories.append(row | {"method": f"Cohen's kappa, {effects.JACKKNIFE}"})
        found.add(
            TABLE,
            {"setting": setting, "model": one.model, "step": int(step), "tokens": int(one.tokens[i]), "ngram": n, "kappa": float(own[i])}
            | {"kappa_within_paradigms": float(stratified[i]), "agree": float((shares[i, :, 0] + shares[i, :, 3]).mean())},
        )


def _margin_correlations(one: Scores, others: dict[str, np.ndarray], found: Findings) -> None:
    """Correlation of the two margins over the pairs of a paradigm, the mean over paradigms on which both vary."""
    if one.margin is None:
        return
    totals = np.zeros(len(one.steps))
    used = np.zeros(len(one.steps))
    for margin, paradigm in zip(one.margin, one.paradigms["paradigm"], strict=True):
        other = others[paradigm] - others[paradigm].mean()
        own = margin.astype(float) - margin.mean(1, keepdims=True)
        length = np.sqrt(np.square(own).sum(1) * np.square(other).sum())
        fine = length > 1e-9
        totals[fine] += (own[fine] @ other) / length[fine]
        used += fine
    for row, total, count in zip(found.extra[TABLE][-len(one.steps) :], totals, used, strict=True):
        row["margin_correlation"] = total / count if count else float("nan")


def _decide(
    claim: Claim, one: Scores, setting: str, n: int, shares: np.ndarray, rate: float, settings: Any, deciding: bool, found: Findings
) -> None:
    limit = settings.early_fraction * one.steps[-1]
    at = np.flatnonzero((one.steps > 0) & (one.steps <= limit))
    clusters = one.paradigms["phenomenon"].to_numpy()
    result = Result(float("nan"), n=int(one.n.sum()), problem=f"there is no sound checkpoint after step 0 up to step {limit:.0f}")
    remark = ""
    if len(at):
        result = change(shares[at[-1]], shares[-1], clusters, int(one.n.sum()))
        remark = f"Kappa at step {one.steps[at[-1]]:,} {kappa(shares[at[-1]]):.2f}, at step {one.steps[-1]:,} {kappa(shares[-1]):.2f}."
    role = "primary" if deciding else "descriptive"
    group = setting if deciding else f"{setting} {n}-gram"
    found.claims.append(claims.row(claim, result, one.model, int(one.steps[-1]), group, role=role, caveat=remark))
    if deciding and len(at):
        late = float(np.nan_to_num(kappa(shares[-1])))
        simulate = partial(simulated, late=min(max(late, -0.1), 0.5), n=one.n, rate=min(max(rate, 0.2), 0.8), clusters=clusters)
        note = "Decisions copy the n-gram model's on a share of the pairs that varies between paradigms, alike within a phenomenon by 0.3."
        found.calibrands.append(Calibrand(claim, one.model, simulate, claims.objection(result), note=note))
