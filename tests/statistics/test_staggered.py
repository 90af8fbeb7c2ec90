"""Staggered difference-in-differences: known effects are found, clusters count, and an independent implementation agrees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from diff_diff import CallawaySantAnna
from trajectories.statistics.staggered import NEVER, Control, Panel, aggregate, cohorts, shares, slope_weights

PERIODS = 8


def simulated(
    effect: np.ndarray | float = 0.0,
    *,
    seed: int = 0,
    units: int = 800,
    never: int = 250,
    shared: float = 0.0,
    drift: float = 0.0,
    control: Control = "never",
) -> Panel:
    """Units treated at random periods, with levels and noise of their own and a common time course.

    ``effect`` is that on the cohort first treated at period g, at period t [g, t]; ``shared`` the standard deviation of what a batch adds
    to the effect on all its units; ``drift`` how fast later cohorts' outcomes rise, whether treated or not.
    """
    generator = np.random.default_rng(seed)
    treated = np.concatenate([generator.integers(1, PERIODS, units), np.full(never, PERIODS)])
    batch = np.where(treated < PERIODS, treated * 1000 + generator.integers(0, 12, len(treated)), 10**6 + np.arange(len(treated)))
    labels = np.unique(batch, return_inverse=True)[1]
    times = np.arange(PERIODS)
    after = times >= treated[:, None]
    y = generator.normal(size=(len(treated), 1)) + np.sin(times) + 0.4 * generator.normal(size=(len(treated), PERIODS))
    effects = np.broadcast_to(effect, (PERIODS + 1, PERIODS))[treated] + shared * generator.normal(size=labels.max() + 1)[labels][:, None]
    y = y + np.where(after, effects, 0.0) + drift * np.where(treated < PERIODS, treated, 0)[:, None] * times
    return Panel(y, cohorts(treated, PERIODS), labels, control)


def by_age(course: np.ndarray) -> np.ndarray:
    """The same course of effects over age for every cohort [g, t]."""
    age = np.arange(PERIODS)[None] - np.arange(PERIODS + 1)[:, None]
    return np.where(age >= 0, course[np.clip(age, 0, PERIODS - 1)], 0.0)


@pytest.mark.parametrize("control", ["never", "not-yet"])
def test_an_independent_implementation_finds_the_same(control: Control) -> None:
    panel = simulated(by_age(1 / np.arange(1.0, PERIODS + 1)), shared=0.3, control=control)
    effects, n = panel.effects(), len(panel.y)
    member = panel.cohorts.member
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(n), PERIODS),
            "period": np.tile(np.arange(PERIODS), n),
            "y": panel.y.ravel(),
            "first": np.repeat(np.where(member == NEVER, 0, panel.cohorts.first[member]), PERIODS),
            "batch": np.repeat(panel.clusters, PERIODS),
        }
    )
    groups = {"never": "never_treated", "not-yet": "not_yet_treated"}
    other = CallawaySantAnna(control_group=groups[control], base_period="universal", cluster="batch").fit(
        frame, outcome="y", unit="unit", time="period", first_treat="first"
    )
    assert len(other.group_time_effects) == effects.size
    for (first, period), theirs in other.group_time_effects.items():
        h = int(np.flatnonzero(panel.cohorts.first == first)[0])
        assert theirs["effect"] == pytest.approx(effects[h, int(period)], abs=1e-9)
        if period != first - 1:
            weights = np.zeros_like(effects)
            weights[h, int(period)] = 1
            assert panel.contrast(weights).stderr == pytest.approx(theirs["se"], rel=0.05)
    for event, theirs in other.aggregate("event_study").to_dataframe().set_index("event_time")["att"].items():
        if event != -1:
            assert theirs == pytest.approx(panel.contrast(shares(panel.event == event, panel.sizes[:-1])).estimate, abs=1e-9)


@pytest.mark.parametrize("control", ["never", "not-yet"])
@pytest.mark.parametrize(
    "truth",
    [by_age(np.full(PERIODS, 0.5)), by_age(np.exp(-np.arange(PERIODS) / 2.0)), np.linspace(0, 1, PERIODS + 1)[:, None] * np.ones(PERIODS)],
    ids=["constant", "decaying", "growing with the cohort"],
)
def test_planted_effects_are_found_at_every_cohort_and_period(control: Control, truth: np.ndarray) -> None:
    panel = simulated(truth, units=6000, never=2000, control=control)
    planted = np.where(panel.event >= 0, truth[panel.cohorts.first], 0.0)
    assert np.nanmax(np.abs(panel.effects() - planted)) < 0.1
    assert panel.effects()[np.arange(PERIODS - 1), panel.cohorts.base] == pytest.approx(0.0, abs=1e-12)


def test_without_never_treated_units_the_last_period_has_no_effect() -> None:
    panel = simulated(1.0, never=0, control="not-yet")
    assert np.isnan(panel.effects()[:, -1]).all()
    assert np.isfinite(panel.effects()[0, 1:-1]).all()
    weights = np.zeros((PERIODS - 1, PERIODS))
    weights[0, -1] = 1
    assert not panel.contrast(weights).finite


def test_trends_that_are_not_parallel_show_before_treatment() -> None:
    quiet, drifting = simulated(0.5), simulated(0.5, drift=0.03)
    before = [p.contrast(shares(p.event <= -2, p.sizes[:-1])) for p in (quiet, drifting)]
    assert abs(before[0].estimate) < 3 * before[0].stderr
    assert abs(before[1].estimate) > 8 * before[1].stderr


def test_a_weighted_sum_agrees_with_its_effects_and_with_the_bootstrap() -> None:
    panel = simulated(by_age(np.ones(PERIODS)), shared=0.3)
    slope = slope_weights(panel.cohorts.first / PERIODS, panel.sizes[:-1])
    assert slope is not None
    weights = np.zeros_like(panel.effects())
    weights[:, -1] = slope
    for simple, which in ((False, 0), (True, 1)):
        result = panel.contrast(weights, 2.0, simple=simple)
        values = panel.differences() if simple else panel.effects()
        moved = panel.replicates(1999, np.random.default_rng(1))[which]
        summed = aggregate(values, moved, weights[None])
        assert result.estimate == pytest.approx(summed.estimate[0] / 2)
        assert result.stderr == pytest.approx(summed.stderr[0] / 2, rel=0.08)
        assert summed.critical == pytest.approx(1.96, abs=0.15)


def test_differencing_needs_no_equal_levels_but_the_simple_difference_does() -> None:
    panel = simulated(0.0, units=4000, never=1000)
    raised = Panel(panel.y + (panel.cohorts.member != NEVER)[:, None], panel.cohorts, panel.clusters)
    assert np.nanmax(np.abs(raised.effects())) < 0.15
    assert np.nanmean(raised.differences()) == pytest.approx(1.0, abs=0.1)


def test_clustered_intervals_cover_and_unclustered_ones_do_not() -> None:
    covered = {"clustered": 0, "alone": 0}
    runs = 150
    for seed in range(runs):
        panel = simulated(0.5, shared=0.5, seed=seed, units=500, never=100)
        weights = shares(panel.event == 0, panel.sizes[:-1])
        for name, labels in (("clustered", panel.clusters), ("alone", np.arange(len(panel.y)))):
            found = Panel(panel.y, panel.cohorts, labels).contrast(weights)
            covered[name] += found.ci_low <= 0.5 <= found.ci_high  # ends of a two-sided 90 % interval
    assert covered["clustered"] / runs > 0.84
    assert covered["alone"] / runs < 0.75


def test_the_simultaneous_band_holds_all_effects_at_once() -> None:
    inside = pointwise = 0
    runs = 80
    for seed in range(runs):
        panel = simulated(0.0, shared=0.3, seed=seed, units=400, never=150)
        effects = panel.effects()
        families = np.stack([shares(panel.event == e, panel.sizes[:-1]) for e in range(PERIODS - 1)])
        found = aggregate(effects, panel.replicates(299, np.random.default_rng(seed))[0], families)
        t = np.abs(found.estimate) / found.stderr
        inside += bool((t <= found.critical).all())
        pointwise += bool((t <= 1.96).all())
    assert inside / runs > 0.87
    assert pointwise < inside


def test_a_unit_of_weight_two_counts_as_two() -> None:
    panel = simulated(0.5, units=300, never=100)
    weights = 1.0 + (np.arange(len(panel.y)) % 3 == 0)
    weighted = Panel(panel.y, panel.cohorts, panel.clusters, "not-yet", weights)
    rows = np.repeat(np.arange(len(panel.y)), weights.astype(int))
    treated = np.where(panel.cohorts.member == NEVER, PERIODS, panel.cohorts.first[panel.cohorts.member])
    doubled = Panel(panel.y[rows], cohorts(treated[rows], PERIODS), panel.clusters[rows], "not-yet")
    assert weighted.effects() == pytest.approx(doubled.effects(), nan_ok=True)
    chosen = shares(panel.event >= 0, weighted.sizes[:-1])
    assert weighted.contrast(chosen).stderr == pytest.approx(doubled.contrast(chosen).stderr)


def test_small_neighbouring_intervals_are_joined_and_leave_a_gap() -> None:
    found = cohorts(np.repeat([1, 2, 3, 5, 9], [3, 4, 30, 20, 7]), 7, least=5)
    assert found.base.tolist() == [0, 2, 4]
    assert found.first.tolist() == [2, 3, 5]
    assert np.bincount(found.member + 1).tolist() == [7, 7, 30, 20]  # the first are never treated within the panel
    y = np.zeros((64, 7))
    panel = Panel(y, found, np.arange(64))
    assert np.isnan(panel.effects()[0, 1])
    assert np.isfinite(panel.effects()[0, [0, 2]]).all()


def test_a_rest_at_the_end_joins_the_last_cohort() -> None:
    found = cohorts(np.repeat([1, 2, 4], [9, 9, 2]), 6, least=5)
    assert found.base.tolist() == [0, 1]
    assert found.first.tolist() == [1, 4]
    assert np.bincount(found.member).tolist() == [9, 11]


def test_units_treated_from_the_start_are_refused() -> None:
    with pytest.raises(ValueError, match="no period before"):
        cohorts(np.array([0, 1]), 3)


def test_cohorts_at_one_place_have_no_slope() -> None:
    assert slope_weights(np.full(4, 0.5), np.ones(4)) is None
    assert slope_weights(np.array([0.0, 1.0, 0.5]), np.array([3.0, 3.0, 0.0])) is None
    weights = slope_weights(np.array([0.0, 0.5, 1.0]), np.array([1.0, 5.0, 1.0]))
    assert weights is not None
    assert weights @ np.array([1.0, 2.0, 3.0]) == pytest.approx(2.0)
