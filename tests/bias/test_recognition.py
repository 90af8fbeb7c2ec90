"""Probes that keep pairs together, prompts that are calibrated, and the relation of two trajectories."""

from __future__ import annotations

import numpy as np
import pandas as pd
from trajectories.experiments.bias import effects
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.parts import probe, prompts, relation
from trajectories.experiments.bias.scores import Scores
from trajectories.experiments.bias.settings import AnalyseSettings
from trajectories.statistics.calibration import EXCEEDED, power, simulated

SETTINGS = AnalyseSettings()


def states(generator: np.random.Generator, groups: int, width: int, signal: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that differ along one direction by ``signal``, and by group in all others."""
    label, group = np.tile([True, False], groups), np.repeat(np.arange(groups), 2)
    x = generator.standard_normal((groups, width))[group] + 0.5 * generator.standard_normal((2 * groups, width))
    x[:, 0] += signal * label
    return x, label, group


def test_a_probe_finds_what_is_there_and_nothing_where_nothing_is() -> None:
    generator = np.random.default_rng(1)
    found = {}
    for signal in (0.0, 3.0):
        areas = []
        for _ in range(6):
            x, label, group = states(generator, 80, 10, signal)
            fold = probe.dealt_to_folds(group, np.zeros(len(group)), 5, generator)
            areas.append(effects.area(probe.out_of_fold(x, label, fold, 0.01), label, group).estimate)
        found[signal] = float(np.mean(areas))
    assert abs(found[0.0] - 0.5) < 0.06
    assert found[3.0] > 0.9


def test_intervals_of_probes_hold_though_probes_are_fitted_anew() -> None:
    generator = np.random.default_rng(9)
    beyond, plain = [], []
    for _ in range(120):
        x, label, group = states(generator, 60, 10, 0.0)
        fold = probe.dealt_to_folds(group, np.zeros(len(group)), 5, generator)
        found = effects.area(probe.out_of_fold(x, label, fold, 0.01), label, group, less=0.5)
        wide = probe.refitted(found, 5)
        beyond.append(wide.ci_low > 0 or wide.ci_high < 0)
        plain.append(found.ci_low > 0 or found.ci_high < 0)
    assert np.mean(beyond) < 0.1 < np.mean(plain)


def test_no_group_is_on_both_sides_and_every_fold_holds_each_kind_alike() -> None:
    group = np.repeat(np.arange(18), 4)
    kind = np.where(group % 2, "she", "he")
    fold = probe.dealt_to_folds(group, kind, 3, np.random.default_rng(2))
    assert all(len(set(fold[group == g])) == 1 for g in range(18))
    for number in range(3):
        assert (kind[fold == number] == "she").sum() == (kind[fold == number] == "he").sum() == 12


def test_a_pronoun_that_fits_half_of_the_occupations_does_not_mislead_the_probe() -> None:
    """States that hold the pronoun alone tell nothing about what fits; folds of uneven kinds would put the area far below 1/2."""
    occupation = np.repeat(np.arange(18), 8)
    kind = np.where(occupation % 2, 1, 0)
    pronoun = np.tile([1, 0], 72)
    label = pronoun == kind
    x = pronoun[:, None] + 0.1 * np.random.default_rng(3).standard_normal((144, 5))
    fold = probe.dealt_to_folds(occupation, kind, 5, np.random.default_rng(4))
    assert abs(effects.area(probe.out_of_fold(x, label, fold, 0.01), label, occupation).estimate - 0.5) < 0.1


def test_control_labels_keep_one_of_each_pair() -> None:
    label, pair = np.tile([True, False], 200), np.repeat(np.arange(200).astype(str), 2)
    dealt = probe.dealt(pair, label, np.random.default_rng(5))
    assert (dealt.reshape(-1, 2).sum(axis=1) == 1).all()
    assert 60 < (dealt != label).reshape(-1, 2).all(axis=1).sum() < 140


def test_layers_are_numbered_from_the_embedding() -> None:
    assert probe.named("all", 4, 5) == [0, 1, 2, 3, 4]
    assert probe.named("3,-3,-1", 6, 3) == [3, 4, 6]


def test_calibration_takes_the_prior_of_the_answer_away() -> None:
    rows, logprob = [], []
    for wording, prior in (("a", 2.0), ("b", -5.0)):
        for variant, lift in (("more", 1.0), ("less", -1.0), ("free", 0.0)):
            for answer in ("yes", "no"):
                rows.append(
                    {
                        "pair_id": f"{'free' if variant == 'free' else 'crows_pairs'}/1",
                        "variant": variant,
                        "setting": wording,
                        "answer": answer,
                    }
                )
                logprob.append((prior + lift) * (answer == "yes"))
    scores = Scores(pd.DataFrame(rows), {"m": np.array([0])}, {"m": np.array([logprob])})
    asked, odds = prompts.calibrated(scores)
    raw, free = odds["m"]
    corrected = raw[0] - free[0][:, None]
    assert asked["variant"].tolist() == ["less", "more"]
    assert np.allclose(corrected, [[-1, 1], [-1, 1]])


def test_decisions_on_areas_keep_their_level() -> None:
    label, pair = np.tile([True, False], 150), np.repeat(np.arange(150).astype(str), 2)
    clusters = np.repeat(np.arange(150), 2)
    own = claims(SETTINGS)
    tried = {
        "recognized-in-prompts": prompts.simulation(label, pair, clusters),
        "recognized-in-states": probe.simulation(0.55, label, pair, clusters, 5),
    }
    for name, simulate in tried.items():
        found = power(own[name], simulated(own[name], simulate, n_sim=100, seed=1, truths=(0.0, 1.0, 4.0), at_margin=3))
        assert found["level"] != EXCEEDED, name
        large = simulated(own[name], simulate, n_sim=40, seed=2, truths=(4.0,))[4.0]
        assert np.mean([r.ci_low > own[name].margin for r in large]) > 0.7


def test_one_series_that_leads_another_is_found_at_its_lead() -> None:
    generator = np.random.default_rng(6)
    a = generator.standard_normal(60)
    b = np.concatenate([generator.standard_normal(2), a[:-2]]) + 0.3 * generator.standard_normal(60)
    found = {r["lag"]: r for r in relation.lagged(a, b, 3)}
    best = max(found, key=lambda lag: found[lag]["value"])
    assert best == 2
    assert found[2]["p"] < 0.05
    assert found[2]["value"] > found[2]["null_high"]
    assert abs(found[-2]["value"]) < 0.4


def test_changes_that_are_few_are_not_decided() -> None:
    a = np.random.default_rng(7).standard_normal(17)
    assert relation.together(a, a, 30).problem is not None


def test_the_decision_on_changes_keeps_its_level_with_autocorrelated_ones() -> None:
    claim = claims(SETTINGS)["develop-together"]
    generator = np.random.default_rng(8)
    changes = np.zeros((150, 2))
    for i in range(1, 150):
        changes[i] = 0.4 * changes[i - 1] + generator.standard_normal(2)
    found = power(claim, simulated(claim, relation.simulation(changes, 30), n_sim=100, seed=1, at_margin=4))
    assert found["level"] != EXCEEDED
    assert found["power_refuted"] > 0.8
    assert found["power_supported"] > 0.8
