"""The one rule that decides claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from trajectories import tables
from trajectories.analysis import CLAIMS
from trajectories.statistics.claims import Claim, Result, holm, p_values, row, table


def claim(**changes: object) -> Claim:
    given = {
        "id": "c", "experiment": "e", "family": "f", "statement": "s", "prediction": "p", "rival": "r", "metric": "m",
        "scale": "log odds ratio", "margin": 0.2,
    }  # fmt: skip
    return Claim(**{**given, **changes})  # type: ignore[arg-type]


def verdict(result: Result, **changes: object) -> tuple[str, str]:
    decided = table([row(claim(**changes), result, "a", 1)]).iloc[0]
    return decided["verdict"], decided["reason"]


def test_a_lower_bound_above_the_margin_supports() -> None:
    assert verdict(Result(0.5, 0.1))[0] == "supported"
    # lower bound 0.5 − 1.645 · 0.19 = 0.187 is above 0 but not above the margin
    assert verdict(Result(0.5, 0.19))[0] == "inconclusive"


def test_an_upper_bound_below_the_margin_refutes() -> None:
    assert verdict(Result(0.0, 0.1))[0] == "refuted"
    assert verdict(Result(0.0, 0.13))[0] == "inconclusive"


def test_an_effect_that_is_small_but_not_null_is_refuted() -> None:
    assert verdict(Result(0.1, 0.01))[0] == "refuted"


def test_no_significance_is_not_a_refutation() -> None:
    decided, reason = verdict(Result(0.0, 1.0))
    assert decided == "inconclusive"
    assert "the sample does not tell" in reason


def test_the_verdict_agrees_with_the_reported_bounds() -> None:
    generator = np.random.default_rng(1)
    for estimate, stderr, df in zip(
        generator.normal(0.2, 0.3, 300), generator.uniform(0.02, 0.3, 300), generator.uniform(2, 50, 300), strict=True
    ):
        result = Result(estimate, stderr, df)
        expected = "supported" if result.ci_low > 0.2 else "refuted" if result.ci_high < 0.2 else "inconclusive"
        assert verdict(result)[0] == expected


def test_a_claim_of_less_is_the_mirror_image() -> None:
    for estimate in (-0.6, -0.1, 0.3):
        mirrored = verdict(Result(estimate, 0.1), sided="less")[0]
        assert mirrored == verdict(Result(-estimate, 0.1))[0]


@pytest.mark.parametrize(("estimate", "expected"), [(0.6, "supported"), (-0.6, "supported"), (0.0, "refuted"), (0.25, "inconclusive")])
def test_a_two_sided_claim_is_supported_outside_and_refuted_inside_the_margins(estimate: float, expected: str) -> None:
    assert verdict(Result(estimate, 0.1), sided="two-sided")[0] == expected


def test_a_two_sided_claim_keeps_its_size_when_the_margin_is_small_beside_the_error() -> None:
    generator = np.random.default_rng(2)
    two_sided = claim(sided="two-sided", margin=0.01)
    p = np.array([p_values(two_sided, Result(x, 1.0))[0] for x in generator.normal(0.01, 1, 4000)])
    assert np.mean(p < 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_few_events_allow_no_verdict_whatever_the_interval() -> None:
    decided, reason = verdict(Result(3.0, 0.1, n=5000, n_events=19))
    assert decided == "inconclusive"
    assert "only 19 events" in reason
    assert verdict(Result(3.0, 0.1, n=5000, n_events=20))[0] == "supported"


def test_few_non_events_allow_no_verdict_either() -> None:
    decided, reason = verdict(Result(3.0, 0.1, n=5000, n_events=4990))
    assert decided == "inconclusive"
    assert "only 10 non-events" in reason


@pytest.mark.parametrize("result", [Result(math.nan), Result(0.5), Result(0.5, math.inf), Result(0.5, 0.0)])
def test_an_estimate_without_finite_interval_allows_no_verdict(result: Result) -> None:
    decided, reason = verdict(result)
    assert decided == "inconclusive"
    assert "no finite interval" in reason


def test_a_problem_is_told_in_the_reason() -> None:
    assert "only 2 independent clusters" in verdict(Result(1.0, 0.1, problem="only 2 independent clusters"))[1]


def test_bounds_follow_students_t() -> None:
    result = Result(1.0, 0.5, df=7)
    assert result.ci_low == pytest.approx(1 - stats.t.ppf(0.95, 7) * 0.5)
    assert p_values(claim(margin=0.25), result)[0] == pytest.approx(stats.t.sf(1.5, 7))


def test_a_bootstrap_decides_like_the_normal_approximation_that_it_resamples() -> None:
    replicates = np.random.default_rng(3).normal(0.5, 0.1, 20_000)
    by_bootstrap, by_normal = Result.from_replicates(0.5, replicates, n=10, method="bootstrap"), Result(0.5, 0.1)
    assert by_bootstrap.ci_low == pytest.approx(by_normal.ci_low, abs=0.005)
    assert p_values(claim(margin=0.4), by_bootstrap) == pytest.approx(p_values(claim(margin=0.4), by_normal), abs=0.01)


def test_a_bootstrap_never_gives_a_p_of_zero() -> None:
    assert p_values(claim(), Result.from_replicates(5.0, np.full(99, 5.0)))[0] == pytest.approx(0.01)


def test_holm_equals_the_reference_implementation() -> None:
    p = np.random.default_rng(4).uniform(0, 0.2, 9)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_models_are_corrected_within_their_family_and_separately_for_the_two_decisions() -> None:
    strong, weak, null = Result(1.0, 0.1), Result(0.4, 0.11), Result(-0.2, 0.1)
    assert verdict(weak)[0] == "supported"
    decided = table([row(claim(), r, name, 1) for name, r in (("a", strong), ("b", weak), ("c", null))]).set_index("model")
    assert decided.loc["a", "verdict"] == "supported"
    assert decided.loc["b", "verdict"] == "inconclusive"  # 0.035 · 2
    assert "not after correction" in decided.loc["b", "reason"]
    assert decided.loc["c", "verdict"] == "refuted"
    assert decided.loc["b", "p_supported_adjusted"] == pytest.approx(2 * decided.loc["b", "p_supported"])
    apart = table([row(claim(family=name), r, name, 1) for name, r in (("a", strong), ("b", weak), ("c", null))])
    assert apart["verdict"].tolist() == ["supported", "supported", "refuted"]


def test_descriptive_rows_neither_pay_for_nor_dilute_the_correction() -> None:
    primary = row(claim(), Result(0.4, 0.11), "a", 10)
    others = [row(claim(), Result(0.4, 0.11), "a", step, role="descriptive") for step in range(9)]
    decided = table([primary, *others])
    assert decided["verdict"].tolist() == ["supported"] * 10
    assert decided["p_supported_adjusted"].isna().tolist() == [False] + [True] * 9


def test_a_model_that_allows_no_verdict_still_counts_in_its_family() -> None:
    rows = [row(claim(), Result(0.4, 0.11), "a", 1), row(claim(), Result(math.nan), "b", 1)]
    assert table(rows).loc[0, "p_supported_adjusted"] == pytest.approx(2 * p_values(claim(), Result(0.4, 0.11))[0])


@pytest.mark.parametrize("margin", [0.0, -0.1, math.nan, math.inf])
def test_a_claim_without_a_positive_margin_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        claim(margin=margin)


def test_the_table_has_the_contracts_columns_and_survives_writing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    decided = table([row(claim(), Result(0.4, 0.1, n=7), "a", 1), row(claim(), Result(math.nan), "b", 1)])
    assert list(decided.columns) == CLAIMS.names
    tables.write_table(decided, tmp_path / "claims.parquet", schema=CLAIMS)
    tables.write_table(table([]), tmp_path / "empty.parquet", schema=CLAIMS)
    assert tables.read_table(tmp_path / "claims.parquet")["verdict"].tolist() == decided["verdict"].tolist()
    assert tables.read_table(tmp_path / "claims.parquet")["n_clusters"].isna().all()
