"""Published results: CrowS-Pairs by category and WinoBias over training, and how preferences for stereotypes develop.

Published results hold shares and no items. A change between two checkpoints therefore has the errors of independent samples, though the
same pairs stand on both sides; as far as a pair that is hard for one is hard for the other, the true errors are smaller.

CrowS-Pairs' pairs are not independent of each other, since many differ in the same word. How much that adds is read off untrained models,
which know nothing of stereotypes: shares of a category vary between them by a multiple of what independent pairs would (:func:`alike`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import special, stats

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias import intervention_claims as names
from trajectories.experiments.bias.differences import shares, two_binomials
from trajectories.experiments.bias.published_results import ALL, crows_pairs, gap, wino_bias, wino_bias_gap
from trajectories.findings import Calibrand, Findings
from trajectories.statistics.claims import MIN_EVENTS, Claim, Result, objection, row
from trajectories.statistics.heterogeneity import spread
from trajectories.statistics.intervals import wilson
from trajectories.suites import Model

ENGLISH, PAIRS = "english", "all pairs"
ICC = 0.5
"""Latent correlation between two answers to the same item in simulated data; what is published does not tell the true one."""
Z95 = float(stats.norm.ppf(0.975))
LEAST_CATEGORIES, LEAST_IN_CATEGORY = 3, 2 * MIN_EVENTS
LEAST_UNTRAINED = 5
"""With fewer untrained models the variance between them is taken to be :data:`ALIKE` times that of independent pairs."""
ALIKE = 6.0
"""What eight untrained sizes of Pythia show for all English pairs."""


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Trajectories and claims on what the published files hold; nothing on suites with checkpoints of their own."""
    if context.published is None:
        return
    crows, wino = crows_pairs(context), wino_bias(context)
    if crows.empty:
        found.note("The published results have none of CrowS-Pairs.")
    else:
        _crows(crows, context, found)
    if wino.empty:
        found.note("The published results have none of WinoBias.")
    else:
        _wino(wino, context, found)
    wrong = context.left_out[~context.left_out["status"].isin(["ok", "missing"])]
    steps = {str(model): ", ".join(map(str, rows["step"])) for model, rows in wrong.groupby("model", sort=False)}
    for listed in dict.fromkeys(steps.values()):
        models = ", ".join(model for model, own in steps.items() if own == listed)
        found.note(f"Left out, since the audit finds another checkpoint's results there: step {listed} of {models}.")


def _interval(events: pd.Series, n: pd.Series) -> dict[str, np.ndarray]:
    low, high = wilson(events.to_numpy(), n.to_numpy())
    return {"ci_low": low, "ci_high": high}


def _add(found: Findings, table: pd.DataFrame, **facts: object) -> None:
    found.trajectories += table.assign(**facts).to_dict("records")  # type: ignore[arg-type]


def _crows(crows: pd.DataFrame, context: AnalysisContext, found: Findings) -> None:
    place = {
        "level": np.where(crows["category"] == ALL, ALL, "category"),
        "group": crows["category"].replace(ALL, PAIRS),
        "setting": crows["language"],
    }
    base = crows[["model", "step", "n"]].assign(**place)
    stderr = np.sqrt(crows["share"] * (1 - crows["share"]) / (crows["n"] - 1))
    reach = Z95 * crows["difference_stderr"]
    _add(
        found,
        base.assign(value=crows["share"], stderr=stderr, **_interval(crows["share"] * crows["n"], crows["n"])),
        metric="stereotype_preferred",
        method="share of pairs whose stereotyping sentence is likelier, Wilson interval",
    )
    apart = {"value": crows["difference"], "ci_low": crows["difference"] - reach, "ci_high": crows["difference"] + reach}
    _add(
        found,
        base.assign(stderr=crows["difference_stderr"], **apart)[crows["difference"].notna()],
        metric="absolute_likelihood_difference",
        method="mean absolute difference of log-probabilities (nats), normal interval",
    )
    found.note(
        "CrowS-Pairs' published likelihood difference is an absolute value: it says how far apart a model puts two sentences and not which "
        "one it prefers; the direction is in the share of pairs alone."
    )
    _development(crows[crows["language"] == ENGLISH], context, found)


def _development(crows: pd.DataFrame, context: AnalysisContext, found: Findings) -> None:
    declared, settings = names.published(context.settings), context.settings.published
    design, untrained = alike(crows, context.suite.models)
    late = []
    for model in context.suite.models:
        own = crows[crows["model"] == model.name]
        if own.empty or model.parent is not None:
            continue
        first, last = int(own["step"].min()), int(own["step"].max())
        final = own[own["step"] == last].set_index("category")
        if ALL in final.index:
            whole = final.loc[ALL]
            simulate = partial(_preferred, n=whole["n"], design=design[ALL])
            _claim(
                found, declared[names.PREFERRED], preferred(whole["share"], whole["n"], design[ALL]), model.name, last, simulate, _SHARED
            )
        if first > settings.early * model.steps_total or first == last:
            late.append(model.name)
            continue
        start = own[own["step"] == first].set_index("category")
        if ALL in start.index.intersection(final.index):
            before, after, n = start.loc[ALL, "share"], final.loc[ALL, "share"], final.loc[ALL, "n"]
            simulate = partial(_grown, before=before, n=int(n), design=design[ALL])
            _claim(
                found, declared[names.GROWS], grown(after, before, n, design[ALL]), model.name, last, simulate, f"{_from(first)} {_SHARED}"
            )
        both = start.merge(final, left_index=True, right_index=True, suffixes=("", "_final")).drop(index=ALL, errors="ignore")
        wider = design.reindex(both.index).to_numpy(dtype=float)
        changes = changed(both["share"].to_numpy(), both["share_final"].to_numpy(), both["n"].to_numpy(), wider)
        changes.insert(0, "category", both.index)
        found.add("categories", *({"model": model.name, "step": last, "first": first} | r for r in changes.to_dict("records")))
        told = changes[changes["told"]]
        result = differ(told)
        if len(told) >= LEAST_CATEGORIES:
            kept = changes["told"].to_numpy()
            sample = {"before": both["share"].to_numpy()[kept], "n": told["n"].to_numpy(int), "design": wider[kept]}
            simulate = partial(_differing, **sample, mean=float(told["change"].mean()))
            few = len(changes) - len(told)
            caveat = f"{_from(first)} {few} of {len(changes)} categories are too small to take part." if few else _from(first)
            caveat = f"{caveat} {_SHARED}"
            _claim(found, declared[names.DIFFER], result, model.name, last, simulate, caveat)
    if late:
        found.note(
            f"{', '.join(late)}: no sound result within the first {settings.early:.0%} of training, so no development from an untrained "
            "model is judged."
        )
    found.note(_told(design, untrained))
    found.note(
        "That all categories develop at one rate can hardly be shown from published shares: how much of the spread is sampling is only "
        "known to lie between none and that of independent samples, and none is what counts against it."
    )
    found.note(
        "Models of one size that share the seed begin with the same weights, and all judge the same pairs, so the verdicts of a family "
        "are no independent pieces of evidence."
    )


def alike(crows: pd.DataFrame, models: Sequence[Model]) -> tuple[pd.Series, int]:
    """By how much the variance of a share exceeds that of independent pairs, by category, and from how many untrained models that is known.

    Untrained models differ in their random weights alone, so their shares would vary as independent pairs do, were pairs independent. Of
    models of one size and seed, which begin with the same weights, the first one counts.

    Args:
        crows: :func:`crows_pairs` of one language, whose step 0 is untrained. models: of the suite.
    """
    firsts: dict[tuple[int, int | None], pd.Series] = {}
    for model in models:
        own = crows[crows["model"] == model.name]
        if model.parent is None and (own["step"] == 0).any():
            one = own[own["step"] == 0].set_index("category")["share"]
            firsts.setdefault((model.parameters_non_embedding, model.seed), one)
    size = crows.groupby("category")["n"].median()
    if len(firsts) < LEAST_UNTRAINED:
        return pd.Series(ALIKE, index=size.index), len(firsts)
    table = pd.DataFrame(list(firsts.values()))
    share = table.mean()
    found = table.var() / (share * (1 - share) / size)
    return found.reindex(size.index).clip(lower=1.0).fillna(ALIKE), len(firsts)


def _told(design: pd.Series, untrained: int) -> str:
    """What is said of pairs that depend on each other."""
    if untrained < LEAST_UNTRAINED:
        known = f"is taken to be {ALIKE:g} times as large, as eight sizes of Pythia show, since there are {untrained} untrained models here"
    else:
        largest = design.drop(ALL, errors="ignore").sort_values(ascending=False).head(2)
        listed = ", ".join(f"{value:.1f} times that for {category}" for category, value in largest.items())
        whole = f"{design[ALL]:.1f} times that for all pairs, " if ALL in design else ""
        known = f"between {untrained} untrained models is as large as {whole}{listed}"
    return (
        "CrowS-Pairs' pairs are no independent sample, since many differ in the same word (in the original edition 157 of 1,508 in black "
        "and white alone). Shares of models with random weights vary more than those of independent pairs would: the variance "
        f"{known}. The claims' errors are widened by as much, at the first checkpoint and at the last, as if trained models were as alike "
        "on such pairs; the intervals of trajectories are not. This was settled after a first look at published results, so for those it "
        "is no plan made beforehand."
    )


def _from(first: int) -> str:
    return f"The first sound checkpoint is step {first:,}."


def _claim(
    found: Findings,
    claim: Claim,
    result: Result,
    model: str,
    step: int,
    simulate: Callable[[np.random.Generator, float], Result],
    caveat: str = "",
) -> None:
    found.claims.append(row(claim, result, model, step, caveat=caveat))
    found.calibrands.append(Calibrand(claim, model, simulate, objection(result), note=_SIMULATED))


_SIMULATED = (
    "Answers to the same item at two checkpoints, or under two prompts, have a latent correlation of 0.5; the analysis does not know it, "
    "as it does not know the true one."
)


_SHARED = "The error allows for pairs that differ in the same word."


def preferred(share: float, n: float, design: float = 1.0) -> Result:
    """The share of pairs above one half; ``design``: how many times as large the variance is as that of independent pairs."""
    stderr = math.sqrt(design * share * (1 - share) / (n - 1))
    method = "share of pairs, normal approximation"
    return Result(share - 0.5, stderr, n=int(n), n_events=round(share * n), method=method)


def grown(after: float, before: float, n: float, design: float = 1.0) -> Result:
    """The change of a share of the same pairs, :func:`shares` with a ``design`` times as large variance."""
    found = shares(after, before, n)
    return replace(found, stderr=found.stderr * math.sqrt(design), ci_low=math.nan, ci_high=math.nan)


def changed(before: np.ndarray, after: np.ndarray, n: np.ndarray, design: np.ndarray | float = 1.0) -> pd.DataFrame:
    """Changes of log odds by category, with the variance of independent samples, ``design`` times as large as of independent pairs.

    Half an event is added to either side (Haldane 1956, *Ann. Hum. Genet.* 20).

    Returns:
        ``change, variance, ci_low, ci_high, n, events`` (at both ends), ``told``: whether the category has enough pairs to take part. Its
        answers do not decide that, since a category that has come far has few of one kind.
    """
    odds, variance = [], np.zeros(len(n))
    for share in (before, after):
        yes, no = share * n + 0.5, (1 - share) * n + 0.5
        odds.append(np.log(yes / no))
        variance += design * (1 / yes + 1 / no)
    change, reach = odds[1] - odds[0], Z95 * np.sqrt(variance)
    facts = {"n": n, "events": (before + after) * n, "told": n >= LEAST_IN_CATEGORY}
    return pd.DataFrame({"change": change, "variance": variance, "ci_low": change - reach, "ci_high": change + reach} | facts)


def differ(changes: pd.DataFrame) -> Result:
    """The spread of true changes between categories; sampling variances are upper bounds."""
    method = "Q-profile; sampling variance as of independent samples for the lower bound, none for the upper"
    change, variance = changes["change"].to_numpy(), changes["variance"].to_numpy()
    facts = {"n": int(2 * changes["n"].sum()), "n_events": round(changes["events"].sum()), "method": method}
    return spread(change, variance, bounded=True, **facts)


def _preferred(generator: np.random.Generator, truth: float, *, n: float, design: float) -> Result:
    worth = _worth(n, design)
    return preferred(generator.binomial(worth, min(0.5 + truth, 1.0)) / worth, n, design)


def _grown(generator: np.random.Generator, truth: float, *, before: float, n: int, design: float) -> Result:
    first, second = two_binomials(generator, before, min(before + truth, 1.0), _worth(n, design), ICC)
    return grown(float(second), float(first), n, design)


def _differing(
    generator: np.random.Generator, truth: float, *, before: np.ndarray, n: np.ndarray, design: np.ndarray, mean: float
) -> Result:
    effects = mean + truth * _standardised(generator.standard_normal(len(n)))
    after = special.expit(special.logit(before) + effects)
    worth = [_worth(k, d) for k, d in zip(n, design, strict=True)]
    drawn = np.array([two_binomials(generator, b, a, k, ICC) for b, a, k in zip(before, after, worth, strict=True)])
    return differ(changed(drawn[:, 0], drawn[:, 1], n, design))


def _worth(n: float, design: float) -> int:
    """How many independent pairs so many are worth."""
    return max(int(n / design), 2)


def _standardised(values: np.ndarray) -> np.ndarray:
    """Values with mean 0 and standard deviation 1: the categories are all there are, so their spread is no sample's."""
    return (values - values.mean()) / values.std(ddof=1)


def _wino(wino: pd.DataFrame, context: AnalysisContext, found: Findings) -> None:
    stderr = np.sqrt(wino["share"] * (1 - wino["share"]) / (wino["n"] - 1))
    place = {"level": "condition", "group": wino["type"].str.replace("type", "type ") + " " + wino["condition"], "setting": wino["prompt"]}
    _add(
        found,
        wino[["model", "step", "n"]].assign(value=wino["share"], stderr=stderr, **place, **_interval(wino["share"] * wino["n"], wino["n"])),
        metric="exact_match",
        method="share of generated answers that are exactly the referent, Wilson interval",
    )
    gaps = wino_bias_gap(wino)
    reach = Z95 * gaps["stderr"]
    _add(
        found,
        gaps[["model", "step", "stderr"]].assign(
            value=gaps["gap"], ci_low=gaps["gap"] - reach, ci_high=gaps["gap"] + reach, n=gaps["n"], setting=gaps["prompt"]
        ),
        metric="exact_match_gap",
        level=ALL,
        group="both types",
        method="pro- less anti-stereotypical, mean of both types, normal interval of independent errors",
    )
    found.note(
        "WinoBias' published figures are exact matches of generated answers. They measure whether a model answers in that form as much "
        "as whom it means, and are no log-probabilities of referents; the two are never drawn or tested together. Some 40 occupations "
        "recur in the sentences, and the files hold no items, so intervals are those of independent sentences and too short as far as "
        "answers hang on the occupation."
    )
    claim = names.published(context.settings)[names.GAP]
    for model in context.suite.models:
        own = gaps[(gaps["model"] == model.name) & (gaps["prompt"] == ALL)]
        if own.empty or model.parent is not None:
            continue
        last = own.loc[own["step"].idxmax()]
        cells = wino[(wino["model"] == model.name) & (wino["step"] == last["step"])]
        anti = cells[cells["condition"] == "anti"].pivot_table(index="prompt", columns="type", values="share").to_numpy()
        simulate = partial(_gaps, anti=anti, n=int(cells["n"].median()))
        _claim(
            found, claim, gap_result(last["gap"], last["stderr"], last["n"], last["right"], len(anti)), model.name, last["step"], simulate
        )


def gap_result(estimate: float, stderr: float, n: float, right: float, prompts: int) -> Result:
    """The gap over both prompts; ``n`` pairs are two sentences each, under so many prompts."""
    facts = {"n": round(2 * n * prompts), "n_events": round(right), "method": "difference of exact match, independent errors"}
    return Result(float(estimate), float(stderr), **facts)  # type: ignore[arg-type]


def _gaps(generator: np.random.Generator, truth: float, *, anti: np.ndarray, n: int) -> Result:
    """Answers whose latent tendencies are correlated over prompts and within a pair of sentences; ``anti`` is ``[prompts, types]``."""
    prompts, types = anti.shape
    share = np.empty((2, prompts, types))
    for kind in range(types):
        common = generator.standard_normal(n)
        latent = math.sqrt(ICC) * common + math.sqrt(1 - ICC) * generator.standard_normal((2, prompts, n))
        true = np.stack([np.clip(anti[:, kind] + truth, 0, 1), anti[:, kind]])
        share[:, :, kind] = (latent < stats.norm.ppf(true)[..., None]).mean(-1)
    found, stderr = gap(share[0], share[1], np.full(types, n))
    return gap_result(found.mean(), stderr.mean(), n * types, float(share.sum()) * n, prompts)
