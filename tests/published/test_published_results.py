"""Published results: EleutherAI's real files, both layouts, true steps, and what is absent or told twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from published.archives import COMMIT, Archives, archive
from trajectories import cli, download, published, tables
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.suites import Model, Published, load_suite

V0 = load_suite("pythia-v0-published")


@pytest.fixture(scope="module")
def results(data_dir: Path) -> Path:
    assert V0.published is not None
    return published.root(V0.published, data_dir)


def collect(name: str, results: Path, suite: str = "pythia-v0-published") -> published.Collected:
    chosen = load_suite(suite)
    return published.collect(chosen.model(name), results, chosen.published.items if chosen.published else None)


def blimp(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["task"].str.startswith("blimp_") & (table["metric"] == "acc")]


@pytest.mark.parametrize("model", [m for m in V0.models if m.parent is None], ids=lambda m: m.name)
def test_blimp_of_the_first_release_is_15_true_steps_of_67_paradigms_of_1000_items(model: Model, results: Path) -> None:
    table = blimp(collect(model.name, results).table)
    if model.name in ("pythia-2.8b-v0", "pythia-160m-deduped-v0", "pythia-12b-deduped-v0") and table.empty:
        pytest.skip(f"{model.name} is not among the local results")
    assert table["step"].nunique() == 15
    assert set(table["step"]) <= set(model.all_steps)
    assert table.groupby("step").size().unique().tolist() == [67]
    assert table["n"].unique().tolist() == [1000]
    assert not table.duplicated(["step", "task", "num_fewshot"]).any()
    assert set(table["num_fewshot"]) == {0}
    assert model.tokens(model.all_steps[-1]) == 299_892_736_000


def test_a_4m_token_run_keeps_its_real_steps(results: Path) -> None:
    table = blimp(collect("pythia-160m-v0", results).table)
    model = V0.model("pythia-160m-v0")
    assert (table["step"].min(), table["step"].max()) == (1500, 71500)
    assert model.tokens(1500) == V0.model("pythia-70m-v0").tokens(3000)


def test_a_value_is_that_of_the_file(results: Path) -> None:
    table = collect("pythia-160m-v0", results).table
    row = table[(table["step"] == 11500) & (table["task"] == "hendrycksTest-electrical_engineering") & (table["metric"] == "acc")].iloc[0]
    content = json.loads((results / row["file"]).read_text())
    assert row["value"] == content["results"]["hendrycksTest-electrical_engineering"]["acc"]
    assert row["stderr"] == content["results"]["hendrycksTest-electrical_engineering"]["acc_stderr"]
    assert (row["n"], row["layout"], row["sha256"]) == (145, "old", tables.sha256(results / row["file"]))


def test_two_files_of_one_step_are_told_and_the_first_is_taken(results: Path) -> None:
    found = collect("pythia-70m-v0", results)
    told = [note for note in found.notes if "step123000" in note]
    assert len(told) == 1
    assert "all values are equal; the earlier are taken" in told[0]
    files = found.table[(found.table["step"] == 123000) & found.table["task"].str.startswith("blimp")]["file"].unique()
    assert [Path(f).name for f in files] == ["pythia-70m-0shot-global_step123000_eval_results_11-25-2022-05-54-21.json"]


def test_a_folder_called_five_shot_that_holds_zero_shot_results_is_told(results: Path) -> None:
    found = collect("pythia-160m-v0", results)
    assert any("five-shot'" in note and "15 files" in note and "repeat results of those in" in note for note in found.notes)
    assert set(found.table["num_fewshot"]) == {0}
    assert set(collect("pythia-70m-v0", results).table["num_fewshot"]) == {0, 5}


def test_results_of_the_second_release_are_read_by_the_revision_inside(results: Path) -> None:
    found = collect("pythia-1.4b-1MtokBS", results, "pythia-published")
    model = load_suite("pythia-published").model("pythia-1.4b-1MtokBS")
    assert sorted(found.table["step"].unique()) == model.all_steps
    assert model.tokens(286_000) == 299_892_736_000


def test_the_long_intervention_is_told_from_the_short_one_in_the_same_folder(results: Path) -> None:
    long = collect("pythia-intervention-long-1.4b-deduped", results, "pythia-published").table
    short = collect("pythia-intervention-1.4b-deduped", results, "pythia-published").table
    assert (long["step"].min(), short["step"].min(), long["step"].nunique(), short["step"].nunique()) == (114000, 134000, 30, 10)
    assert not set(long["file"]) & set(short["file"])


def test_crows_pairs_counts_its_items_and_an_absolute_difference_has_none(results: Path) -> None:
    table = collect("pythia-70m", results, "pythia-published").table
    rows = table[table["task"] == "crows_pairs_english_gender"]
    assert set(rows.loc[rows["metric"] == "pct_stereotype", "n"]) == {320}
    assert rows.loc[rows["metric"] == "likelihood_difference", "n"].isna().all()


def test_winobias_files_say_their_step_inside_alone(results: Path, tmp_path: Path) -> None:
    model = V0.model("pythia-1.4b-deduped-v0").model_copy(
        update={"published": ["pythia-v0/winobias/1.3B"], "steps": list(range(1500, 71501, 500))}
    )
    found = published.collect(model, results)
    assert sorted(found.table["step"].unique())[:2] == [1500, 6500]
    assert sorted(found.table["step"].unique())[-1] == 71500
    assert "wino_bias_type1_pro+What does p stand for" in set(found.table["task"])
    assert set(found.table.loc[found.table["metric"] == "em", "n"].dropna()) == {396}


def test_a_model_without_results_has_an_empty_table_and_a_note(results: Path, tmp_path: Path) -> None:
    model = V0.model("pythia-70m-v0").model_copy(update={"published": ["pythia-v0/absent/zero-shot"]})
    found = published.collect(model, results)
    assert found.table.empty
    assert list(found.table.columns) == published.SCHEMA.names
    assert found.missing == ["pythia-v0/absent/zero-shot"]
    tables.write_table(found.table, tmp_path / "t.parquet", {}, published.SCHEMA)
    assert tables.read_table(tmp_path / "t.parquet").empty


def test_results_that_are_not_there_at_all_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    assert V0.published is not None
    with pytest.raises(
        UserError, match=r"has no folder 'pythia/evals'; copy 'evals' of github\.com/EleutherAI/pythia there, or leave data_dir out"
    ):
        published.root(V0.published, tmp_path)


# files of one's own ----------------------------------------------------------------------------------------------------

MODEL = V0.model("pythia-160m-v0").model_copy(update={"published": ["mine"], "steps": [500, 1500, 2000], "revision_steps_per_step": 2})


def old(step: int, acc: float = 0.5, inside: int | None = -1, **config: Any) -> dict[str, Any]:
    arguments = {"iteration": step if inside == -1 else inside}
    stderr = (acc * (1 - acc) / 99) ** 0.5
    return {
        "results": {"task": {"acc": acc, "acc_stderr": stderr}},
        "versions": {},
        "config": {"model_args": arguments, "num_fewshot": 0, **config},
    }


def write(root: Path, name: str, content: Any) -> Path:
    path = root / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_step_inside_and_the_step_in_the_name_must_agree(tmp_path: Path) -> None:
    write(tmp_path, "x-global_step1500_eval.json", old(2000))
    with pytest.raises(UserError, match=r"named for step 1500, but its settings say 2000"):
        published.collect(MODEL, tmp_path)


def test_a_name_alone_tells_the_step_and_no_step_at_all_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "x_step1500.json", old(0, inside=None))
    assert published.read_file(path, MODEL).step == 1500
    with pytest.raises(UserError, match="does not say of which step"):
        published.read_file(write(tmp_path, "x.json", old(0, inside=None)), MODEL)


def test_a_renamed_revision_is_turned_into_the_true_step(tmp_path: Path) -> None:
    path = write(
        tmp_path, "x.json", old(0) | {"config": {"model_args": "pretrained=a/b,revision=step3000,dtype=float16", "num_fewshot": 0}}
    )
    assert published.read_file(path, MODEL).step == 1500
    path = write(tmp_path, "y.json", old(0) | {"config": {"model_args": "pretrained=a/b,revision=step3001", "num_fewshot": 0}})
    with pytest.raises(UserError, match="revision step3001, which is no step of pythia-160m-v0"):
        published.read_file(path, MODEL)


def test_a_step_that_the_suite_does_not_list_is_left_out_and_told(tmp_path: Path) -> None:
    write(tmp_path, "a_step1500.json", old(1500))
    write(tmp_path, "a_step1700.json", old(1700))
    found = published.collect(MODEL, tmp_path)
    assert found.table["step"].unique().tolist() == [1500]
    assert any("of step 1700, which the suite does not list" in note for note in found.notes)


def test_two_files_that_disagree_are_told(tmp_path: Path) -> None:
    write(tmp_path, "a_step1500.json", old(1500, 0.5))
    write(tmp_path, "b_step1500.json", old(1500, 0.6))
    found = published.collect(MODEL, tmp_path)
    assert found.table["value"].tolist() == [0.5]
    assert any("0 of 1 are equal and values differ by up to 17 %" in note for note in found.notes)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"results": 3}', '{"results": {"task": 1}}', "{'results'"])
def test_what_is_no_result_file_is_named(content: str, tmp_path: Path) -> None:
    write(tmp_path, "a_step1500.json", content)
    with pytest.raises(UserError, match=r"'mine/a_step1500\.json' is no result file of lm-evaluation-harness") as raised:
        published.collect(MODEL, tmp_path)
    assert "\n" not in str(raised.value)


def test_items_follow_from_the_standard_error_of_a_share() -> None:
    assert published.items(0.866, 0.01077776229836968) == 1000  # of a real file
    assert published.items(0.5, (0.25 / 99) ** 0.5) == 100
    assert published.items(4.8, 0.5) is None
    assert published.items(0.5, 0.0123) is None
    assert published.items(1.0, 0.0) is None
    assert published.items(0.5, None) is None


def test_a_perfect_score_takes_the_number_of_items_of_the_same_task(tmp_path: Path) -> None:
    write(tmp_path, "a_step500.json", old(500, 0.5))
    write(tmp_path, "a_step1500.json", old(1500, 1.0))
    assert published.collect(MODEL, tmp_path).table["n"].tolist() == [100, 100]


def test_items_that_no_standard_error_tells_are_those_that_the_suite_knows(tmp_path: Path) -> None:
    write(tmp_path, "a_step500.json", old(500, 1.0))
    write(tmp_path, "a_step1500.json", old(1500, 0.0))
    assert published.collect(MODEL, tmp_path).table["n"].isna().all()
    assert published.collect(MODEL, tmp_path, {"other": 5, "ta*": 100}).table["n"].tolist() == [100, 100]
    write(tmp_path, "a_step2000.json", old(2000, 0.5))
    assert published.collect(MODEL, tmp_path, {"ta*": 7}).table["n"].tolist() == [100, 100, 100]


def test_items_are_left_open_where_the_results_of_a_task_disagree(tmp_path: Path) -> None:
    write(tmp_path, "a_step500.json", old(500, 0.5))
    other = old(1500, 0.4)
    other["results"]["task"]["acc_stderr"] = (0.24 / 49) ** 0.5
    write(tmp_path, "a_step1500.json", other)
    assert published.collect(MODEL, tmp_path).table["n"].isna().all()


def test_results_are_downloaded_at_the_pinned_commit_and_checked(archives: Archives, tmp_path: Path) -> None:
    content = json.dumps(old(1500)).encode()
    archives.body = archive({"evals/mine/a_step1500.json": content, "README.md": b""})
    (tmp_path / "same" / "mine").mkdir(parents=True)
    (tmp_path / "same" / "mine" / "a_step1500.json").write_bytes(content)
    origin = {"tasks": [], "repository": "owner/name", "commit": COMMIT, "root": "evals"}
    with pytest.raises(
        UserError, match=r"have the digest [0-9a-f]{64}, and the suite expects 0{64}; point data_dir at a folder that holds 'name/evals'"
    ):
        published.root(Published(**origin, digest="0" * 64), None)
    folder = published.root(Published(**origin, digest=download.digest(tmp_path / "same")), None)
    assert published.collect(MODEL, folder).table["step"].tolist() == [1500]


def test_the_verb_writes_a_table_with_provenance_and_the_same_bytes_each_time(data_dir: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"suite: pythia-v0-published\nexperiments: [grammar]\nresults: {tmp_path}/results\ndata_dir: {data_dir}\n")
    assert cli.main(["published", "pythia-410m-v0", "--config", str(config)]) == 0
    path = Layout(tmp_path / "results" / "pythia-v0-published").published("pythia-410m-v0")
    first = path.read_bytes()
    record = tables.metadata(path)
    assert record["provenance"]["published"] == {"repository": "EleutherAI/pythia", "commit": V0.published.commit}  # type: ignore[union-attr]
    assert (record["provenance"]["verb"], record["missing"]) == ("published", [])
    assert str(data_dir) not in json.dumps(record)
    assert cli.main(["published", "pythia-410m-v0", "--config", str(config)]) == 0
    assert path.read_bytes() == first


def test_the_verb_names_what_is_absent_without_failing(data_dir: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    (tmp_path / "pythia" / "evals").mkdir(parents=True)
    config.write_text(f"suite: pythia-v0-published\nexperiments: [grammar]\nresults: {tmp_path}/results\ndata_dir: {tmp_path}\n")
    assert cli.main(["published", "pythia-12b-v0", "--config", str(config)]) == 0
    path = Layout(tmp_path / "results" / "pythia-v0-published").published("pythia-12b-v0")
    assert tables.read_table(path).empty
    assert len(tables.metadata(path)["missing"]) == 2
