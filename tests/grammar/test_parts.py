"""What the parts find in models whose learning is known, and that their claims keep their level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from grammar.small import measured, paradigms
from sklearn.metrics import cohen_kappa_score
from trajectories.analysis import Analysis, AnalysisContext
from trajectories.experiments.grammar.analyse import analyse
from trajectories.experiments.grammar.parts import dimensions, likeness, order, pace
from trajectories.experiments.grammar.scores import Scores, blimp_facts
from trajectories.experiments.grammar.settings import AnalyseSettings
from trajectories.statistics.acquisition import Criterion
from trajectories.statistics.calibration import calibrate
from trajectories.statistics.claims import decide, row
from trajectories.suites import load_suite

Make = Callable[..., AnalysisContext]
CLUSTERS = np.repeat(np.arange(13), [2, 7, 4, 5, 3, 2, 6, 2, 5, 4, 8, 9, 10])


@pytest.fixture(scope="module")
def found(analysis_context: Make) -> Analysis:
    """With n-gram log-probabilities that decide as model a does early on, and a fall and a jump put into model b's trajectories."""
    context = analysis_context(160)
    shown = context.stimuli
    assert shown is not None
    early = measured(shown, "a", 10)["logprob"].to_numpy()
    shown = shown.assign(logprob_1gram=early[::-1], logprob_2gram=early)

    def read(model: str, step: int) -> pd.DataFrame:
        table = measured(shown, model, step)
        if model != "b" or not 60 <= step <= 100:
            return table
        fallen = (shown["paradigm"] == "agreement_0").to_numpy()
        swapped = table["logprob"].to_numpy().copy()
        rows = np.flatnonzero(fallen & (np.arange(len(shown)) % 4 < 2))
        swapped[rows] = -20 - swapped[rows]
        return table.assign(logprob=swapped)

    return analyse(replace(context, stimuli=shown, read=read))


def test_a_fall_is_named_and_no_other(found: Analysis) -> None:
    table = found.extra["shapes"]
    named = table[table["shape"] != "none"]
    assert named[["model", "paradigm"]].to_numpy().tolist() == [["b", "agreement_0"]]
    row = named.iloc[0]
    assert row["shape"] == "U-shape"
    assert row["to_step"] in (60, 80, 100)
    assert row["p_adjusted"] < 0.05
    assert any("b agreement_0 (U-shape" in note for note in found.notes)


def test_sigmoids_of_sigmoid_trajectories_fit_and_have_their_middle(found: Analysis) -> None:
    table = found.extra["sigmoids"]
    own = table[(table["model"] == "a") & (table["setting"] == "planted")].set_index("paradigm")
    true = dict(zip(paradigms()["paradigm"], 100 * (10 + 10 * np.arange(12)), strict=True))
    late = list(own.index[2:8])
    assert own.loc[late, "middle_tokens"].to_numpy() == pytest.approx([true[p] for p in late], rel=0.1)
    fallen = table[(table["model"] == "b") & (table["paradigm"] == "agreement_0")].iloc[0]
    assert not fallen["fits"]


def test_decisions_like_the_ngrams_early_are_found_and_the_claim_has_a_row_for_each_n(found: Analysis) -> None:
    table = found.extra["likeness"].set_index(["model", "ngram", "step"])
    assert table.loc[("a", 2, 10), "kappa"] == pytest.approx(1)
    assert table.loc[("a", 2, 10), "kappa"] > table.loc[("a", 2, 160), "kappa"] + 0.3
    rows = found.claims[found.claims["id"] == likeness.CLAIM]
    assert rows[rows["role"] == "primary"]["model"].tolist() == ["a", "b", "c"]
    assert set(rows["group"]) == {"planted", "planted 1-gram"}
    assert rows[(rows["model"] == "a") & (rows["group"] == "planted")]["estimate"].iloc[0] > 0.3
    assert (found.trajectories["metric"] == "ngram_agreement").any()


def test_size_is_found_to_change_the_tokens_where_it_does(found: Analysis) -> None:
    rows = found.claims[found.claims["id"] == pace.CLAIM].set_index(["model", "group"])
    estimate = rows.loc[("c", "planted"), "estimate"]
    assert estimate == pytest.approx(np.log(0.67), abs=0.25)
    assert rows.loc[("c", "planted"), "role"] == "primary"
    assert rows.loc[("c", "planted fixed"), "role"] == "descriptive"
    early = found.claims[(found.claims["id"] == pace.EARLY) & (found.claims["model"] == "c")].iloc[0]
    assert early["role"] == "descriptive"
    assert "By 1,000 tokens" in early["reason"]
    assert "kept as such" in rows.loc[("c", "planted"), "reason"]


def test_without_ngram_columns_there_is_a_note_and_no_claim(analysis_context: Make) -> None:
    plain = analyse(analysis_context(20))
    assert "likeness" not in plain.extra
    assert any(note.startswith("No agreement with n-gram models") for note in plain.notes)


def test_kappa_is_that_of_a_peer() -> None:
    generator = np.random.default_rng(3)
    model, other = generator.random((2, 4, 100)) < [[[0.7]], [[0.4]]]
    shares = np.stack([likeness.cells(m, o) for m, o in zip(model, other, strict=True)])
    assert likeness.kappa(shares) == pytest.approx(cohen_kappa_score(model.ravel(), other.ravel()))
    alone = likeness.within(shares[:1])
    assert alone == pytest.approx(cohen_kappa_score(model[0], other[0]))


@pytest.mark.parametrize("rank", [1, 3])
def test_as_many_dimensions_are_found_as_there_are(rank: int) -> None:
    generator = np.random.default_rng(4)
    shapes = np.linalg.qr(generator.standard_normal((12, rank)))[0]
    p = 0.7 + generator.uniform(-0.2, 0.2, (60, rank)) @ shapes.T
    accuracy = generator.binomial(2000, np.clip(p, 0, 1)).T / 2000
    facts = pd.DataFrame({"paradigm": [f"p{i}" for i in range(60)]})
    one = Scores("m", "s", np.arange(12), np.arange(12), facts, np.full(60, 2000), accuracy)
    rows = dimensions.components(one, generator, 200)
    assert sum(r["above_noise"] for r in rows) == rank
    assert rows[0]["share"] > rows[0]["shuffled"]


@pytest.mark.parametrize("which", [pace.CLAIM, pace.EARLY, likeness.CLAIM])
def test_decisions_at_the_margin_keep_their_level_and_clear_effects_are_found(which: str) -> None:
    settings = AnalyseSettings()
    if which == pace.CLAIM:
        claim = pace.declared(settings.same_tokens_factor)
        grids = [np.log(np.geomspace(1e6, 1e9, 40))] * 2
        simulate = partial(pace.simulated, centre=np.log(1e8), sd=0.6, grids=grids, clusters=CLUSTERS)
    elif which == pace.EARLY:
        claim = pace.declared_early(settings)
        simulate = partial(pace.simulated_early, rate=0.8, clusters=np.concatenate([CLUSTERS + 13 * i for i in range(5)]))
    else:
        claim = likeness.declared(settings)
        simulate = partial(likeness.simulated, late=0.1, n=np.full(len(CLUSTERS), 200), rate=0.6, clusters=CLUSTERS)
    table = calibrate(claim, simulate, n_sim=400, seed=2, truths=(0.0, 1.0, 2.0)).set_index("truth")
    none, margin, twice = (table.iloc[i] for i in range(3))
    assert margin["rate_supported"] <= 0.085
    assert margin["rate_refuted"] <= 0.085
    assert none["rate_refuted"] > 0.6
    assert twice["rate_supported"] > 0.6


def test_most_before_the_first_checkpoint_allow_no_verdict_on_tokens() -> None:
    low = np.full((2, 20), -np.inf)
    low[:, :8] = np.arange(8) / 4
    high = np.where(np.isinf(low), 0.0, low + 0.25)
    result = pace.ratio(low, high, np.arange(20) % 6)
    assert "60% of a model's paradigms are acquired before its first checkpoint" in str(result.problem)


def test_a_model_that_ends_lower_and_wanders_is_no_later() -> None:
    """Both learn each paradigm at one time, over Pythia's checkpoints; the last crossing finds the lower one later all the same."""
    steps = np.r_[0, 2 ** np.arange(10), np.arange(1000, 144000, 1000)].astype(float)
    generator, log_steps = np.random.default_rng(7), np.log2(np.maximum(steps, 0.5))[:, None]
    found: dict[str, list[tuple[float, str]]] = {"midway": [], "isotonic": []}
    claim = pace.declared(AnalyseSettings().same_tokens_factor)
    for _ in range(12):
        middle = 11 + 1.5 * generator.standard_normal(len(CLUSTERS))
        both = [0.5 + gain / (1 + np.exp((middle - log_steps) / 0.6)) for gain in (0.35, 0.2)]
        both = [np.clip(level + 0.03 * generator.standard_normal(level.shape), 0, 1) for level in both]
        for kind, results in found.items():
            index = np.array([Criterion(kind).index(level) for level in both])
            low, high = np.append(0, steps)[index], np.append(steps, np.inf)[index]
            kept = np.isfinite(high).all(0)
            ends = np.where(low <= 0, -np.inf, np.log(np.maximum(low, 1))), np.log(np.maximum(high, 1))
            result = pace.ratio(ends[0][:, kept], ends[1][:, kept], CLUSTERS[kept])
            results.append((result.estimate, decide([row(claim, result, "m", 0)])[0][0]))
    estimates = {kind: np.mean([estimate for estimate, _ in results]) for kind, results in found.items()}
    assert estimates["midway"] < -0.25
    assert abs(estimates["isotonic"]) < 0.1
    assert all(verdict == "refuted" for _, verdict in found["isotonic"])


def test_models_are_grouped_by_what_they_share() -> None:
    suite = load_suite("pythia-v0-published")
    names = ["pythia-70m-v0", "pythia-70m-deduped-v0", "pythia-1b-v0"]
    found = dict(order.groups(suite, names))
    assert found == {
        "all models": names,
        "size 18,915,328": ["pythia-70m-v0", "pythia-70m-deduped-v0"],
        "order pile-standard": ["pythia-70m-v0", "pythia-1b-v0"],
    }
    assert order.differs(suite, names[0], names[1]) == "order"
    assert order.differs(suite, names[1], names[2]) == "size, order"


def test_published_accuracies_alone_give_all_that_they_can(analysis_context: Make) -> None:
    suite = load_suite("pythia-v0-published")
    suite = suite.model_copy(update={"models": [m for m in suite.models if m.name in ("pythia-70m-v0", "pythia-1b-v0")]})
    generator, facts, rows = np.random.default_rng(6), blimp_facts().iloc[::3].reset_index(drop=True), []
    for model in suite.models:
        late = 8 if model.name == "pythia-70m-v0" else 4
        for i, step in enumerate(model.all_steps):
            for j, paradigm in enumerate(facts["paradigm"]):
                p = 0.5 + 0.45 / (1 + np.exp(-(i - late - j % 3)))
                if (model.name, j) == ("pythia-1b-v0", 0) and i > 10:
                    p = 0.5
                rows.append((model.name, step, f"blimp_{paradigm}", "acc", generator.binomial(1000, p) / 1000, 0.01, 1000, 0))
    columns = ["model", "step", "task", "metric", "value", "stderr", "n", "num_fewshot"]
    checkpoints = pd.DataFrame([(m.name, s, m.tokens(s)) for m in suite.models for s in m.all_steps], columns=["model", "step", "tokens"])
    context = replace(analysis_context(), suite=suite, checkpoints=checkpoints, stimuli=None, published=pd.DataFrame(rows, columns=columns))
    found = analyse(context)
    shapes = found.extra["shapes"]
    assert shapes[shapes["unlearned"]][["model", "paradigm"]].to_numpy().tolist() == [["pythia-1b-v0", facts["paradigm"][0]]]
    claim = found.claims[found.claims["id"] == pace.CLAIM].iloc[0]
    assert claim["estimate"] < -np.log(1.3)
    assert claim["verdict"] in ("supported", "inconclusive")
    assert (found.extra["transitions"]["of"] == 2).all()
    assert any("Published results have accuracies only" in note for note in found.notes)
    assert any(note.startswith("No agreement with n-gram models") for note in found.notes)
