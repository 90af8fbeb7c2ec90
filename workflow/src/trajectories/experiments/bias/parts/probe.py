"""Recognizing by a probe: can the stereotyping sentence of a pair be read linearly off the hidden states?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.effects import area, area_difference, mean, row
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.parts.prompts import binormal
from trajectories.experiments.bias.scores import STEREOTYPED, own_runs, skews
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection

PROBE, CONTROL = "probe", "probe, control labels"
DEALS = 8
"""Dealings of control labels; a single one may go with the pronoun, and its area would then lie off 1/2 by luck."""


def layer(number: int) -> str:
    """The setting of a layer's probe."""
    return f"probe, layer {number}"


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Areas by layer, of control labels, and by category, over training; the claim at the end."""
    if context.stimuli is None or context.read_tensor is None or not context.stimuli["probe"].any():
        return
    shown = context.stimuli[context.stimuli["probe"]].reset_index(drop=True)
    asked = str(shown["layers"].iloc[0])
    own = [m.name for m in own_runs(context)]
    for part in dict.fromkeys(shown["part"]):
        mine = (shown["part"] == part).to_numpy()
        _of_set(part, shown, mine, asked, own, context, found)
    found.note(
        "Recognizing by a probe: logistic regression with a ridge penalty on standardised hidden states at each sentence's last token, "
        f"{context.settings.folds}-fold cross-validation with the sentences of a pair, and those of an occupation, in one fold, and each "
        "category in all folds alike. The last layer decides, as said before looking. Control labels deal the two labels of each pair by a "
        "coin (control task: Hewitt and Liang 2019, EMNLP), at the first and the last checkpoint; the first, untrained, tells what words "
        "alone give. Errors are half as large again as those of fixed scores, since probes are fitted on samples that overlap (Nadeau and "
        "Bengio 2003)."
    )


def _of_set(
    part: str, shown: pd.DataFrame, mine: np.ndarray, asked: str, own: list[str], context: AnalysisContext, found: Findings
) -> None:
    assert context.read_tensor is not None
    items = shown[mine].reset_index(drop=True)
    label, clusters = stereotyping(items), pd.factorize(items["cluster"], sort=True)[0]
    generator = context.generator(f"bias control {part}")
    control = [dealt(items["pair_id"].to_numpy(), label, generator) for _ in range(DEALS)]
    ends = context.checkpoints.groupby("model")["step"].agg(["min", "max"]).T.to_dict("list")
    fold = dealt_to_folds(clusters, items["category"].to_numpy(), context.settings.folds, context.generator(f"bias folds {part}"))
    if part == "occupations":
        items = items.assign(category=skews(context, items["cluster"]))
    levels = {"category": "category"} | ({"direction": "setting"} if part == "crows_pairs" else {})
    settings = context.settings
    kept: dict[str, list[np.ndarray]] = {}
    steps: dict[str, list[int]] = {}
    for model, step in zip(context.checkpoints["model"], context.checkpoints["step"], strict=True):
        states = context.read_tensor(model, int(step), "hidden")[mine, 0]
        numbers = named(asked, context.model(model).layers, states.shape[1])
        last = states.shape[1] - 1
        place = {"model": model, "step": int(step), "metric": "recognition_area"}
        for i, number in enumerate(numbers):
            scores = out_of_fold(states[:, i], label, fold, settings.penalty)
            at = place | {"level": "set", "group": STEREOTYPED[part], "setting": layer(number)}
            found.trajectories.append(at | row(refitted(area(scores, label, clusters), settings.folds)))
        kept.setdefault(model, []).append(scores)
        steps.setdefault(model, []).append(int(step))
        found.trajectories += [place | r for r in _by_group(part, items, scores, label, clusters, levels, settings.folds)]
        if step in ends[model]:
            areas = [area(out_of_fold(states[:, last], one, fold, settings.penalty), one, clusters).estimate for one in control]
            at = place | {"level": "set", "group": STEREOTYPED[part], "setting": CONTROL}
            plain = row(mean(np.array(areas), np.arange(len(areas))))
            found.trajectories.append(at | plain | {"n": len(label), "method": f"mean over {DEALS} dealings of the labels, t"})
    claim = claims(settings)["recognized-in-states"]
    for model in own:
        if len(steps.get(model, [])) < 2:
            continue
        first, final = kept[model][0], kept[model][-1]
        result = refitted(area_difference(final, first, label, clusters), settings.folds)
        caveat = "" if steps[model][0] == 0 else f"The first checkpoint at hand, step {steps[model][0]}, has been trained."
        found.claims.append(decisions.row(claim, result, model, steps[model][-1], STEREOTYPED[part], caveat=caveat))
        note = (
            "Scores are normal, with the first checkpoint's area as found and the last one's higher by the wanted difference; the "
            "sentences of a pair share half of their variance. Probes are not fitted anew here, so the error that is added for them makes "
            "these rates more cautious than they are."
        )
        base = float(area(first, label, clusters).estimate)
        simulate = simulation(base, label, items["pair_id"].to_numpy(), clusters, settings.folds)
        found.calibrands.append(Calibrand(claim, model, simulate, objection(result), note=note))


def stereotyping(items: pd.DataFrame) -> np.ndarray:
    """Whether each sentence is the stereotyping one of its pair: with the pronoun that its occupation has more often, where that is it."""
    return ((items["variant"] == "more") | (items["variant"] == items["category"])).to_numpy()


def dealt(pair: np.ndarray, label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Labels with those of each pair exchanged or not, by a coin."""
    codes, names = pd.factorize(pair)
    return label ^ (generator.random(len(names)) < 0.5)[codes]


def named(asked: str, layers: int, found: int) -> list[int]:
    """Numbers of the layers that were read; 0 is the embedding."""
    if asked == "all":
        return list(range(found))
    return [int(text) % (layers + 1) for text in asked.split(",")]


def dealt_to_folds(groups: np.ndarray, kind: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    """The fold of each unit [n]: whole groups are dealt in turn, those of each kind by themselves.

    Folds with more of one kind than the rest would mislead a probe: where more training occupations go with *he*, *he* looks like what
    fits, and the occupations left out, which go with *she*, would be told worse than by chance.
    """
    fold = np.zeros(len(groups), int)
    for name in np.unique(kind):
        mine = generator.permutation(np.unique(groups[kind == name]))
        place = dict(zip(mine.tolist(), (np.arange(len(mine)) % folds).tolist(), strict=True))
        fold[kind == name] = [place[g] for g in groups[kind == name].tolist()]
    return fold


def out_of_fold(x: np.ndarray, label: np.ndarray, fold: np.ndarray, penalty: float) -> np.ndarray:
    """Scores from probes that were fitted without the unit's fold.

    Args:
        x: hidden states [n, width].
        label: bool [n].
        fold: from :func:`dealt_to_folds` [n].
        penalty: inverse strength of the ridge penalty.

    Returns:
        Log odds [n]; 0 where the states are constant over all units, which tells nothing.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    x = np.asarray(x, dtype=np.float64)
    scores = np.zeros(len(x))
    for number in np.unique(fold):
        train, test = fold != number, fold == number
        centre, scale = x[train].mean(axis=0), x[train].std(axis=0)
        usable = scale > 1e-12 * max(float(np.abs(centre).max()), 1e-12)
        if not usable.any() or len(np.unique(label[train])) < 2:
            continue
        standard = (x[:, usable] - centre[usable]) / scale[usable]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = LogisticRegression(C=penalty, max_iter=200).fit(standard[train], label[train])
        scores[test] = fitted.decision_function(standard[test])
    return scores


def refitted(result: Result, folds: int) -> Result:
    """A result whose error allows for probes fitted on samples that overlap.

    The variance grows by the factor 1 + k / (k − 1) for k folds, the correction of Nadeau and Bengio (2003, *Mach. Learn.* 52) for means
    over folds, used here for areas; on simulated states it errs on the safe side, and without it errors are a quarter too small.
    """
    return replace(
        result,
        stderr=result.stderr * math.sqrt(1 + folds / (folds - 1)),
        ci_low=math.nan,
        ci_high=math.nan,
        method=f"{result.method}, allowing for refitted probes",
    )


def _by_group(
    part: str, items: pd.DataFrame, scores: np.ndarray, label: np.ndarray, clusters: np.ndarray, levels: dict[str, str], folds: int
) -> Iterator[dict[str, Any]]:
    for level, column in levels.items():
        for name in sorted(set(items[column])):
            mine = (items[column] == name).to_numpy()
            found = refitted(area(scores[mine], label[mine], clusters[mine]), folds)
            yield {"level": level, "group": name, "setting": f"{part}, {PROBE}"} | row(found)


def simulation(base: float, label: np.ndarray, pair: np.ndarray, clusters: np.ndarray, folds: int) -> Any:
    """The whole decision on two scores whose areas differ by a known amount: (generator, true difference) → result."""
    pairs = pd.factorize(pair)[0]
    base = float(np.clip(base, 0.02, 0.9))

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        first = binormal(generator, base, label, pairs, clusters)
        final = binormal(generator, min(max(base + truth, 0.001), 0.999), label, pairs, clusters)
        return refitted(area_difference(final, first, label, clusters), folds)

    return simulate
