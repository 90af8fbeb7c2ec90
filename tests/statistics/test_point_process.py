"""Processes of known truth: homogeneous ones are not called clustered, clusters and drifts are found, and binomial is not Poisson."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from trajectories.statistics.claims import Claim, decide, row
from trajectories.statistics.point_process import Dispersion, Process, blocks, clumps_expected, dispersion, dispersion_of, events_needed
from trajectories.statistics.point_process_description import describe
from trajectories.statistics.point_process_laws import clumped, law
from trajectories.statistics.point_process_shape import autocorrelation, envelope, gaps, quantiles
from trajectories.statistics.point_process_trend import trend

CLAIM = Claim("clusters", "test", "clusters", "", "", "", "dispersion_index", "excess", 0.1, "two-sided")
FIVE_PERCENT_OF_200 = 18
"""Events of probability 5 % among 200 exceed this with a probability below 1 %."""


def verdict(found: Dispersion) -> str:
    return decide([row(CLAIM, found.result(), "model", 0)])[0][0]


def clustered(generator: np.random.Generator, bins: int, width: int, rate: float, index: float) -> np.ndarray:
    """Beta-binomial counts with a known dispersion index."""
    if index == 1:
        return generator.binomial(width, rate, bins)
    total = (width - 1) / (index - 1) - 1
    return generator.binomial(width, generator.beta(rate * total, (1 - rate) * total, bins))


def bursts(generator: np.random.Generator, bins: int, width: int, rate: float, index: float, bins_each: int) -> np.ndarray:
    """Counts with a known dispersion index that a twentieth of the stretches makes, each of so many bins."""
    spread = np.sqrt((index - 1) / (width - 1) * rate * (1 - rate))
    hot = np.repeat(generator.random(-(-bins // bins_each)) < 0.05, bins_each)[:bins]
    return generator.binomial(width, np.where(hot, rate + spread * np.sqrt(19), rate - spread / np.sqrt(19)))


def clumps(generator: np.random.Generator, bins: int, width: int, rate: float, index: float, size: int) -> np.ndarray:
    """Binomial counts, but for a few bins where `size` trials are events together; found by search, apart from the module's own law."""
    x = np.arange(width + 1)

    def mixed(share: float) -> np.ndarray:
        alone = stats.binom.pmf(x, width, (width * rate - share * size) / (1 - share) / width)
        return (1 - share) * alone + share * (x == size)

    def excess(share: float) -> float:
        p = mixed(share)
        return float((x - p @ x) ** 2 @ p / (width * rate * (1 - rate)) - index)

    p = mixed(brentq(excess, 0, 0.99 * width * rate / size))
    return generator.choice(width + 1, size=bins, p=p / p.sum())


def verdicts(draw, repeats: int = 200, width: int = 5) -> list[str]:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(1)
    return [verdict(dispersion_of(draw(generator), width, generator, 199)) for _ in range(repeats)]


@pytest.mark.parametrize("rate", [0.01, 0.12])
def test_a_homogeneous_process_is_found_homogeneous_or_left_open(rate: float) -> None:
    found = verdicts(lambda g: g.binomial(5, rate, 1200))
    assert found.count("supported") <= FIVE_PERCENT_OF_200 / 4
    assert found.count("refuted") >= 60 if rate == 0.12 else found.count("refuted") <= FIVE_PERCENT_OF_200


@pytest.mark.parametrize("rate", [0.01, 0.12])
def test_an_index_at_the_margin_is_decided_wrongly_at_most_five_times_in_a_hundred(rate: float) -> None:
    found = verdicts(lambda g: clustered(g, 1200, 5, rate, 1.1))
    assert found.count("supported") <= FIVE_PERCENT_OF_200
    assert found.count("refuted") <= FIVE_PERCENT_OF_200


def test_that_does_not_hang_on_the_shape_of_the_clusters() -> None:
    for bins_each in (1, 10):
        found = verdicts(lambda g, each=bins_each: bursts(g, 1200, 5, 0.05, 1.1, each))
        assert found.count("supported") <= FIVE_PERCENT_OF_200
        assert found.count("refuted") <= FIVE_PERCENT_OF_200 + 4, "bursts wider than a bin are hard to see; a little more than 5 %"


@pytest.mark.parametrize(("rate", "size"), [(0.0083, 3), (0.0083, 4), (0.0083, 5), (0.0115, 4), (0.06, 4), (0.12, 5)])
def test_an_index_at_the_margin_that_rare_clumps_make_is_hardly_ever_taken_for_homogeneous(rate: float, size: int) -> None:
    """At a rate of 0.0083 there are 44 events, and a homogeneous process has less than one pair of them in one bin."""
    found = verdicts(lambda g: clumps(g, 1061, 5, rate, 1.1, size))
    assert found.count("refuted") <= FIVE_PERCENT_OF_200
    assert found.count("supported") <= FIVE_PERCENT_OF_200


def test_clusters_are_found() -> None:
    found = verdicts(lambda g: clustered(g, 4000, 5, 0.05, 1.4), repeats=50)
    assert found.count("supported") >= 45


def test_events_that_keep_apart_are_found_too() -> None:
    generator = np.random.default_rng(2)
    counts = np.where(generator.random(2000) < 0.6, 1, generator.binomial(10, 0.1, 2000))
    found = dispersion_of(counts, 10, generator, 199)
    assert found.index < 0.7
    assert verdict(found) == "supported"


def test_the_interval_covers_the_true_index() -> None:
    generator = np.random.default_rng(3)
    for index in (1.0, 1.3, 2.0):
        found = [dispersion_of(clustered(generator, 1500, 20, 0.05, index), 20, generator, 199) for _ in range(80)]
        covered = sum(f.ci_low <= index <= f.ci_high for f in found)
        assert covered >= 65, f"90 % intervals should cover, found {covered} of 80 at {index}"


def test_few_events_that_never_meet_do_not_prove_homogeneity() -> None:
    counts = np.zeros(1200, dtype=int)
    counts[::48] = 1
    found = dispersion_of(counts, 5, np.random.default_rng(4))
    assert (
        np.quantile(
            [dispersion_of(np.random.default_rng(i).choice(counts, 1200), 5, np.random.default_rng(0), 19).index for i in range(50)], 0.95
        )
        < 1
    ), "resampling alone would be certain"
    assert found.ci_high > 1.1
    assert verdict(found) == "inconclusive"


def test_a_poisson_null_would_take_a_homogeneous_process_for_too_even() -> None:
    """At a rate of 12 % binomial counts have 0.88 of a Poisson count's variance, which is beyond the margin."""
    generator = np.random.default_rng(5)
    counts = generator.binomial(20, 0.12, 5000)
    assert counts.var(ddof=1) / counts.mean() == pytest.approx(0.88, abs=0.04)
    assert stats.chi2.cdf(counts.var(ddof=1) / counts.mean() * 4999, 4999) < 1e-3, "the Poisson dispersion test rejects"
    found = dispersion_of(counts, 20, generator, 199)
    assert found.index == pytest.approx(1, abs=0.06)
    assert found.p_homogeneous > 0.01


def test_the_index_is_one_on_average_over_all_orders_of_the_trials() -> None:
    generator = np.random.default_rng(6)
    outcomes = np.arange(200) < 30
    found = [dispersion(Process.of(generator.permutation(outcomes)), 5, generator, 19).index for _ in range(600)]
    assert np.mean(found) == pytest.approx(1, abs=4 * np.std(found) / np.sqrt(600))


@pytest.mark.parametrize(
    ("width", "rate", "index"), [(5, 0.01, 1.3), (100, 0.03, 4.0), (100, 0.03, 0.8), (2, 0.3, 2.0), (1024, 0.016, 1.0)]
)
def test_the_law_of_a_count_has_the_index_that_was_asked_for(width: int, rate: float, index: float) -> None:
    first, p = law(width, rate, index)
    x = np.arange(first, first + len(p))
    mean = (x * p).sum()
    assert p.sum() == pytest.approx(1)
    assert mean == pytest.approx(width * rate, rel=1e-6)
    assert ((x - mean) ** 2 * p).sum() / (width * rate * (1 - rate)) == pytest.approx(index, rel=1e-3)


@pytest.mark.parametrize(
    ("width", "rate", "index", "size"), [(5, 0.008, 1.1, 3), (5, 0.12, 1.4, 5), (2, 0.1, 1.3, 5), (1024, 0.016, 1.1, 5)]
)
def test_the_law_with_clumps_has_the_mean_and_the_index_that_were_asked_for(width: int, rate: float, index: float, size: int) -> None:
    found = clumped(width, rate, index, size)
    assert found is not None
    x = np.arange(found[0], found[0] + len(found[1]))
    mean = (x * found[1]).sum()
    assert mean == pytest.approx(width * rate, rel=1e-6)
    assert ((x - mean) ** 2 * found[1]).sum() / (width * rate * (1 - rate)) == pytest.approx(index, rel=1e-6)


def test_clumps_that_are_too_small_for_an_index_have_no_law() -> None:
    assert clumped(5, 0.01, 3.5, 3) is None
    assert clumped(1024, 0.5, 1.5, 5) is None


def test_it_takes_events_to_rule_out_clumps() -> None:
    """Those of 5 add 5 · 4 ordered pairs each, so 600 events allow three of them at an excess of 0.1."""
    assert events_needed(0.1, 5) == 600
    assert clumps_expected(600, 0.1, 5) == pytest.approx(3)
    assert clumps_expected(44, 0.1, 5) == pytest.approx(0.22)
    assert events_needed(0.1, 2) == 60
    assert dispersion_of(np.repeat([0, 1], [1017, 44]), 5, np.random.default_rng(0), 19).pairs == pytest.approx(0.73, abs=0.01)


def test_events_are_counted_in_whole_bins_alone() -> None:
    process = Process(np.array([0, 3, 4, 9, 10]), 11)
    assert process.counts(5).tolist() == [3, 1]
    assert process.counts(2).tolist() == [1, 1, 1, 0, 1]
    assert process.rate == pytest.approx(5 / 11)


def test_what_is_no_sequence_of_events_is_refused() -> None:
    for events in ([3, 2], [2, 2], [-1, 2], [5, 10]):
        with pytest.raises(ValueError, match="ascending and distinct places among 10"):
            Process(np.array(events), 10)
    with pytest.raises(ValueError, match="at least 2 trials"):
        dispersion(Process(np.array([1]), 100), 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 1"):
        Process(np.array([1]), 100).counts(0)


def test_too_few_bins_or_events_leave_no_verdict() -> None:
    generator = np.random.default_rng(7)
    assert dispersion(Process.of(generator.random(90) < 0.5), 5, generator).problem == "there are only 18 bins of 5, and 20 are needed"
    assert dispersion(Process(np.array([], dtype=int), 1000), 5, generator).problem == "no trial differs from the others"
    assert verdict(dispersion(Process(np.arange(19) * 50, 1000), 5, generator)) == "inconclusive"


def test_what_is_left_behind_the_last_block_joins_it() -> None:
    assert blocks(np.ones((7, 1)), 3)[:, 0].tolist() == [3, 4]


def test_simulated_envelopes_hold_as_many_curves_as_they_say() -> None:
    curves = np.random.default_rng(8).standard_normal((999, 30))
    low, high = envelope(curves)
    inside = ((curves >= low) & (curves <= high)).all(axis=1).mean()
    assert 0.95 <= inside < 0.97


@pytest.mark.parametrize("rate", [0.01, 0.12])
def test_p_of_the_gaps_is_uniform_under_the_null(rate: float) -> None:
    generator = np.random.default_rng(9)
    p = [gaps(Process.of(generator.random(6000) < rate), generator, 199).p for _ in range(150)]  # type: ignore[union-attr]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_the_interval_of_the_gaps_deviation_holds_though_the_gap_was_chosen() -> None:
    generator = np.random.default_rng(10)
    found = [gaps(Process.of(generator.random(6000) < 0.05), generator, 199) for _ in range(100)]
    assert sum(g.ci_low <= 0 <= g.ci_high for g in found if g is not None) >= 86


def test_events_that_announce_the_next_make_short_gaps() -> None:
    generator = np.random.default_rng(11)
    outcomes = generator.random(20000) < 0.02
    outcomes[1:] |= outcomes[:-1] & (generator.random(19999) < 0.3)
    found = gaps(Process.of(outcomes), generator, 199)
    assert found is not None
    assert found.at <= 2
    assert found.deviation > 0.2
    assert found.ci_low > 0.1
    assert found.p < 0.01


def test_quantiles_of_a_homogeneous_process_stay_in_the_envelope_and_those_of_clusters_leave_it() -> None:
    generator = np.random.default_rng(12)
    outside = [quantiles(Process.of(generator.random(20000) < 0.02), 100, generator, 199).outside for _ in range(60)]  # type: ignore[union-attr]
    assert sum(o > 0 for o in outside) <= 8
    rates = np.repeat(generator.gamma(1.0, 0.02, 200), 100)
    found = quantiles(Process.of(generator.random(20000) < rates), 100, generator, 199)
    assert found is not None
    assert found.outside > 3
    assert found.observed[-1] > found.high[-1]


def test_dependence_between_bins_shows_in_the_autocorrelation() -> None:
    generator = np.random.default_rng(13)
    flat = [autocorrelation(Process.of(generator.random(3000) < 0.1), 5, 20, generator).p for _ in range(80)]  # type: ignore[union-attr]
    assert sum(p < 0.05 for p in flat) <= 10
    hot = np.repeat(generator.random(60) < 0.3, 50)
    found = autocorrelation(Process.of(generator.random(3000) < np.where(hot, 0.3, 0.05)), 5, 20, generator)
    assert found is not None
    assert found.p < 0.01
    assert found.value[0] > found.high[0]


def test_a_drift_is_found_and_is_not_taken_for_clusters_once_it_is_allowed_for() -> None:
    generator = np.random.default_rng(14)
    x = np.linspace(0, 1, 20000)
    rate = 0.1 * np.exp(1.5 * (x - 0.5))
    process = Process.of(generator.random(20000) < rate)
    found = trend(process, 50, generator)
    assert found is not None
    assert found.p < 0.001
    assert found.ci_low < np.exp(1.5) < found.ci_high
    assert found.ci_low > 2
    assert (found.lowest, found.highest) == (0, 1)
    raw = dispersion(process, 50, generator, 199)
    assert raw.ci_low > 1.3
    assert found.index_left == pytest.approx(1, abs=0.2)


def test_no_drift_is_found_where_there_is_none() -> None:
    generator = np.random.default_rng(15)
    found = [trend(Process.of(generator.random(6000) < 0.05), 5, generator, replicates=300) for _ in range(80)]
    assert sum(t.p < 0.05 for t in found if t is not None) <= 10
    assert sum(t.ci_low > 1 for t in found if t is not None) <= 10


def test_a_trend_needs_events_everywhere() -> None:
    generator = np.random.default_rng(16)
    assert trend(Process(np.arange(19) * 100, 2000), 5, generator) is None
    with pytest.raises(ValueError, match="at least 2 coefficients"):
        trend(Process(np.arange(30) * 10, 2000), 5, generator, df=1)


def test_a_complete_table_costs_what_its_events_cost() -> None:
    """A million events among a hundred million trials, in little memory."""
    generator = np.random.default_rng(17)
    process = Process(np.unique(generator.integers(0, 100_000_000, 1_000_000)), 100_000_000)
    tracemalloc.start()
    found = describe(process, 1024, generator, widths=[65536], replicates=199)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250e6
    assert found.dispersion.index == pytest.approx(1, abs=0.03)
    assert verdict(found.dispersion) == "refuted"
    assert [d.width for d in found.by_width] == [1024, 65536]
    assert found.gaps is not None
    assert found.trend is not None
    assert found.trend.ratio < 1.05


def test_the_same_seed_gives_the_same_numbers() -> None:
    process = Process.of(np.random.default_rng(18).random(3000) < 0.1)
    first, second = (describe(process, 5, np.random.default_rng(1), widths=[2, 50], replicates=99) for _ in range(2))
    assert first.by_width == second.by_width
    assert first.gaps is not None
    assert second.gaps is not None
    assert first.gaps.p == second.gaps.p
