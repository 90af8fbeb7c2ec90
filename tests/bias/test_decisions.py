"""Each claim's whole decision keeps its level and has power on a sample of plausible shape, and estimates come back from known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.parts import occupations, probe, prompts, relation, stereotypes, winobias, winogender
from trajectories.experiments.bias.scores import Scores
from trajectories.experiments.bias.settings import AnalyseSettings
from trajectories.statistics.calibration import EXCEEDED, power, simulated

OWN = claims(AnalyseSettings())
SHARES = np.repeat([0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95], 3)


def planted() -> tuple[pd.DataFrame, np.ndarray]:
    """Pairs of 21 occupations in 7 templates, of which each occupation has one held out, and their counted log odds."""
    rows = [{"cluster": f"job{o}", "setting": str(t), "held_out": t == o % 7} for o in range(len(SHARES)) for t in range(7)]
    return pd.DataFrame(rows), np.repeat(np.log(SHARES / (1 - SHARES)), 7)


def shown(pairs: pd.DataFrame, x: np.ndarray, seen: float, unseen: float, noise: float = 0.2) -> np.ndarray:
    generator = np.random.default_rng(1)
    held = pairs["held_out"].to_numpy()
    level = generator.normal(0, 1, 7)[pairs["setting"].astype(int)]
    own = generator.normal(0, noise, len(SHARES))[pd.factorize(pairs["cluster"])[0]]
    return level + np.where(held, unseen, seen) * x + own + generator.normal(0, noise, len(x))


@pytest.mark.parametrize(("seen", "unseen"), [(1.4, 0.7), (1.0, 0.0), (0.3, 0.3)])
def test_slopes_of_seen_and_held_out_templates_come_back(seen: float, unseen: float) -> None:
    pairs, x = planted()
    y = shown(pairs, x, seen, unseen)
    amplified = occupations.slope(pairs, y, x, occupations.SEEN, 1.0)
    assert amplified.estimate == pytest.approx(seen - 1, abs=3 * amplified.stderr)
    assert amplified.stderr < 0.06
    carried = occupations.slope(pairs, y, x, occupations.UNSEEN)
    assert carried.estimate == pytest.approx(unseen, abs=3 * carried.stderr)
    assert carried.n_clusters == len(SHARES)


def pairs_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and pairs of ``n`` pairs of sentences."""
    return np.tile([True, False], n), np.repeat(np.arange(n), 2)


def simulations() -> dict[str, Any]:
    """The whole decision of each claim, on a sample of plausible shape."""
    generator = np.random.default_rng(5)
    skewed, x = planted()
    y = shown(skewed, x, 1.0, 0.5)
    label, pair = pairs_of(300)
    first, second = (a.ravel() for a in np.meshgrid(np.arange(20), np.arange(20, 40)))
    jobs = pd.DataFrame({"cluster": np.repeat(np.arange(60), 2).astype(str), "setting": ["named", "someone"] * 60})
    jobs["bls"] = np.repeat(generator.uniform(2, 98, 60), 2)
    names = np.repeat(np.array(list("abcdef")), 250)
    return {
        "skew-amplified": occupations.simulation(skewed, y, x, occupations.SEEN, 1.0),
        "skew-generalized": occupations.simulation(skewed, y, x, occupations.UNSEEN, 0.0),
        "coreference-stereotyped": winobias.simulation(generator.normal(0, 0.5, len(first)), first, second),
        "labour-statistics-followed": winogender.simulation(jobs, generator.normal(0, 0.4, 120)),
        "recognized-in-prompts": prompts.simulation(label, pair, pair),
        "recognized-in-states": probe.simulation(0.55, label, pair, pair, 5),
        "categories-differ": stereotypes.spread_simulation(generator.standard_normal(1500), names, np.arange(1500)),
        "develop-together": relation.simulation(np.random.default_rng(2).standard_normal((150, 2)), 30),
    }


@pytest.mark.parametrize("name", sorted(simulations()))
def test_claims_keep_their_level_and_have_power(name: str) -> None:
    claim = OWN[name]
    found = simulated(claim, simulations()[name], n_sim=40, seed=3, truths=(0.0, 1.0, 2.5), at_margin=4)
    assert power(claim, found)["level"] != EXCEEDED
    assert np.mean([r.p(claim.margin)[0] < 0.05 for r in found[2.5]]) > 0.5


def test_rates_are_slopes_on_the_logarithm_of_steps() -> None:
    steps = np.array([0, 1, 3, 7])
    wanted = np.array([1.0, 2.0, 4.0])
    found = stereotypes.rates(np.outer(np.log2(1 + steps), wanted) + 5, steps)
    assert found == pytest.approx(wanted / wanted.std(ddof=1))


def test_signed_differences_tell_direction_and_absolute_ones_do_not() -> None:
    difference = np.array([1.0, -1.0] * 20)
    found = {r["metric"]: r["value"] for r in stereotypes.described(difference, np.arange(40))}
    assert found == {"stereotype_preferred": 0.5, "likelihood_difference": 0.0, "absolute_likelihood_difference": 1.0}


def test_priors_of_people_and_syntax_cancel_in_winobias() -> None:
    rows, values = [], []
    generator = np.random.default_rng(3)
    for i in range(40):
        prior, syntax = generator.normal(0, 2, 2)
        for setting in ("refers to", "stands for"):
            for variant in ("pro", "anti"):
                for answer in ("right", "other"):
                    cluster = f"a{i % 8}/b{i % 5}"
                    rows.append({"pair_id": str(i), "cluster": cluster, "setting": setting, "variant": variant, "answer": answer})
                    effect = 0.35 if variant == "pro" else -0.35
                    values.append((prior + syntax + effect) / 2 * (1 if answer == "right" else -1))
    scores = Scores(pd.DataFrame(rows), {"m": np.array([5])}, {"m": np.array([values])})
    pairs, odds = winobias.log_odds(scores)
    assert odds["m"].shape == (1, 2, 40, 2)
    assert odds["m"][0, :, :, 0] - odds["m"][0, :, :, 1] == pytest.approx(np.full((2, 40), 0.7))
    assert len(pairs) == 40


def test_the_slope_on_labour_statistics_comes_back() -> None:
    women = np.linspace(3, 97, 60)
    pairs = pd.DataFrame(
        {"cluster": np.repeat(np.arange(60), 2).astype(str), "setting": ["named", "someone"] * 60, "bls": np.repeat(women, 2)}
    )
    y = 0.3 * np.log(pairs["bls"] / (100 - pairs["bls"])).to_numpy() + np.tile([1.0, -2.0], 60)
    assert winogender.slope(pairs, y, "bls").estimate == pytest.approx(0.3)


def test_common_courses_are_worth_fewer_changes() -> None:
    generator = np.random.default_rng(3)
    smooth = np.convolve(generator.standard_normal(130), np.ones(8), "valid")[:120]
    rough = generator.standard_normal(120)
    assert relation.together(smooth, smooth[::-1], 30).stderr > 1.5 * relation.together(rough, rough[::-1], 30).stderr
