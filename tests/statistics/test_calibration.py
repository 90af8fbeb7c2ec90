"""Rates of verdicts on simulated data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trajectories.analysis import CALIBRATION
from trajectories.statistics.calibration import calibrate, power, simulated
from trajectories.statistics.claims import Claim, Result

CLAIM = Claim("c", "e", "f", "s", "p", "r", "m", "log odds ratio", 0.2)
SD = 0.08


def measured(generator: np.random.Generator, truth: float) -> Result:
    return Result(truth + SD * generator.standard_normal(), SD, n=100, n_clusters=10, method="z")


def test_rates_equal_the_normal_tests_size_and_power() -> None:
    found = calibrate(CLAIM, measured, n_sim=2000, seed=1).set_index("truth")
    assert found.index.tolist() == [0.0, 0.1, 0.2, 0.4]
    error = 3 * np.sqrt(0.25 / 2000)
    critical = stats.norm.ppf(0.95)
    for truth, rates in found.iterrows():
        assert rates["rate_supported"] == pytest.approx(stats.norm.sf(critical - (truth - 0.2) / SD), abs=error)
        assert rates["rate_refuted"] == pytest.approx(stats.norm.cdf(-critical - (truth - 0.2) / SD), abs=error)
    assert (found[["rate_supported", "rate_refuted", "rate_inconclusive"]].sum(axis=1) - 1).abs().max() < 1e-12


def test_a_family_is_decided_with_its_correction() -> None:
    found = calibrate(CLAIM, measured, n_sim=400, seed=1, family=(1, 4))
    alone, together = found[~found["test"].str.contains("Holm")], found[found["test"].str.contains("Holm over 4")]
    assert len(alone) == len(together) == 4
    assert (together["rate_inconclusive"].to_numpy() >= alone["rate_inconclusive"].to_numpy()).all()
    assert together["rate_inconclusive"].sum() > alone["rate_inconclusive"].sum()


def test_an_overconfident_test_is_found_out() -> None:
    """A standard error of half its size must show as wrong verdicts at the margin."""
    found = calibrate(CLAIM, lambda g, t: Result(t + SD * g.standard_normal(), SD / 2), n_sim=400, seed=1).set_index("truth")
    assert found.loc[0.2, "rate_supported"] > 0.15
    assert found.loc[0.2, "rate_refuted"] > 0.15


def test_claims_of_less_get_truths_of_their_own_sign() -> None:
    less = Claim("c", "e", "f", "s", "p", "r", "m", "scale", 0.2, "less")
    found = calibrate(less, measured, n_sim=100, seed=1)
    assert found["truth"].tolist() == pytest.approx([0.0, -0.1, -0.2, -0.4])
    assert found["rate_supported"].iloc[-1] > 0.5


def test_the_same_seed_gives_the_same_table_in_the_contracts_columns() -> None:
    first, second = (calibrate(CLAIM, measured, n_sim=50, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert list(first.columns) == CALIBRATION.names


def test_a_family_larger_than_the_number_of_simulations_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot fill"):
        calibrate(CLAIM, measured, n_sim=3, seed=1, family=4)


def test_power_and_the_sample_for_it_follow_from_the_standard_error() -> None:
    found = power(CLAIM, simulated(CLAIM, measured, n_sim=2000, seed=1))
    assert found["power_refuted"] == pytest.approx(stats.norm.cdf(0.2 / SD - stats.norm.ppf(0.95)), abs=0.04)
    needed = 100 * (2.4865 * SD / 0.2) ** 2
    assert found["needed_refuted"] == pytest.approx(needed, rel=0.08)
    assert found["needed_supported"] == pytest.approx(needed, rel=0.08)
    assert found["stderr_power_refuted"] == pytest.approx(np.sqrt(found["power_refuted"] * (1 - found["power_refuted"]) / 2000), rel=0.05)
    assert found["level"] == "kept"
    assert found["rate_wrong"] < found["most_wrong"] < 0.07


def test_a_sample_of_the_size_said_to_be_needed_has_that_power() -> None:
    needed = power(CLAIM, simulated(CLAIM, measured, n_sim=1000, seed=2))["needed_refuted"]
    stderr = SD * np.sqrt(100 / needed)
    enough = power(
        CLAIM, simulated(CLAIM, lambda g, t: Result(t + stderr * g.standard_normal(), stderr, n=round(needed)), n_sim=1000, seed=3)
    )
    assert enough["power_refuted"] == pytest.approx(0.8, abs=0.06)
    assert enough["power_supported"] == pytest.approx(0.8, abs=0.06)


def test_a_two_sided_refutation_needs_a_larger_sample_than_support() -> None:
    claim = Claim("c", "e", "f", "s", "p", "r", "m", "scale", 0.2, "two-sided")
    found = power(claim, simulated(claim, measured, n_sim=500, seed=1))
    assert found["needed_refuted"] > 1.2 * found["needed_supported"]


def test_wrong_verdicts_are_flagged_beyond_monte_carlo_error_alone() -> None:
    overconfident = power(CLAIM, simulated(CLAIM, lambda g, t: Result(t + SD * g.standard_normal(), SD / 2, n=100), n_sim=200, seed=1))
    assert overconfident["level"] == "exceeded"
    assert overconfident["rate_wrong"] > 0.15
    unlucky = [power(CLAIM, simulated(CLAIM, measured, n_sim=100, seed=seed))["level"] for seed in range(40)]
    assert np.mean([level != "exceeded" for level in unlucky]) > 0.9


def test_few_simulations_do_not_show_that_wrong_verdicts_are_rare() -> None:
    """At a true 8 % a hundred simulations hardly ever exceed 5 % beyond their error, and neither do they show anything."""
    slightly = SD * stats.norm.ppf(0.95) / stats.norm.ppf(0.92)
    found = [
        power(CLAIM, simulated(CLAIM, lambda g, t: Result(t + slightly * g.standard_normal(), SD, n=100), n_sim=100, seed=seed))
        for seed in range(40)
    ]
    assert np.mean([f["level"] == "kept" for f in found]) < 0.1
    assert np.mean([f["most_wrong"] >= 0.08 for f in found]) > 0.9
    many = power(CLAIM, simulated(CLAIM, measured, n_sim=100, seed=1, at_margin=20))
    assert many["level"] == "kept"
    none = power(CLAIM, simulated(CLAIM, lambda g, t: Result(t, 10.0, n=100), n_sim=100, seed=1))
    assert none["most_wrong"] == pytest.approx(1 - 0.05 ** (1 / 100))


def test_more_simulations_extend_the_same_ones_and_variants_of_a_claim_have_their_own() -> None:
    few, many = (simulated(CLAIM, measured, n_sim=n, seed=4)[1.0] for n in (10, 20))
    assert [r.estimate for r in few] == [r.estimate for r in many[:10]]
    other = simulated(CLAIM, measured, n_sim=10, seed=4, test="a variant")[1.0]
    assert other[0].estimate != few[0].estimate
