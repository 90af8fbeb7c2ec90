"""Published lists of memorized rows, from made-up files through the command to tables and figures: what was planted comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from published.row_lists import REPOSITORY, Truth, memorized, nested, write_split
from trajectories import cli, suites, tables
from trajectories.experiments.memorization.parts import counts, published, published_lists
from trajectories.experiments.memorization.parts.published import Counts
from trajectories.experiments.memorization.settings import AnalyseSettings
from trajectories.layout import Layout
from trajectories.suites import Model, load_suite

STEPS, PER_STEP = 400, 64
TRUTH = Truth(STEPS * PER_STEP, slope=0.8, repeats=0.05)
EARLY = (100, 200, 300)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The command's chain on a suite as Pythia's, with fewer and smaller batches."""
    folder = tmp_path_factory.mktemp("lists")
    written = yaml.safe_load((suites.FOLDER / "pythia-memorized.yaml").read_text())
    written["orders"]["pile-standard"] = {"row_tokens": 2049, "rows": STEPS * PER_STEP}
    written["defaults"] |= {"rows_per_step": PER_STEP, "tokens_per_step": 2048 * PER_STEP, "steps": [STEPS], "steps_total": STEPS}
    written["models"] = [m for m in written["models"] if m["name"] in ("pythia-70m", "pythia-410m", "pythia-12b")]
    written["models"][-1]["steps"] = [*EARLY, STEPS]
    (folder / "little-lists.yaml").write_text(yaml.safe_dump(written))
    generator, data, rows = np.random.default_rng(7), folder / REPOSITORY / "data", np.empty(0, np.int64)
    for size, n in (("70m", 400), ("410m", 800), ("12b", 1500)):
        rows = nested(rows, memorized(TRUTH, n, TRUTH.rows, generator), 0.9, generator)
        write_split(data, f"duped.{size}", rows, TRUTH, generator, files=2)
    for step in reversed(EARLY):  # a fifth of what an earlier checkpoint has memorized is lost by the next
        rows = rows[rows < step * PER_STEP]
        rows = np.union1d(rows, memorized(TRUTH, len(rows) // 4, step * PER_STEP, generator))
        write_split(data, f"duped.12b.{step}", rows, TRUTH, generator)
    config = folder / "config.yaml"
    analyse = {"simulations": 40, "process": {"replicates": 99}, "published": {"width": 64, "widths": [64, 256], "block": 10}}
    chosen = {"suite": "little-lists", "experiments": ["memorization"], "data_dir": str(folder), "results": str(folder / "results")}
    config.write_text(yaml.safe_dump({**chosen, "memorization": {"analyse": analyse}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(suites.VARIABLE, str(folder))
        for model in ("pythia-70m", "pythia-410m", "pythia-12b"):
            for verb in ("published", "audit"):
                assert cli.main([verb, model, "--config", str(config)]) == 0
        for verb in ("analyse", "figures"):
            assert cli.main([verb, "memorization", "--config", str(config)]) == 0
    return Layout(folder / "results" / "little-lists")


@pytest.fixture(scope="module")
def claims(results: Layout) -> pd.DataFrame:
    return tables.read_table(results.claims("memorization"))


def extra(results: Layout, name: str) -> pd.DataFrame:
    return tables.read_table(results.trajectories(f"memorization.{name}"))


def test_each_model_has_one_primary_claim_on_the_order_at_its_last_step_and_it_covers_the_planted_slope(claims: pd.DataFrame) -> None:
    primary = claims[(claims["id"] == "late-rows-memorized") & (claims["role"] == "primary")]
    assert sorted(primary["model"]) == ["pythia-12b", "pythia-410m", "pythia-70m"]
    assert set(primary["step"]) == {STEPS}
    # what is planted is the trend of the log rate; that of the log odds is a little larger where events are not rare
    assert ((primary["ci_low"] - 0.1 < TRUTH.slope) & (TRUTH.slope < primary["ci_high"])).all()
    assert primary.set_index("model").loc["pythia-12b", "verdict"] == "supported"
    assert primary["reason"].str.contains("Copies within the order are not known").all()
    assert primary["prediction"].str.startswith("Among all rows seen").all()


def test_no_claim_needs_what_lists_do_not_tell(claims: pd.DataFrame) -> None:
    assert not claims["id"].str.contains("likel|canar|reproduc").any()
    assert {"recent-rows-memorized"} < set(claims["id"])


def test_repeats_do_not_count_and_the_share_is_that_of_all_rows(results: Layout) -> None:
    rows = tables.read_table(results.published("pythia-70m"))
    assert not rows.duplicated().any()
    found = tables.read_table(results.trajectories("memorization")).query("metric == 'extractable' and model == 'pythia-70m'").iloc[0]
    assert found["n"] == TRUTH.rows
    assert found["value"] == pytest.approx(len(rows) / TRUTH.rows)


def test_the_planted_share_is_retained_and_nothing_comes_back(results: Layout) -> None:
    table = tables.read_table(results.trajectories("memorization")).query("model == 'pythia-12b'")
    retained = table[table["metric"] == "retained"]
    assert sorted(retained["step"]) == [200, 300, 400]
    assert retained["value"].to_numpy() == pytest.approx(0.8, abs=0.03)
    curve = extra(results, "forgetting").query("what == 'still memorized'")
    assert curve["value"].is_monotonic_decreasing
    assert (curve["ci_low"] <= curve["value"]).all()


def test_an_early_checkpoint_and_a_smaller_model_forecast_as_planted(results: Layout) -> None:
    pairs = extra(results, "prediction").query("predictor == 'pythia-70m' and target == 'pythia-410m'").set_index("metric")["value"]
    assert pairs["precision"] == pytest.approx(0.9, abs=0.04)
    table = tables.read_table(results.trajectories("memorization")).query("level == 'predicts the last checkpoint' and step == 300")
    values = table.set_index("metric")["value"]
    assert values["precision"] == pytest.approx(0.8, abs=0.03)
    assert values["recall"] == 1


def test_the_calibration_finds_wrong_verdicts_rare(results: Layout) -> None:
    table = tables.read_table(results.calibration("memorization")).query("claim == 'late-rows-memorized'")
    assert (table.loc[table["truth"] <= table["margin"], "rate_supported"] <= 0.2).all()
    assert (table.loc[table["truth"] >= table["margin"], "rate_refuted"] <= 0.2).all()


def test_figures_are_those_that_lists_allow(results: Layout) -> None:
    names = {path.stem for path in results.figures("memorization").glob("*.svg")}
    assert {"memorized-by-size", "memorized-over-training", "position-memorized", "forgetting", "models-forecast-models"} <= names
    assert not names & {"likelihood", "canaries"}


def test_published_counts_follow_a_power_law_of_known_exponent_and_name_their_source() -> None:
    table = counts.published()
    standard = table[(table["order"] == "pile-standard") & (table["step"] == 143000)]
    assert standard["memorized"].tolist() == [463953, 689673, 970341, 1256141, 1373722, 1675077, 2120969, 2382326]
    assert (table["rows"] == 1024 * table["step"]).all()
    assert table["source"].str.startswith("EleutherAI/pythia-memorized-evals").all()
    suite = load_suite("pythia-memorized")
    for r in standard.itertuples():
        assert suite.model(str(r.model)).parameters_non_embedding == r.parameters_non_embedding
    x = np.geomspace(1e6, 1e10, 6)
    fitted = counts.exponent(x, 3 * x**0.25)
    assert fitted is not None
    assert fitted["slope"] == pytest.approx(0.25)
    assert counts.exponent(x[:2], x[:2]) is None


def model(steps: int = 3) -> Model:
    return (
        load_suite("pythia-memorized").model("pythia-70m").model_copy(update={"rows_per_step": 10, "steps": [steps], "steps_total": steps})
    )


def test_rows_are_counted_by_batch_and_those_not_yet_seen_are_left_out() -> None:
    counted = Counts.of(model(), 3, np.array([0, 9, 10, 29, 30, 99]))
    assert counted.events.tolist() == [2, 1, 1]
    assert counted.position == pytest.approx([4.5 / 29, 14.5 / 29, 24.5 / 29])


def test_lists_are_compared_over_the_rows_that_both_had_seen() -> None:
    found = published_lists.forecast(np.array([1, 5, 12, 40]), np.array([5, 12, 13, 29, 60]), 30, 10)
    assert found["precision"].value == pytest.approx(2 / 3)
    assert found["recall"].value == pytest.approx(2 / 4)
    assert found["base_rate"].value == pytest.approx(4 / 30)
    assert np.isnan(published_lists.forecast(np.array([50]), np.array([60]), 30, 10)["precision"].value)


def test_a_step_up_at_the_end_is_recency_and_not_a_slope() -> None:
    settings, slopes, steps_up = AnalyseSettings(), [], []
    for seed in range(20):
        listed = memorized(Truth(800 * 200, recency=1.0), 4000, 800 * 200, np.random.default_rng(seed))
        counted = Counts.of(model(800).model_copy(update={"rows_per_step": 200}), 800, listed)
        slopes.append(published.regress(counted, settings).result("position").estimate)
        steps_up.append(published.regress(counted, settings, recency=True).result(published.WINDOW).estimate)
    assert np.mean(slopes) == pytest.approx(0, abs=0.05)
    assert np.mean(steps_up) == pytest.approx(1.0, abs=0.1)


def test_a_suite_of_lists_that_are_not_there_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"suite: pythia-memorized\nexperiments: [memorization]\ndata_dir: {tmp_path}\nresults: {tmp_path / 'results'}\n")
    assert cli.main(["published", "pythia-70m", "--config", str(config)]) == 1
    assert f"has no folder '{REPOSITORY}'" in capsys.readouterr().err
