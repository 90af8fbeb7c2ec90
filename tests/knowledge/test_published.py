"""Published benchmarks: what the files hold, what is left out, and whether claims on the course decide as they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from trajectories import cli, suites, tables
from trajectories.experiments.knowledge import benchmarks
from trajectories.experiments.knowledge.benchmarks import Course
from trajectories.experiments.knowledge.parts import published
from trajectories.experiments.knowledge.sections import BenchmarkSettings
from trajectories.hub.duplicates import results_of_others
from trajectories.layout import Layout
from trajectories.statistics import calibration

MODELS = ("pythia-70m", "pythia-2.8b", "pythia-2.8b-deduped")
ZERO_SHOT, FIVE_SHOT = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000], [13000, 23000, 33000, 43000]


def chain(folder: Path, data_dir: Path, anomalies: bool) -> Layout:
    """The command's verbs on three of upstream's models, with or without what the suite knows of contaminated results."""
    written = yaml.safe_load((suites.FOLDER / "pythia-published.yaml").read_text())
    written["models"] = [m for m in written["models"] if m["name"] in MODELS]
    if not anomalies:
        written["defaults"].pop("anomalies")
        for model in written["models"]:
            model.pop("anomalies", None)
    (folder / "some-published.yaml").write_text(yaml.safe_dump(written))
    config = folder / "config.yaml"
    chosen = {"suite": "some-published", "experiments": ["knowledge"], "data_dir": str(data_dir), "results": str(folder / "results")}
    config.write_text(yaml.safe_dump({**chosen, "knowledge": {"analyse": {"simulations": 40}}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(suites.VARIABLE, str(folder))
        for verb in ("published", "audit"):
            for model in MODELS:
                assert cli.main([verb, model, "--config", str(config)]) == 0
        for verb in ("analyse", "figures"):
            assert cli.main([verb, "knowledge", "--config", str(config)]) == 0
    return Layout(folder / "results" / "some-published")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Layout:
    return chain(tmp_path_factory.mktemp("known"), data_dir, anomalies=True)


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Layout:
    return chain(tmp_path_factory.mktemp("unknown"), data_dir, anomalies=False)


def course(layout: Layout, model: str, shots: str, group: str = "LAMBADA") -> pd.Series:
    table = tables.read_table(layout.trajectories("knowledge"))
    own = table[(table["model"] == model) & (table["setting"] == shots) & (table["group"] == group) & (table["metric"] == "accuracy")]
    return own.set_index("step")["value"]


def test_contaminated_results_that_the_suite_knows_are_left_out_and_named(known: Layout) -> None:
    contaminated = {0, *ZERO_SHOT, *FIVE_SHOT}
    assert not contaminated & set(course(known, "pythia-2.8b", "0-shot").index)
    assert not contaminated & set(course(known, "pythia-2.8b", "5-shot").index)
    assert set(ZERO_SHOT) < set(course(known, "pythia-2.8b-deduped", "0-shot").index), "those of the other model stay"
    notes = " ".join(tables.metadata(known.trajectories("knowledge"))["notes"])
    assert "pythia-2.8b at steps 13000, 23000, 33000, 43000: The five-shot results equal those of pythia-2.8b-deduped" in notes
    assert "pythia-2.8b at steps 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000: " in notes


def test_without_that_knowledge_the_values_give_them_away_and_both_models_lose_them(unknown: Layout) -> None:
    for model, other in (("pythia-2.8b", "pythia-2.8b-deduped"), ("pythia-2.8b-deduped", "pythia-2.8b")):
        zero, five = course(unknown, model, "0-shot"), course(unknown, model, "5-shot")
        assert not set(ZERO_SHOT) & set(zero.index)
        assert not set(FIVE_SHOT) & set(five.index)
        assert set(FIVE_SHOT) < set(zero.index), "results that differ stay"
        left = pd.DataFrame(tables.metadata(unknown.trajectories("knowledge"))["left_out"])
        own = left[(left["model"] == model) & left["detail"].str.contains(f"results equal those of {other} ")]
        assert sorted(own["step"]) == ZERO_SHOT + FIVE_SHOT
    assert len(course(unknown, "pythia-70m", "0-shot")) == 26, "no other result is accused (step 1 equals step 0)"


def test_a_model_that_shares_a_start_is_not_accused() -> None:
    rows = [(m, s, f"t{i}", "acc", (i * 7 + s) / 1000, 0) for m in ("parent", "branch") for s in (1, 50) for i in range(30)]
    shared = pd.DataFrame(rows, columns=["model", "step", "task", "metric", "value", "num_fewshot"])
    assert set(results_of_others(shared)["step"]) == {50}
    assert results_of_others(shared, {("parent", 50), ("branch", 50)}).empty


def test_values_are_upstream_s_with_wilson_intervals_and_chance_below_what_is_learnt(known: Layout) -> None:
    table = tables.read_table(known.trajectories("knowledge"))
    last = table[(table["model"] == "pythia-2.8b") & (table["step"] == 143000) & (table["setting"] == "0-shot")]
    row = last[(last["group"] == "SciQ") & (last["metric"] == "accuracy")].iloc[0]
    assert (row["value"], row["n"]) == (pytest.approx(0.882, abs=0.02), 1000)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert {"LAMBADA", "SciQ", "ARC (easy)", "ARC (challenge)", "PIQA", "WinoGrande", "LogiQA", "WSC", "MMLU"} == set(
        last.loc[last["level"] == "task", "group"]
    )


def test_mmlu_pools_all_questions_and_its_categories_add_up_to_it(known: Layout) -> None:
    table = tables.read_table(known.trajectories("knowledge")).query("model == 'pythia-70m' and step == 143000 and setting == '5-shot'")
    table = table[(table["metric"] == "accuracy") & table["group"].str.startswith("MMLU")].set_index("group")
    parts = table[table["level"] == "category"]
    assert sorted(parts.index) == ["MMLU: STEM", "MMLU: humanities", "MMLU: other", "MMLU: social sciences"]
    assert parts["n"].sum() == table.at["MMLU", "n"] == 14042
    assert (parts["n"] * parts["value"]).sum() / 14042 == pytest.approx(table.at["MMLU", "value"])


def test_each_model_has_one_primary_claim_at_its_last_step_and_figures_are_drawn(known: Layout) -> None:
    claims = tables.read_table(known.claims("knowledge"))
    primary = claims[claims["role"] == "primary"]
    assert sorted(primary["model"]) == sorted(MODELS)
    assert set(primary["id"]) == {benchmarks.RISES}
    assert set(primary["step"]) == {143000}
    assert primary.set_index("model").loc["pythia-2.8b-deduped", "verdict"] == "supported"
    names = {path.stem for path in known.figures("knowledge").glob("*.svg")}
    assert {"benchmarks-0-shot", "benchmarks-5-shot", "mmlu-by-category", "late-gains"} <= names


SETTINGS = BenchmarkSettings()


def made(slope: float, tasks: int = 8, items: int = 2000) -> Course:
    steps = np.array([1000, *range(3000, 144000, 10000)])
    x = np.log10(steps / 143000)[:, None]
    levels = 0.6 + np.linspace(slope - 0.01, slope + 0.01, tasks) * x + 0.004 * np.sin(np.arange(len(steps)))[:, None]
    names = ["LAMBADA", *(f"task {i}" for i in range(1, tasks))]
    return Course("made", steps, steps * 2.0**21, names, levels, np.full(tasks, float(items)), np.full(tasks, 0.25))


def test_the_slope_is_what_was_put_in() -> None:
    flat = made(0.05)
    assert benchmarks.rise(flat, SETTINGS).estimate == pytest.approx(0.05, abs=0.01)
    assert flat.late(10).sum() == 13


@pytest.mark.parametrize("claim", [benchmarks.RISES, benchmarks.DECLINES])
def test_wrong_verdicts_are_rare_and_twice_the_margin_is_found(claim: str) -> None:
    declared = benchmarks.claims(SETTINGS)[claim]
    real = made(0.05)

    def simulate(generator: np.random.Generator, effect: float):
        if claim == benchmarks.RISES:
            return benchmarks.simulated_rise(generator, effect, real, SETTINGS)
        return benchmarks.simulated_decline(generator, effect, Course(**{**vars(real), "items": real.items * 2.5}), "LAMBADA")

    results = calibration.simulated(declared, simulate, n_sim=80, seed=1, truths=(0, 1, 2), at_margin=3)
    power = calibration.power(declared, results)
    assert power["rate_wrong"] <= 0.05
    assert power["power_supported"] > 0.5
    assert power["power_refuted"] > 0.5


def test_errors_are_cautious_however_the_checkpoints_of_a_run_depend_on_each_other() -> None:
    generator, real = np.random.default_rng(3), made(0.02)
    results = [benchmarks.simulated_rise(generator, 0.02, real, SETTINGS) for _ in range(60)]
    assert np.std([r.estimate for r in results]) < np.mean([r.stderr for r in results])
    assert np.mean([r.estimate for r in results]) == pytest.approx(0.02, abs=0.003)


def test_a_level_is_reached_between_two_checkpoints_for_good() -> None:
    tokens = np.array([1e6, 1e7, 1e8, 1e9])
    at, told = benchmarks.reached(tokens, np.array([0.2, 0.6, 0.4, 0.6]), 0.5)
    assert told
    assert at == pytest.approx(10**8.5), "what is lost again was not yet reached"
    assert benchmarks.reached(tokens, np.array([0.6, 0.6, 0.6, 0.6]), 0.5) == (1e6, False)
    assert benchmarks.reached(tokens, np.array([0.2, 0.6, 0.6, 0.4]), 0.5)[0] == np.inf


def test_a_head_start_is_the_ratio_of_tokens_at_the_smaller_model_s_level() -> None:
    tokens = np.logspace(6, 10, 9)

    def rising(shift: float) -> np.ndarray:
        return (0.25 + 0.5 / (1 + 10 ** (-2 * (np.log10(tokens) - 8 + shift))))[:, None]

    def one(name: str, shift: float) -> Course:
        return Course(name, np.arange(9), tokens, ["SciQ"], rising(shift), np.array([1000.0]), np.array([0.25]))

    starts = benchmarks.head_starts(one("large", 0.5), one("small", 0), SETTINGS)
    assert starts["SciQ"] == pytest.approx(0.5, abs=0.05)
    assert not benchmarks.head_starts(one("large", 3), one("small", 0), SETTINGS), "before the first checkpoint nothing is known"


def test_titles_chance_and_categories_come_from_the_table() -> None:
    facts = benchmarks.titled(pd.Series(["sciq", "hendrycksTest-virology", "blimp_x"]))
    assert facts["title"].tolist()[:2] == ["SciQ", "MMLU"]
    assert facts["category"].tolist()[1] == "other"
    assert facts["title"].isna().tolist() == [False, False, True]
    assert published.setting(5) == "5-shot"
