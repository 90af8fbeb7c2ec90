"""Effects between forms, layers and models: planted truths are found, and wrong verdicts stay rare."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from trajectories.experiments.knowledge import effects, hypotheses, simulations
from trajectories.experiments.knowledge.effects import Paired
from trajectories.experiments.knowledge.settings import AnalyseSettings
from trajectories.statistics.calibration import rates, simulated
from trajectories.statistics.claims import Result

CLAIMS = hypotheses.claims(AnalyseSettings())
DOUBLINGS = np.log2(np.array([0, 1, 2, 4, 8, 16, 32, 64, 128, 256]) + 1.0)


def sample(facts: int = 150, subjects: int = 30, known: float = 0.5, steps: int | None = None) -> Paired:
    """A sample in whose shape others are drawn."""
    random, chance = np.random.default_rng(0), np.full(facts, 0.1)
    answers = (random.random(facts) < known).astype(float)
    shape = answers if steps is None else np.tile(answers, (steps, 1))
    return Paired(shape, shape, chance, chance, np.arange(facts) % subjects)


def wrong_and_power(claim: str, simulate: partial[Result], n_sim: int, power_at: float, supported: bool = True) -> tuple[float, float]:
    """The larger rate of a wrong verdict at the margin, and the rate of right ones at a multiple of it."""
    results = simulated(CLAIMS[claim], simulate, n_sim=n_sim, seed=3, truths=(1.0, power_at))
    table = rates(CLAIMS[claim], results, seed=3).set_index("truth")
    at_margin, there = table.iloc[0], table.iloc[1]
    return max(at_margin["rate_supported"], at_margin["rate_refuted"]), there["rate_supported" if supported else "rate_refuted"]


def too_many(n_sim: int) -> float:
    """A rate that a true 5 % exceeds once in a thousand times."""
    from scipy import stats

    return float(stats.binom.ppf(0.999, n_sim, 0.05)) / n_sim


@pytest.mark.parametrize(("facts", "known"), [(150, 0.5), (75, 0.35)])
def test_a_share_lost_is_judged_wrongly_at_most_as_often_as_stated(facts: int, known: float) -> None:
    real = sample(facts, known=known)
    wrong, power = wrong_and_power("paraphrase-loses", partial(simulations.lost, real=real, strata=np.zeros(facts)), 600, 3.0)
    assert wrong <= too_many(600)
    assert power > (0.9 if facts == 150 else 0.2)  # of 75 facts hardly 20 are known beyond chance


def test_a_share_lost_has_the_bounds_at_which_its_test_turns() -> None:
    random = np.random.default_rng(1)
    shallow = (random.random(200) < 0.6).astype(float)
    deep = shallow * (random.random(200) < 0.5)
    chance = np.full(200, 0.1)
    result = effects.share_lost(Paired(shallow, deep, chance, chance, np.arange(200) % 40))
    assert result.p(result.ci_low)[0] == pytest.approx(0.05, abs=1e-6)
    assert result.p(result.ci_high)[1] == pytest.approx(0.05, abs=1e-6)
    assert result.ci_low < result.estimate < result.ci_high
    assert result.ci_high - result.ci_low == pytest.approx(2 * 1.685 * result.stderr, rel=0.05)  # a sure denominator: as the delta method


def test_nothing_is_lost_of_what_is_hardly_known() -> None:
    chance = np.full(100, 0.1)
    few = np.zeros(100)
    few[:25] = 1
    result = effects.share_lost(Paired(few, few, chance, chance, np.arange(100) % 20))
    assert "fewer than 20 beyond chance" in str(result.problem)


def test_differences_between_models_are_judged_wrongly_at_most_as_often_as_stated() -> None:
    real = sample(600, 60)
    simulate = partial(simulations.narrower, larger=real, smaller=real, strata=np.zeros(600))
    wrong, power = wrong_and_power("larger-loses-less", simulate, 400, 3.0)
    assert wrong <= too_many(400)
    assert power > 0.9


def test_a_crossing_lies_between_the_checkpoints_and_lasts() -> None:
    levels = np.array([[0.0, 0.0, 0.6], [0.6, 0.0, 0.6], [0.2, 0.2, 0.6], [0.8, 0.2, 0.6]])
    found = effects.crossing(levels, np.full(3, 0.5), np.arange(4.0))
    np.testing.assert_allclose(found, [2.5, 3.0, 0.0])


def test_a_lag_that_is_planted_is_found() -> None:
    real = sample(1000, 200, steps=len(DOUBLINGS))
    simulate = partial(simulations.later, real=real, strata=np.zeros(1000), doublings=DOUBLINGS, middle=4.0, least=0.1)
    found = [simulate(np.random.default_rng(i), 1.0) for i in range(30)]
    assert np.mean([r.estimate for r in found]) == pytest.approx(1.0, abs=0.1)
    wrong, power = wrong_and_power("paraphrase-later", simulate, 200, 4.0)
    assert wrong <= too_many(200)
    assert power > 0.9


def test_the_first_of_several_layers_is_not_first_by_being_chosen() -> None:
    real = sample(600, 100, steps=len(DOUBLINGS))
    shape = {"output": real.shallow, "n_layers": 7, "chance": real.chance_shallow, "clusters": real.clusters, "strata": np.zeros(600)}
    simulate = partial(simulations.layers, **shape, doublings=DOUBLINGS, middle=4.0, least=0.1)
    found = [simulate(np.random.default_rng(i), 0.0).estimate for i in range(40)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(40) + 0.02
    wrong, power = wrong_and_power("decodable-first", simulate, 200, 4.0)
    assert wrong <= too_many(200)
    assert power > 0.9


def test_selectivity_is_judged_wrongly_at_most_as_often_as_stated() -> None:
    simulate = partial(simulations.selective, real=sample(150), method="probe less control")
    wrong, power = wrong_and_power("probe-generalizes", simulate, 600, 3.0)
    assert wrong <= too_many(600)
    assert power > 0.9


def test_a_layer_that_never_gets_there_is_late_and_not_missing() -> None:
    lens = np.zeros((10, 4, 100), bool)
    lens[5:, -1] = True
    result, chosen = effects.lens_lag(lens, np.full(100, 0.1), np.arange(100) % 20, DOUBLINGS, 0.1, 100, np.random.default_rng(0))
    assert result.ci_low > 3
    assert chosen[0] == chosen[-1] == 0
