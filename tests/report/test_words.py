"""Numbers and findings read as a person would say them."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from report import made_up
from trajectories.report import words


def row(**changes):
    facts = {
        "scale": "log odds ratio",
        "estimate": math.log(2),
        "ci_low": math.log(1.5),
        "ci_high": math.log(2.5),
        "conf_level": 0.9,
        "margin": math.log(1.25),
    }
    return facts | changes


def test_log_odds_are_told_as_odds_ratios():
    assert words.effect(row()) == "2 (1.5 to 2.5)"
    assert words.scale_name(row()) == "odds ratio (90\u00a0% interval)"
    assert words.margin(row()).startswith("odds ratio of 1.25 ")


def test_other_scales_are_told_as_they_are():
    found = row(scale="rank correlation", estimate=0.61234, ci_low=-0.2, ci_high=0.8)
    assert words.effect(found) == "0.612 (−0.2 to 0.8)"
    assert words.scale_name(found) == "rank correlation (90\u00a0% interval)"


@pytest.mark.parametrize("bound", [math.nan, math.inf, None])
def test_an_interval_without_an_end_is_said_to_have_none(bound):
    assert words.effect(row(ci_high=bound)).endswith("without a finite interval")


def test_a_missing_estimate_is_said_to_be_missing():
    assert words.effect(row(estimate=math.nan)) == "no estimate"


def test_an_odds_ratio_beyond_all_measure_does_not_overflow():
    assert "above 10 trillion" in words.effect(row(estimate=900.0, ci_high=1e4))


def test_steps_that_follow_each_other_are_joined_and_gaps_are_kept():
    grid = [0, 1, 2, 4, 8, 16, 32]
    assert words.steps([1, 2, 4, 16], grid) == "1–4, 16"
    assert words.steps([1000, 3000]) == "1,000, 3,000"


def test_large_counts_are_told_by_magnitude():
    assert [words.size(n) for n in (950, 1_317_632, 299_892_736_000)] == ["950", "1.318 million", "299.9 billion"]


def test_claims_as_json_have_null_for_what_is_no_finite_number():
    table = made_up.claims(made_up.suite())
    table.loc[0, "ci_high"] = np.inf
    found = json.loads(json.dumps(words.claims_json(table), allow_nan=False))
    assert isinstance(found, list)
    assert len(found) == len(table)
    assert found[0]["ci_high"] is None
    assert [c["estimate"] for c in found if c["id"] == "shared-order" and c["model"] == "small"] == [None]
    assert found[0]["step"] == 400


def test_records_hold_plain_values_only():
    table = pd.DataFrame(
        {"n": pd.array([1, None], dtype="Int64"), "covered": [True, None], "name": ["a", None], "x": [np.float32(0.5), np.nan]}
    )
    assert words.records(table) == [{"n": 1, "covered": True, "name": "a", "x": 0.5}, {"n": None, "covered": None, "name": None, "x": None}]


def test_json_for_a_script_cannot_end_the_script():
    hostile = {"</script><script>alert(1)</script>": "<!-- & \u2028"}
    text = words.for_script(hostile)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == hostile


def test_sentences_that_all_rows_share_are_told_once():
    reasons = [
        "The bounds 1 and 2 lie above 0.5. All models see the same pairs.",
        "The bounds 0.1 and 2 tell nothing. All models see the same pairs.",
    ]
    shared = words.common_sentences(reasons)
    assert shared == ["All models see the same pairs."]
    assert words.without(reasons[0], shared) == "The bounds 1 and 2 lie above 0.5."
    assert words.common_sentences(reasons[:1]) == []
