"""How much more often a fact is produced, or a sum solved, the more often training shows its terms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import special, stats

from trajectories.experiments.knowledge.hypotheses import declare
from trajectories.experiments.knowledge.sections import FrequencySettings
from trajectories.statistics.claims import Claim, Result
from trajectories.statistics.order_regression import Fit, design, firth_logistic

PRODUCED, GIVEN, OPERANDS = "frequent-facts-produced", "frequent-facts-given-salience", "frequent-operands-solved"
TOGETHER = "answers-met-with-operands"
LOG_ODDS = "log odds ratio per tenfold frequency"
TENFOLD = "position"
"""Name that :func:`trajectories.statistics.order_regression.design` gives the coefficient of its first argument."""


def claims(settings: FrequencySettings) -> dict[str, Claim]:
    """The claims by id."""
    factor = math.exp(settings.margin)

    found = [
        declare(
            PRODUCED,
            "The more often training tells a fact, the more likely a model is to produce it.",
            "Among facts of one relation, the odds that the right answer is chosen rise by a factor above "
            f"{factor:.2f} for each tenfold number of training documents that name subject and object together.",
            "Salience: subjects and objects that are much written of are easier whatever is said of them (see the rows given salience); on "
            "planted facts frequency is dealt at random, so that neither this nor the relation nor the place in training can stand in.",
            "frequency_slope",
            LOG_ODDS,
            settings.margin,
            role="primary",
        ),
        declare(
            GIVEN,
            "Frequency of a fact matters beyond how much is written of its subject and its object.",
            f"The odds still rise by a factor above {factor:.2f} for each tenfold number of documents that name both, given how often each "
            "of them is named.",
            "Salience: given how often subject and object are named, nothing is left.",
            "frequency_slope_given_salience",
            LOG_ODDS,
            settings.margin,
            role="descriptive",
        ),
        declare(
            OPERANDS,
            "Problems with frequent numbers are solved more often than those with rare ones (Razeghi et al. 2022).",
            f"Accuracy on the {settings.tail:.0%} of first operands that training shows most exceeds that on the {settings.tail:.0%} shown "
            f"least by more than {settings.gap_margin:.2f}.",
            "Difficulty: small and round numbers are frequent and also easier to calculate with, so a gap alone shows no recall; it would "
            "be there from the first checkpoint that calculates at all.",
            "frequency_gap",
            "difference of accuracy",
            settings.gap_margin,
            role="descriptive",
        ),
        declare(
            TOGETHER,
            "Problems whose answer training shows together with the first operand are solved more often (Razeghi et al. 2022).",
            f"Among problems of one operation, the odds of the right answer rise by a factor above {factor:.2f} for each tenfold number of "
            "documents that hold first operand and answer, given how often each of the two occurs.",
            "Difficulty: given how often operand and answer occur, nothing is left; and where answers are short, both occur together by "
            "chance.",
            "pair_frequency_slope",
            LOG_ODDS,
            settings.margin,
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}


def tenfold(count: np.ndarray) -> np.ndarray:
    """log10(1 + count): a tenfold count is one unit, and what is never met has a place."""
    return np.log10(1 + np.asarray(count, dtype=float))


def slope(
    right: np.ndarray, frequency: np.ndarray, relation: np.ndarray, subject: np.ndarray, salience: Mapping[str, np.ndarray] | None = None
) -> Fit:
    """Log odds of the right answer on log frequency given the relation; subjects, who have several facts, are the clusters.

    Of the ways to respect subjects this one keeps its size. With five relations of thirty subjects, no effect, and answers about a subject
    that correlate by 0.3 (0.6), its two one-sided 5 % tests reject 7 % (9 %) of the time together; a logistic mixed model with random
    subjects by variational Bayes (statsmodels' ``BinomialBayesMixedGLM``) 13 % (18 %), and GEE with exchangeable subjects 12 % (17 %).

    Args:
        right: [n], 0 or 1.
        frequency: [n], log10(1 + count).
        relation, subject: labels [n].
        salience: further covariates [n] by name.
    """
    covariates = {f"relation {r}": relation == r for r in np.unique(relation)[1:]} | dict(salience or {})
    x, names = design(frequency, covariates)
    return firth_logistic(right, x, np.unique(subject, return_inverse=True)[1], names)


def simulated(
    generator: np.random.Generator,
    effect: float,
    right: np.ndarray,
    frequency: np.ndarray,
    relation: np.ndarray,
    subject: np.ndarray,
    salience: Mapping[str, np.ndarray] | None = None,
    alike: float = 0.3,
) -> Result:
    """The whole analysis on answers whose log odds rise by ``effect`` per tenfold frequency, at the real frequencies and overall accuracy.

    Args:
        generator, effect: as :data:`trajectories.findings.Simulation` has them.
        right, frequency, relation, subject, salience: the real sample; of ``right`` only the share by relation is kept.
        alike: correlation, between facts of a subject, of the normal variable that decides an answer.
    """
    share = pd.Series(right.astype(float)).groupby(relation).transform(lambda r: (r.sum() + 0.5) / (len(r) + 1)).to_numpy()
    centred = frequency - pd.Series(frequency).groupby(relation).transform("mean").to_numpy()
    p = special.expit(special.logit(share) + effect * centred)
    _, number = np.unique(subject, return_inverse=True)
    own = generator.standard_normal(number.max() + 1)[number]
    luck = math.sqrt(alike) * own + math.sqrt(1 - alike) * generator.standard_normal(len(p))
    return slope((luck < special.ndtri(p)).astype(float), frequency, relation, subject, salience).result(TENFOLD)


def tails(count: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """bool [n] each: the ``share`` of operands that are met most, and least; ties in the order given."""
    size = max(round(share * len(count)), 2)
    rank = stats.rankdata(count, method="ordinal")
    return rank > len(count) - size, rank <= size


def gap(accuracy: np.ndarray, count: np.ndarray, share: float, problems: int = 0) -> Result:
    """Accuracy on the most frequent operands less that on the least frequent ones, operands being the sample (Welch's t).

    Args:
        accuracy: [operands].
        count: [operands], how often each is met.
        share: of the operands that make up either tail.
        problems: behind all of it, for the result's n.
    """
    most, least = tails(count, share)
    a, b = accuracy[most], accuracy[least]
    variance = [x.var(ddof=1) / len(x) for x in (a, b)]
    facts = {"n": problems, "n_clusters": len(a) + len(b), "method": "difference of operands' mean accuracies, Welch's t"}
    if sum(variance) <= 0:
        return Result(float(a.mean() - b.mean()), problem="accuracy does not vary between operands", **facts)  # type: ignore[arg-type]
    df = sum(variance) ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(variance, (a, b), strict=True))
    return Result(float(a.mean() - b.mean()), math.sqrt(sum(variance)), float(df), **facts)  # type: ignore[arg-type]


def simulated_gap(
    generator: np.random.Generator, effect: float, accuracy: np.ndarray, count: np.ndarray, each: int, share: float
) -> Result:
    """The whole analysis on operands that differ as much as the real ones (a beta distribution), with ``effect`` between the tails."""
    most, least = tails(count, share)
    level = float(np.clip(accuracy.mean(), 0.02 + effect / 2, 0.98 - effect / 2))
    between = max(float(accuracy.var() - accuracy.mean() * (1 - accuracy.mean()) / each), 1e-4)
    sure = max(level * (1 - level) / between - 1, 1.0)
    mean = level + (most.astype(float) - least) * effect / 2
    return gap(generator.binomial(each, generator.beta(mean * sure, (1 - mean) * sure)) / each, count, share, each * len(mean))
