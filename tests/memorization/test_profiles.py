"""Causal profiles: place in the order, forgetting and differences from before exposure are told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from memorization.world import ROWS_PER_STEP, analysis_context, suite, trend
from trajectories.experiments.memorization.cohorts import designs
from trajectories.experiments.memorization.figures.profiles import figures
from trajectories.experiments.memorization.parts import profiles
from trajectories.experiments.memorization.profile_claims import SLOPES
from trajectories.experiments.memorization.run import Run, Window
from trajectories.experiments.memorization.settings import ProfileSettings
from trajectories.figures import FigureContext
from trajectories.findings import OWN, Findings
from trajectories.statistics.claims import table

STEPS = np.array([0, 1, 2, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300])
LAST = 300 * ROWS_PER_STEP - 1

Effect = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(place in the order from 0 to 1, share of training since exposure) → effect in standard deviations of the rows' own differences."""

NONE: Effect = lambda place, age: 0.5 + 0 * place + 0 * age  # noqa: E731
LATER: Effect = lambda place, age: 0.2 + place + 0 * age  # noqa: E731
FADING: Effect = lambda place, age: 1.2 * np.exp(-age / 0.3) + 0 * place  # noqa: E731


def run(
    effect: Effect, *, never: int = 500, copies: int = 0, drift: float = 0.0, about: float = 0.0, seed: int = 0, name: str = "base"
) -> Run:
    """Rows drawn from every batch, with never-seen ones; rows with a copy have it at a random place and twice the effect.

    Rows drift away from those never seen by their place, up or down from the place ``about``.
    """
    generator = np.random.default_rng(seed)
    row = np.sort(generator.choice(LAST + 1, 2000, replace=False))
    n = len(row) + never
    ids = np.array([f"{'row' if i < len(row) else 'never'}-{i:05d}" for i in range(n)])
    items = pd.DataFrame(
        {"item_id": ids, "kind": np.where(np.arange(n) < len(row), "row", "never"), "copy_group": np.arange(n), "weight": 1.0}
    )
    shown = pd.DataFrame({"item_id": ids[: len(row)], "order": "standard", "row": row})
    again = pd.DataFrame({"item_id": ids[:copies], "order": "standard", "row": generator.integers(0, LAST + 1, copies)})
    shown = pd.concat([shown, again], ignore_index=True).assign(step=lambda t: t["row"] // ROWS_PER_STEP)
    place = np.append(row / LAST, np.full(never, np.nan))[:, None]
    time = STEPS[None] / 300
    y = 0.8 * generator.normal(size=(n, 1)) + 2 * time + 0.6 * generator.normal(size=(n, len(STEPS)))
    y += drift * (np.nan_to_num(place, nan=about) - about) * time
    y += np.where(np.nan_to_num(place, nan=9.0) < time, effect(place, time - place), 0.0)
    columns = y if name == "base" else y[:, STEPS >= 200]
    outcomes = {"logprob": columns, "memorized": columns > 4}
    steps = STEPS if name == "base" else STEPS[STEPS >= 200]
    return Run(suite().model(name), steps, Window(8, 8, 0), True, items, shown, outcomes)


def analysed(of: Run) -> tuple[pd.DataFrame, Findings]:
    found = Findings()
    context = analysis_context(trend(0.0), profiles={"draws": 199})
    profiles.analyse(of, context, found)
    profiles.compare([of.last()], context, found)
    return table(found.claims), found


@cache
def kind(name: str) -> tuple[pd.DataFrame, Findings]:
    return analysed(run({"none": NONE, "later": LATER, "fading": FADING}[name]))


def verdicts(claims: pd.DataFrame, group: str = "") -> dict[str, str]:
    chosen = claims[claims["group"] == group]
    return dict(zip(chosen["id"], chosen["verdict"], strict=True))


def test_an_effect_that_grows_with_the_place_shows_at_once_and_at_the_end() -> None:
    assert verdicts(kind("later")[0]) == {
        "late-cohorts-likelier": "supported",
        "late-cohorts-learn-more": "supported",
        "old-cohorts-forget": "refuted",
        "cohorts-differ-before": "refuted",
        "cohorts-drift-before": "refuted",
    }


def test_forgetting_shows_at_the_end_alone() -> None:
    assert verdicts(kind("fading")[0]) == {
        "late-cohorts-likelier": "supported",
        "late-cohorts-learn-more": "refuted",
        "old-cohorts-forget": "supported",
        "cohorts-differ-before": "refuted",
        "cohorts-drift-before": "refuted",
    }


def test_the_same_effect_everywhere_refutes_every_claim() -> None:
    said = verdicts(kind("none")[0])
    assert said.pop("cohorts-drift-before") != "supported"
    assert set(said.values()) == {"refuted"}


def test_the_planted_slope_lies_within_the_interval() -> None:
    claims, found = kind("later")
    unit = found.extra["profile_effects"][0]["unit"]
    slope = claims.query("id == 'late-cohorts-likelier' and group == ''").iloc[0]
    assert slope["ci_low"] < 1.0 / unit < slope["ci_high"]
    assert slope["n_clusters"] > 300


def test_the_effect_by_age_is_recovered_and_nothing_before_exposure() -> None:
    effects = pd.DataFrame(kind("fading")[1].extra["profile_effects"])
    events = effects[(effects["family"] == "event") & (effects["variant"] == "primary") & (effects["outcome"] == "logprob")]
    before, after = events[events["event"] < 0], events[events["event"].between(1, 7)]
    assert ((before["band_low"] < 0) & (before["band_high"] > 0)).all()
    planted = 1.2 * np.exp(-after["lag"] / 300 / 0.3)
    assert ((after["estimate"] - planted).abs() < 3.5 * after["stderr"] + 0.01).all()


def test_the_slope_is_told_at_every_checkpoint_and_ends_where_the_claim_stands() -> None:
    claims, found = kind("later")
    slopes = pd.DataFrame(found.trajectories).query("metric == 'slope_residual'")
    assert slopes["step"].is_monotonic_increasing
    last = claims.query("id == 'late-cohorts-likelier' and group == ''").iloc[0]
    assert slopes["value"].iloc[-1] == pytest.approx(last["estimate"])


def test_rows_that_move_apart_before_exposure_are_noticed() -> None:
    claims, _ = analysed(run(NONE, drift=1.5))
    assert verdicts(claims)["cohorts-differ-before"] == "supported"


def test_rows_that_move_apart_by_their_place_are_noticed_although_the_mean_over_cohorts_is_nothing() -> None:
    """Rows before place 0.75 fall behind their controls and those after it run ahead, in such a way that the mean before exposure is 0."""
    claims, _ = analysed(run(NONE, drift=3.0, about=0.75))
    said = verdicts(claims)
    assert said["late-cohorts-likelier"] == "supported", "the trap"
    assert said["cohorts-differ-before"] != "supported", "the mean does not see it"
    assert said["cohorts-drift-before"] == "supported"
    reasons = claims[(claims["group"] == "") & claims["id"].isin(SLOPES)]["reason"]
    assert reasons.str.contains("Before exposure already").all()
    assert not kind("later")[0]["reason"].str.contains("Before exposure already").any()


def test_an_outcome_that_hardly_any_row_has_is_not_shown() -> None:
    usual = run(NONE)
    rare = usual.outcomes["logprob"] > np.sort(usual.outcomes["logprob"], axis=None)[-6]
    _, found = analysed(replace(usual, outcomes=usual.outcomes | {"memorized": rare}))
    assert {r["outcome"] for r in found.extra["profile_effects"]} == {"logprob"}
    assert any("memorized is not shown" in note for note in found.notes)
    assert {r["outcome"] for r in kind("none")[1].extra["profile_effects"]} == {"logprob", "memorized"}


def test_without_never_seen_rows_the_last_checkpoint_has_no_effect() -> None:
    claims, found = analysed(run(FADING, never=0))
    assert claims["step"].unique().tolist() == [270]
    assert verdicts(claims)["old-cohorts-forget"] == "supported"
    assert {r["control"] for r in found.extra["profile_effects"]} == {"not-yet"}
    assert any("without never-seen rows there is no effect at the last checkpoint" in note for note in found.notes)


def test_the_notes_say_how_fresh_rows_are_and_what_both_kinds_of_controls_say() -> None:
    notes = " ".join(kind("later")[1].notes)
    assert "every row is fresh" not in notes
    assert "with the lag as a covariate" in notes
    assert "not-yet-seen controls" in notes
    assert "margins apart" in notes


def test_both_kinds_of_controls_agree() -> None:
    claims = kind("later")[0].query("id == 'late-cohorts-learn-more'").set_index("group")["estimate"]
    assert claims["not-yet-seen controls"] == pytest.approx(claims[""], abs=0.2)


def test_rows_with_copies_are_left_out_or_dated_by_the_first() -> None:
    with_copies = run(NONE, copies=300)
    (once, _), (first, index) = (
        designs(with_copies, ProfileSettings(), "never", copies)  # type: ignore[misc]
        for copies in ("excluded", "first")
    )
    assert int(once.panel.counts[:-1].sum()) == 1700
    assert int(first.panel.counts[:-1].sum()) == 2000
    earliest = with_copies.exposures.groupby("item_id")["row"].min()
    ids = with_copies.items["item_id"].to_numpy()[index]
    seen = np.char.startswith(ids.astype(str), "row")
    assert (first.row[seen] == earliest.loc[ids[seen]].to_numpy()).all()
    claims, _ = analysed(with_copies)
    assert "with copies, by the first" in set(claims["group"])


def test_a_branch_leaves_out_what_was_seen_before_it() -> None:
    claims, found = analysed(run(NONE, name="branch"))
    assert set(claims["role"]) == {"descriptive"}
    assert not found.calibrands
    slopes = claims[claims["id"].isin(SLOPES)]
    assert set(slopes["verdict"]) == {"inconclusive"}
    assert slopes["reason"].str.contains("would be extrapolated|too few cohorts").all()
    assert not [r for r in found.trajectories if r["metric"] == "slope_residual"]
    assert any("were seen before the first checkpoint and are left out" in note for note in found.notes)


def test_cohorts_of_the_last_half_alone_have_no_slope_over_the_whole_order() -> None:
    whole = run(NONE)
    claims, _ = analysed(replace(whole, steps=STEPS[7:], outcomes={k: v[:, 7:] for k, v in whole.outcomes.items()}))
    slopes = claims[claims["id"].isin(SLOPES) & (claims["group"] == "")]
    assert set(slopes["verdict"]) == {"inconclusive"}
    assert slopes["reason"].str.contains("would be extrapolated").all()


def test_exposure_is_dated_to_the_step_and_measured_at_the_next_checkpoint() -> None:
    design, index = designs(run(NONE), ProfileSettings(), "never")  # type: ignore[misc]
    assert design.panel.cohorts.base[0] == 0  # the first steps have few rows, so their intervals are joined
    assert design.steps[design.panel.cohorts.first[0]] == 30
    member = design.panel.cohorts.member
    mine = design.row[member == 3] / ROWS_PER_STEP
    assert design.lag[3, 6] == pytest.approx(STEPS[6] - mine.mean())
    assert (mine >= STEPS[design.panel.cohorts.base[3]]).all()
    assert (mine < STEPS[design.panel.cohorts.first[3]]).all()
    assert len(index) == len(member)


def test_a_model_without_cohorts_says_so() -> None:
    alone = run(NONE)
    claims, found = analysed(replace(alone, steps=STEPS[-1:], outcomes={k: v[:, -1:] for k, v in alone.outcomes.items()}))
    assert claims.empty
    assert any("there is no profile by cohort" in note for note in found.notes)


def test_the_calibration_keeps_its_promise() -> None:
    found = kind("fading")[1]
    calibrand = found.calibrands[0]
    margin = calibrand.claim.margin
    generator = np.random.default_rng(3)
    wrong = {0.0: 0, 1.0: 0}
    for truth in wrong:
        results = [calibrand.simulate(generator, truth * margin) for _ in range(200)]
        estimates = np.array([r.estimate for r in results])
        assert estimates.mean() == pytest.approx(truth * margin, abs=4 * estimates.std() / np.sqrt(200))
        assert np.mean([r.stderr for r in results]) == pytest.approx(estimates.std(), rel=0.2)
        wrong[truth] = sum(r.p(margin)[0] < 0.05 for r in results)
    assert wrong[0.0] == 0
    assert wrong[1.0] <= 20


def test_the_figures_stand_on_the_tables_and_are_absent_without_them() -> None:
    claims, found = kind("fading")
    models = pd.DataFrame(found.trajectories, columns=OWN).assign(parameters_non_embedding=500)
    tables = {name: pd.DataFrame(rows) for name, rows in found.extra.items()}

    def drawn(extra: dict[str, pd.DataFrame]) -> dict[str, str]:
        context = FigureContext(suite(), None, models, claims, claims[:0], claims[:0], lambda name: extra.get(name, pd.DataFrame()))
        return {figure.name: figure.chart.to_json() for figure in figures(context)}

    assert list(drawn(tables)) == ["profile-cohorts", "profile-events", "profile-cells", "profile-slope", "profile-slopes"]
    assert drawn({}) == {}
