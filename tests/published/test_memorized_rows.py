"""Published lists of memorized rows: read by split, from a local copy or the Hub, repeats removed, by step into a table and an audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub.server import LoopbackHub
from published.row_lists import REPOSITORY, SCHEMA, Truth, memorized, write_split
from trajectories import cli, download, experiments, memorized_rows, row_lists, tables
from trajectories.errors import UserError
from trajectories.layout import Layout
from trajectories.suites import load_suite

NAME = f"EleutherAI/{REPOSITORY}"


def listing(path: Path, rows: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    index = pa.array(rows, pa.int64())
    tokens = pa.array([[1] * 64] * len(rows), pa.list_(pa.int64()))
    pq.write_table(pa.table({"index": index, "tokens": tokens, "__index_level_0__": index}, schema=SCHEMA), path)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A local copy with two ways of naming files."""
    data = tmp_path / REPOSITORY / "data"
    listing(data / "duped.12b-00000-of-00002-0123456789abcdef.parquet", [9, 3, 3])
    listing(data / "duped.12b-00001-of-00002-fedcba9876543210.parquet", [7, 3, 100])
    listing(data / "duped.12b.23000-00000-of-00001.parquet", [4])
    listing(data / "deduped.12b-00000-of-00001-0123456789abcdef.parquet", [5])
    listing(data / "deduped.1b.new-00000-of-00001-0123456789abcdef.parquet", [6])
    listing(tmp_path / REPOSITORY / "default" / "duped.70m" / "0000.parquet", [2])
    listing(tmp_path / REPOSITORY / "default" / "duped.70m" / "0001.parquet", [1])
    return tmp_path


def test_rows_are_sorted_each_once_and_repeats_are_counted(copy: Path) -> None:
    found = memorized_rows.read(NAME, "duped.12b", data_dir=copy)
    assert found.rows.tolist() == [3, 7, 9, 100]
    assert found.rows.dtype == np.int64
    assert (found.listed, found.repeats, len(found.files)) == (6, 2, 2)


@pytest.mark.parametrize(("split", "rows"), [("duped.12b.23000", [4]), ("deduped.12b", [5]), ("duped.70m", [1, 2])])
def test_a_split_is_never_taken_for_another_whose_name_it_is_a_part_of(copy: Path, split: str, rows: list[int]) -> None:
    assert memorized_rows.read(NAME, split, data_dir=copy).rows.tolist() == rows


def test_a_split_without_files_or_with_one_absent_is_an_error_in_a_sentence(copy: Path) -> None:
    with pytest.raises(UserError, match=r"split 'deduped.1b' has no files"):
        memorized_rows.read(NAME, "deduped.1b", data_dir=copy)
    next((copy / REPOSITORY / "data").glob("duped.12b-00001*")).unlink()
    with pytest.raises(UserError, match=r"1 files where their names say 2"):
        memorized_rows.read(NAME, "duped.12b", data_dir=copy)
    with pytest.raises(UserError, match="has no folder"):
        memorized_rows.read(NAME, "duped.12b", data_dir=copy / "elsewhere")


def test_files_that_are_no_lists_are_named(copy: Path) -> None:
    path = copy / REPOSITORY / "data" / "duped.1b-00000-of-00001.parquet"
    pq.write_table(pa.table({"row": [1]}), path)
    with pytest.raises(UserError, match="no column 'index'"):
        memorized_rows.read(NAME, "duped.1b", data_dir=copy)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="not a whole Parquet table"):
        memorized_rows.read(NAME, "duped.1b", data_dir=copy)


def test_the_hub_serves_a_split_once_and_a_broken_download_goes_on(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    memorized_rows._remote.cache_clear()
    with LoopbackHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        commit = hub.add(NAME, {"main": copy / REPOSITORY}, kind="datasets").branches["main"]
        hub.misbehave("truncate", r"duped\.12b-00001", times=1)
        found = memorized_rows.read(NAME, "duped.12b")
        asked = len(hub.requests)
        again = memorized_rows.read(NAME, "duped.12b", revision=commit)
        assert found.rows.tolist() == again.rows.tolist() == [3, 7, 9, 100]
        assert all(request.method == "GET" and "/resolve/" not in request.path for request in hub.requests[asked:])
        assert not any("duped.70m" in request.path for request in hub.requests)
    memorized_rows._remote.cache_clear()


def test_other_experiments_say_in_a_sentence_that_the_lists_are_not_for_them() -> None:
    lists, scores = load_suite("pythia-memorized"), load_suite("pythia-published")
    assert "memorized training rows" in experiments.part("grammar", "unavailable")(lists)
    assert experiments.part("memorization", "unavailable")(lists) is None
    assert "scores on tasks" in experiments.part("memorization", "unavailable")(scores)


def test_the_verbs_make_a_table_by_step_and_an_audit(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    truth = Truth(146_432_000)
    folder, rows = tmp_path / REPOSITORY / "data", {}
    for step in (23000, 43000, 143000):
        rows[step] = memorized(truth, 500, 1024 * step, generator)
        write_split(folder, "duped.12b" + (f".{step}" if step < 143000 else ""), rows[step], truth, generator, files=2)
    rows[63000] = np.append(rows[43000][:100], [146_431_999])
    write_split(folder, "duped.12b.63000", rows[63000], truth, generator)
    config = tmp_path / "config.yaml"
    results = tmp_path / "results"
    chosen = "suite: pythia-memorized\nmodels: [pythia-12b]\nexperiments: [memorization]\n"
    config.write_text(f"{chosen}data_dir: {tmp_path}\nresults: {results}\n")
    for verb in ("published", "audit"):
        assert cli.main([verb, "pythia-12b", "--config", str(config)]) == 0
    layout = Layout(results / "pythia-memorized")
    listed = row_lists.load(layout.published("pythia-12b"))
    assert sorted(listed) == sorted(rows)
    assert all((listed[step] == rows[step]).all() for step in rows)
    about = tables.metadata(layout.published("pythia-12b"))
    assert about["splits"]["23000"] == {"split": "duped.12b.23000", "listed": 510, "repeats": 10, "ahead": 0}
    assert about["splits"]["63000"]["ahead"] == 1
    assert "duped.12b.83000" in about["missing"]
    audit = tables.read_table(layout.audit("pythia-12b")).set_index("step")
    assert audit.loc[[23000, 143000], "status"].tolist() == ["ok", "ok"]
    assert audit.loc[83000, "status"] == "missing"


def test_a_row_beyond_the_order_is_an_error(copy: Path) -> None:
    suite = load_suite("pythia-memorized")
    assert suite.published is not None
    with pytest.raises(UserError, match="lists row 100, and the order has 50 rows"):
        memorized_rows.collect(suite.model("pythia-12b"), suite.published, 50, copy)
