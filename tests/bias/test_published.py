"""Published bias results: real files give the known numbers, simulated ones of known truth the right verdicts and no others."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trajectories import published as results
from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias import intervention_claims as names
from trajectories.experiments.bias.differences import detectable, shares
from trajectories.experiments.bias.parts import intervention_published, published
from trajectories.experiments.bias.published_results import ALL, crows_pairs, wino_bias, wino_bias_gap
from trajectories.experiments.bias.settings import AnalyseSettings
from trajectories.findings import Findings
from trajectories.statistics.calibration import EXCEEDED, power, simulated
from trajectories.statistics.claims import SUPPORTED, decide, row, table
from trajectories.suites import Suite, load_suite

SETTINGS = AnalyseSettings(simulations=40)


def context_of(suite: Suite, tables: list[pd.DataFrame], left_out: pd.DataFrame | None = None) -> AnalysisContext:
    whole = pd.concat(tables, ignore_index=True)
    checkpoints = whole[["model", "step"]].drop_duplicates().sort_values(["model", "step"], ignore_index=True)
    if left_out is not None:
        checkpoints = checkpoints.merge(left_out[["model", "step"]], how="left", indicator=True).query("_merge == 'left_only'")
        checkpoints = checkpoints.drop(columns="_merge")
    else:
        left_out = pd.DataFrame({"model": [], "step": [], "status": [], "detail": []})

    def absent(*_: object) -> Any:
        raise KeyError

    return AnalysisContext(
        suite=suite, settings=SETTINGS, seed=1, checkpoints=checkpoints.assign(tokens=0), left_out=left_out, stimuli=None, exposures=None,
        truth=absent, has_truth=False, published=whole, read=absent,
    )  # fmt: skip


def of(name: str, models: list[str], data_dir: Path) -> AnalysisContext:
    suite = load_suite(name)
    assert suite.published is not None
    chosen = suite.model_copy(update={"models": [suite.model(m) for m in models]})
    root = results.root(suite.published, data_dir)
    return context_of(chosen, [results.collect(m, root, suite.published.items).table for m in chosen.models])


@pytest.fixture(scope="module")
def v1(data_dir: Path) -> AnalysisContext:
    return of("pythia-published", ["pythia-1b", "pythia-1.4b-deduped", "pythia-intervention-1.4b-deduped"], data_dir)


@pytest.fixture(scope="module")
def v0(data_dir: Path) -> AnalysisContext:
    branches = [f"pythia-intervention-{size}-deduped-v0" for size in ("410m", "1.4b", "long-1.4b")]
    return of("pythia-v0-published", ["pythia-410m-deduped-v0", "pythia-1.4b-deduped-v0", *branches], data_dir)


def found_in(context: AnalysisContext) -> Findings:
    found = Findings()
    published.analyse(context, found)
    intervention_published.analyse(context, found)
    return found


def test_crows_pairs_are_read_by_language_and_category_with_their_pairs(v1: AnalysisContext) -> None:
    crows = crows_pairs(v1)
    end = crows[(crows["model"] == "pythia-1.4b-deduped") & (crows["step"] == 143000) & (crows["language"] == "english")]
    end = end.set_index("category")
    assert end.at["gender", "share"] == 0.615625
    assert end.at["gender", "n"] == 320
    assert end.at[ALL, "n"] == 1677
    assert end.drop(index=ALL)["n"].sum() == 1677
    assert {"race or colour", "other", "socioeconomic"} <= set(end.index)
    assert (end["difference"] > 0).all()


def test_winobias_is_read_by_prompt_from_files_that_say_their_step_inside(v0: AnalysisContext) -> None:
    wino = wino_bias(v0)
    assert set(wino["prompt"]) == {"What does p stand for", "refers_to"}
    assert set(wino["n"]) == {396}
    own = wino[(wino["model"] == "pythia-1.4b-deduped-v0") & (wino["step"] == 1500) & (wino["type"] == "type1")]
    values = own.set_index(["condition", "prompt"])["share"]
    assert values["pro", "refers_to"] == pytest.approx(16 / 396)
    assert values["anti", "What does p stand for"] == pytest.approx(5 / 396)


def test_the_gap_is_the_mean_over_types_and_prompts(v0: AnalysisContext) -> None:
    wino = wino_bias(v0)
    gaps = wino_bias_gap(wino).set_index(["model", "step", "prompt"])
    mine = wino[(wino["model"] == "pythia-1.4b-deduped-v0") & (wino["step"] == 71500)]
    by = mine.groupby("condition")["share"].mean()
    assert gaps.at[("pythia-1.4b-deduped-v0", 71500, ALL), "gap"] == pytest.approx(by["pro"] - by["anti"])


def test_exact_match_and_log_probabilities_have_metrics_of_their_own(v0: AnalysisContext) -> None:
    metrics = {row["metric"] for row in found_in(v0).trajectories}
    assert metrics == {"exact_match", "exact_match_gap", "did_exact_match_gap"}


def test_an_absolute_difference_is_called_so(v1: AnalysisContext) -> None:
    found = found_in(v1)
    assert "absolute_likelihood_difference" in {row["metric"] for row in found.trajectories}
    assert any("absolute value" in note for note in found.notes)


def test_claims_are_about_whole_runs_at_their_last_step_and_branches_have_their_own(v1: AnalysisContext) -> None:
    claims = table(found_in(v1).claims)
    own = claims[claims["id"].str.startswith("published-")]
    assert set(own["model"]) == {"pythia-1b", "pythia-1.4b-deduped"}
    assert set(claims.loc[claims["id"].str.startswith("swap-"), "model"]) == {"pythia-intervention-1.4b-deduped"}
    assert (claims["step"] == 143000).all()
    assert (own.groupby(["id", "model"]).size() == 1).all()


def test_an_endpoint_without_effect_says_what_it_could_have_shown(v1: AnalysisContext) -> None:
    found = found_in(v1)
    assert any("shows no change of CrowS-Pairs' gender preference" in n and "320 pairs" in n and "0.096" in n for n in found.notes)
    (end,) = [r for r in found.extra["endpoints"] if r["outcome"] == "CrowS-Pairs, gender"]
    assert end["detectable"] == pytest.approx((1.6449 + 0.8416) * np.sqrt(2 * 0.615625 * 0.384375 / 319), rel=1e-3)


def test_a_branch_whose_parent_has_no_such_results_is_named_and_not_compared(v0: AnalysisContext) -> None:
    found = found_in(v0)
    assert any("pythia-intervention-410m-deduped-v0" in note and "stand alone" in note for note in found.notes)
    assert {r["model"] for r in found.extra["endpoints"]} == {
        "pythia-intervention-1.4b-deduped-v0",
        "pythia-intervention-long-1.4b-deduped-v0",
    }


def test_what_the_audit_left_out_is_left_out_here_and_named(v1: AnalysisContext) -> None:
    gone = pd.DataFrame({"model": ["pythia-1b"], "step": [0], "status": ["contaminated"], "detail": [""]})
    assert v1.published is not None
    found = found_in(context_of(v1.suite, [v1.published], gone))
    assert not any(r["model"] == "pythia-1b" and r["step"] == 0 for r in found.trajectories)
    assert any("step 0 of pythia-1b" in note for note in found.notes)


def test_a_run_without_an_early_checkpoint_is_not_judged_on_its_development(v1: AnalysisContext) -> None:
    assert v1.published is not None
    late = v1.published[(v1.published["model"] != "pythia-1b") | (v1.published["step"] > 2000)]
    found = found_in(context_of(v1.suite, [late]))
    claims = table(found.claims)
    assert set(claims.loc[claims["model"] == "pythia-1b", "id"]) == {names.PREFERRED}
    assert any("pythia-1b" in note and "untrained" in note for note in found.notes)


def test_models_with_random_weights_differ_in_no_stereotype(data_dir: Path) -> None:
    """From one untrained model to another nothing is learnt, yet shares of race move by several errors of independent pairs."""
    sizes = ["70m", "160m", "410m", "1b", "1.4b", "6.9b-deduped", "12b"]
    context = of("pythia-published", [f"pythia-{size}" for size in sizes] + ["pythia-70m-deduped"], data_dir)
    crows = crows_pairs(context)
    crows = crows[crows["language"] == "english"]
    design, untrained = published.alike(crows, context.suite.models)
    assert untrained == len(sizes)
    assert 4 < design[ALL] < 10
    assert design["race or colour"] == design.max() > 10
    start = crows[(crows["step"] == 0) & crows["model"].isin(f"pythia-{size}" for size in sizes)]
    share, n = start.pivot(index="category", columns="model", values="share"), start.groupby("category")["n"].first()
    told = [c for c in share.index if c != ALL and n[c] >= published.LEAST_IN_CATEGORY]
    verdicts: dict[bool, list[str]] = {False: [], True: []}
    for first, second in permutations(share.columns, 2):
        for wider, found in verdicts.items():
            factor = design[told].to_numpy() if wider else 1.0
            changes = published.changed(*(share.loc[told, m].to_numpy() for m in (first, second)), n[told].to_numpy(), factor)
            found.append(decide([row(DECLARED[names.DIFFER], published.differ(changes), "m", 0)])[0][0])
    assert np.mean(np.array(verdicts[False]) == SUPPORTED) > 0.1
    assert np.mean(np.array(verdicts[True]) == SUPPORTED) < 0.05


def test_suites_with_checkpoints_have_nothing_published(v1: AnalysisContext) -> None:
    found = Findings()
    for part in (published, intervention_published):
        part.analyse(AnalysisContext(**{**vars(v1), "published": None}), found)
    assert not found.claims
    assert not found.notes


N = np.array([500, 320, 210, 190, 110, 90, 90, 70, 65])
SIMULATIONS: dict[str, tuple[Any, dict[str, Any], float, float]] = {
    names.PREFERRED: (published._preferred, {"n": 1677, "design": 6.0}, 3.0, 0.9),
    names.GROWS: (published._grown, {"before": 0.5, "n": 1677, "design": 6.0}, 4.0, 0.75),
    names.DIFFER: (published._differing, {"before": np.full(9, 0.5), "n": N, "design": np.full(9, 3.0), "mean": 0.4}, 6.0, 0.6),
    names.GAP: (published._gaps, {"anti": np.array([[0.15, 0.1], [0.2, 0.05]]), "n": 396}, 2.0, 0.6),
    names.FAIRER: (intervention_published._fall, {"parent": 0.62, "n": 320}, 4.0, 0.8),
    names.LAMBADA: (intervention_published._fall, {"parent": 0.6, "n": 5153}, 2.0, 0.7),
}
DECLARED = names.published(SETTINGS) | names.intervention(SETTINGS)


@pytest.mark.parametrize("name", list(SIMULATIONS))
def test_wrong_verdicts_stay_rare_and_large_effects_are_told(name: str) -> None:
    simulate, facts, large, least = SIMULATIONS[name]
    claim = DECLARED[name]
    found = simulated(claim, partial(simulate, **facts), n_sim=60, seed=3, truths=(0.0, 1.0, large), at_margin=5)
    told = power(claim, found)
    assert told["level"] != EXCEEDED
    reached = [r for r in found[large] if r.p(-claim.margin if claim.sided == "less" else claim.margin)[claim.sided == "less"] < 0.05]
    assert len(reached) / len(found[large]) >= least


def test_independent_errors_are_conservative_where_both_runs_err_alike() -> None:
    generator = np.random.default_rng(5)
    drawn = [intervention_published._fall(generator, -0.05, parent=0.6, n=320) for _ in range(400)]
    assert np.std([r.estimate for r in drawn]) < np.mean([r.stderr for r in drawn])


def test_the_detectable_change_is_detected_in_80_percent_of_independent_samples() -> None:
    generator = np.random.default_rng(7)
    n, parent = 320, 0.6
    least = detectable(shares(parent, parent, n).stderr)
    drawn = generator.binomial(n, [parent + least, parent], (2000, 2)) / n
    told = np.mean([shares(a, b, n).p(0)[0] < 0.05 for a, b in drawn])
    assert told == pytest.approx(0.8, abs=0.04)
