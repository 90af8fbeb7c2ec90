"""How facts are given in each form, what is lost between forms, and when: every part that reads answers to prompts about facts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from trajectories.analysis import AnalysisContext
from trajectories.experiments.knowledge import effects, hypotheses, scores, simulations
from trajectories.experiments.knowledge.effects import Paired, beyond_chance, clusters
from trajectories.experiments.knowledge.parts import layers
from trajectories.experiments.knowledge.scores import Record
from trajectories.experiments.knowledge.stimuli.prompts import PARAPHRASE, REVERSED, SECOND_FACT, SECOND_HOP, SEEN
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import intervals
from trajectories.statistics.claims import objection, row

TOLD = ", told so"
NEVER = "never told"
RAW = "raw ranks"


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Accuracies by form, the layers, and the claims; nothing where the suite has no prompts about facts."""
    declared = hypotheses.claims(context.settings)
    finals: list[tuple[Record, Paired]] = []
    for one in scores.records(context):
        _trajectories(one, context, found)
        layers.describe(one, context, found)
        if context.has_truth:
            _recovery(one, found)
        if one.model.parent is not None or len(one.steps) < 2:
            found.note(f"{one.name}: a branch of another model, or a single checkpoint; it is described, and left out of the claims.")
            continue
        _lost(one, context, found, declared)
        _later(one, context, found, declared)
        layers.decide(one, context, found, declared)
        pair = paired(one, PARAPHRASE)
        if pair is not None:
            finals.append((one.last(), pair.at(-1)))
    _larger(finals, context, found, declared)
    if finals:
        _notes(found)


def label(prompts: pd.DataFrame) -> np.ndarray:
    """Form of each prompt; from the object and by two hops, facts that training tells so are apart from those that it never does."""
    apart = prompts["form"].isin([REVERSED, SECOND_HOP]) & (prompts["told"] > 0)
    return (prompts["form"] + np.where(apart, TOLD, "")).to_numpy(dtype=object)


def by_fact(one: Record, form: str, raw: bool = False) -> tuple[pd.Index, np.ndarray, np.ndarray]:
    """Facts of a form (:func:`label`), share of their prompts that are answered [steps, facts], and chance [facts]."""
    prompts = one.asked.prompts
    chosen = np.flatnonzero(label(prompts) == form)
    number, facts = pd.factorize(prompts["fact_id"].to_numpy()[chosen])
    member = sparse.csr_matrix((np.ones(len(number)), (np.arange(len(number)), number)), shape=(len(number), len(facts)))
    each = np.maximum(np.bincount(number, minlength=len(facts)), 1)
    chance = (prompts["chance"].to_numpy()[chosen] @ member) / each
    return pd.Index(facts), (one.raw if raw else one.adjusted)[:, chosen].astype(float) @ member / each, chance


def paired(one: Record, form: str, raw: bool = False) -> Paired | None:
    """The form seen in training and another form, of the same facts over training; None where the other was not asked.

    By two hops, the form to compare with is the fact given together with its object's own fact.
    """
    shallow_id, shallow, shallow_chance = by_fact(one, SEEN, raw)
    facts, deep, chance = by_fact(one, form, raw)
    if not len(facts):
        return None
    place = shallow_id.get_indexer(facts)
    reference, reference_chance = shallow[:, place], shallow_chance[place]
    if form == SECOND_HOP:
        prompts = one.asked.prompts
        own = prompts[prompts["form"] == SEEN].drop_duplicates("fact_id").set_index("fact_id")["object"].loc[facts].to_numpy()
        second = prompts[prompts["form"] == SECOND_FACT].reset_index()
        where = pd.Series(second["index"].to_numpy(), index=second["subject"])
        column = where.loc[own].to_numpy()
        reference = reference * (one.raw if raw else one.adjusted)[:, column]
        reference_chance = reference_chance * one.asked.prompts["chance"].to_numpy()[column]
    about = one.asked.prompts.drop_duplicates("fact_id").set_index("fact_id").loc[facts].reset_index()
    return Paired(reference, deep, reference_chance, chance, clusters(about))


def strata(one: Record, form: str) -> np.ndarray:
    """How often training tells each fact of a form, [facts]."""
    facts = by_fact(one, form)[0]
    return one.asked.prompts.drop_duplicates("fact_id").set_index("fact_id")["frequency"].loc[facts].to_numpy()


def _rows(one: Record, values: np.ndarray, replicates: np.ndarray, n: int, **names: str) -> Iterator[dict[str, Any]]:
    """Trajectory rows of one metric: values [steps], bootstrap replicates [draws, steps]."""
    low, high = np.nanquantile(replicates, [0.025, 0.975], axis=0)
    errors = np.nanstd(replicates, axis=0, ddof=1)
    for i, step in enumerate(one.steps):
        yield {
            "model": one.name,
            "step": int(step),
            **names,
            "value": float(values[i]),
            "stderr": float(errors[i]),
            "ci_low": float(low[i]),
            "ci_high": float(high[i]),
            "n": n,
            "method": "bootstrap over clusters of facts",
        }


def _trajectories(one: Record, context: AnalysisContext, found: Findings) -> None:
    prompts, settings = one.asked.prompts, context.settings
    labels, groups = label(prompts), clusters(prompts)
    generator = context.generator(f"knowledge {one.name}")

    def add(metric: str, values: np.ndarray, mask: np.ndarray, chance: np.ndarray | None = None, **names: str) -> None:
        part = values[:, mask].astype(float)
        drawn = intervals.cluster_bootstrap(part, groups[mask], settings.draws, generator)
        mean = part.mean(1)
        if chance is not None:
            mean, drawn = (beyond_chance(a, chance[mask].mean()) for a in (mean, drawn))
        found.trajectories += _rows(one, mean, drawn, int(mask.sum()), metric=metric, **names)

    chance = prompts["chance"].to_numpy()
    for form in dict.fromkeys(labels):
        mask = labels == form
        add("accuracy", one.raw, mask, level="form", group=form, setting="raw")
        add("accuracy", one.adjusted, mask, level="form", group=form, setting="adjusted")
        add("accuracy_beyond_chance", one.adjusted, mask, chance, level="form", group=form, setting="adjusted")
        add("greedy", one.greedy, mask, level="form", group=form, setting="open vocabulary")
    for (form, frequency), _ in prompts.groupby([labels, "frequency"], sort=True):
        mask = (labels == form) & (prompts["frequency"] == frequency).to_numpy()
        if frequency >= 0 and form in (SEEN, PARAPHRASE):
            add("accuracy", one.adjusted, mask, level="frequency", group=str(int(frequency)), setting=str(form))
    _gaps(one, found, settings.draws, generator)
    _consistency(one, found, settings.draws, generator)


def _gaps(one: Record, found: Findings, draws: int, generator: np.random.Generator) -> None:
    """Chance-corrected accuracy in the form seen less that in another, on the same facts."""
    for form in (PARAPHRASE, REVERSED, SECOND_HOP):
        pair = paired(one, form)
        if pair is None:
            continue
        drawn = effects.Resampled.of(pair.clusters, draws, generator)
        gap = drawn.levels(pair.shallow, pair.chance_shallow) - drawn.levels(pair.deep, pair.chance_deep)
        names = {"metric": "gap", "level": "form", "group": form, "setting": "adjusted"}
        found.trajectories += _rows(one, gap[:, 0], gap[:, 1:].T, len(pair.clusters), **names)


def _consistency(one: Record, found: Findings, draws: int, generator: np.random.Generator) -> None:
    """Share of pairs of a fact's phrasings to which the model gives one answer, right or wrong (Elazar et al. 2021, section 3)."""
    prompts = one.asked.prompts
    places = prompts.index[prompts["form"].isin([SEEN, PARAPHRASE])]
    pairs = [
        (a, b)
        for _, group in prompts.loc[places].groupby("fact_id", sort=False)
        for i, a in enumerate(group.index)
        for b in group.index[i + 1 :]
    ]
    if not pairs:
        return
    first, second = np.array(pairs).T
    same = one.chosen[:, first] == one.chosen[:, second]
    both = one.adjusted[:, first] & one.adjusted[:, second]
    groups = clusters(prompts)[first]
    for metric, values in (("consistency", same), ("consistently_right", both)):
        drawn = intervals.cluster_bootstrap(values.astype(float), groups, draws, generator)
        names = {"metric": metric, "level": "all", "group": "all", "setting": "adjusted"}
        found.trajectories += _rows(one, values.mean(1), drawn, len(pairs), **names)


def _lost(one: Record, context: AnalysisContext, found: Findings, declared: dict[str, Any]) -> None:
    for name, form in (("paraphrase-loses", PARAPHRASE), ("reversal-loses", REVERSED), ("second-hop-loses", SECOND_HOP)):
        over_time = paired(one, form)
        if over_time is None:
            continue
        claim, pair = declared[name], over_time.at(-1)
        result = effects.share_lost(pair)
        found.claims.append(row(claim, result, one.name, one.final))
        said = paired(one, form, raw=True)
        if said is not None:
            found.claims.append(row(claim, effects.share_lost(said.at(-1)), one.name, one.final, RAW, role="descriptive"))
        simulate = partial(simulations.lost, real=pair, strata=strata(one, form))
        note = "Known in the form seen as often as in the sample, by how often facts are told; who does not know guesses."
        truths = (0.0, 0.5, 1.0, 2.0)
        found.calibrands.append(Calibrand(claim, one.name, simulate, objection(result), note=note, truths=truths))


def _later(one: Record, context: AnalysisContext, found: Findings, declared: dict[str, Any]) -> None:
    pair, settings, claim = paired(one, PARAPHRASE), context.settings, declared["paraphrase-later"]
    if pair is None or len(one.steps) < 4:
        return
    result = effects.lag(pair, one.doublings, settings.least_accuracy, settings.draws, context.generator(f"knowledge lag {one.name}"))
    found.claims.append(row(claim, result, one.name, one.final))
    simulate = partial(
        simulations.later,
        real=pair,
        strata=strata(one, PARAPHRASE),
        doublings=one.doublings,
        middle=middle(one, pair, settings.least_accuracy),
        least=settings.least_accuracy,
    )
    note = f"Facts are learnt about the time at which half of them are in the sample, with a spread of {simulations.SPREAD:g} doublings."
    found.calibrands.append(Calibrand(claim, one.name, simulate, objection(result), note=note))


def middle(one: Record, pair: Paired, least: float) -> float:
    """When the form seen reaches half its final level."""
    level = pair.levels()[0]
    return float(effects.crossing(level, effects.criterion(least).threshold(level), one.doublings))


def _larger(finals: list[tuple[Record, Paired]], context: AnalysisContext, found: Findings, declared: dict[str, Any]) -> None:
    if len({one.model.parameters_non_embedding for one, _ in finals}) < 2:
        return
    finals = sorted(finals, key=lambda entry: entry[0].model.parameters_non_embedding)
    (smallest, base), claim = finals[0], declared["larger-loses-less"]
    for one, pair in finals[1:]:
        if one.model.parameters_non_embedding == smallest.model.parameters_non_embedding:
            continue
        result = effects.difference_of_lost(pair, base)
        found.claims.append(row(claim, result, one.name, one.final, group=f"{one.name} and {smallest.name}"))
        simulate = partial(simulations.narrower, larger=pair, smaller=base, strata=strata(one, PARAPHRASE))
        found.calibrands.append(Calibrand(claim, one.name, simulate, objection(result), note="Both models know the same facts first."))


def _recovery(one: Record, found: Findings) -> None:
    """Who cannot know a fact is right as often as guessing: facts never told, and every fact before training."""
    prompts = one.asked.prompts
    never = prompts["frequency"] == 0
    cases = [(f"{form}, {NEVER}", never & (prompts["form"] == form), len(one.steps) - 1) for form in (SEEN, PARAPHRASE)]
    if one.steps[0] == 0:
        cases += [(f"{form}, before training", prompts["form"] == form, 0) for form in dict.fromkeys(prompts["form"])]
    for name, mask, at in cases:
        n, right, truth = int(mask.sum()), int(one.adjusted[at, mask].sum()), float(prompts.loc[mask, "chance"].mean())
        if not n:
            continue
        low, high = (float(v) for v in intervals.wilson(np.array(right), np.array(n)))
        found.recovery.append(
            {
                "parameter": f"accuracy of guessing: {name}",
                "model": one.name,
                "step": int(one.steps[at]),
                "truth": truth,
                "estimate": right / n,
                "ci_low": low,
                "ci_high": high,
                "covered": low <= truth <= high,
                "n": n,
                "method": "accuracy (adjusted), Wilson interval",
                "comment": "Nothing to know, and nothing to gain from an answer's being common; one interval in twenty misses by chance.",
            }
        )


def _notes(found: Findings) -> None:
    found.note(
        "A fact counts as given if the right candidate is the one whose log-probability is highest above its median over the other prompts "
        "of the relation and phrasing (adjusted). Raw ranks tell what the model would say, and are given beside; but in a phrasing that "
        "training never uses for a fact its answer is the rarer one, whoever it is said of. The sum over an answer's tokens is compared, "
        "not their mean: the adjustment removes what a longer answer costs."
    )
    found.note(
        "Chance-corrected accuracy is (accuracy - chance) / (1 - chance). Intervals and claims resample subjects where a subject has "
        "several facts, else relations: they speak of facts like these in these relations, of this run and no other."
    )
