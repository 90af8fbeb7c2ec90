"""Archives, lists of files and tables from outside: nothing leaves its folder, fills the disk or the memory, or ends in a traceback."""

from __future__ import annotations

import gzip
import io
import json
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub.server import LoopbackHub
from hub.tiny import NAME, TOKEN, Workplace, checkpoint, suite_of
from published.archives import COMMIT, Archives, archive
from trajectories import cli, config, download, memorized_rows, published, recipes, suites, tables
from trajectories.errors import UserError
from trajectories.hub import client
from trajectories.outside import inside

LEAVING = [
    "../out",
    "a/../../out",
    "/tmp/out",
    "..",
    "",
    "..\\out",
    "a\\..\\..\\out",
    "C:\\out",
    "a\0out",
    "a\nout",
    "a\x1b[2Jout",
    "\u202eout",
]
ROWS = "somebody/rows"


@pytest.mark.parametrize("name", LEAVING, ids=repr)
def test_a_name_that_leaves_its_folder_or_its_line_is_no_path(name: str):
    assert not inside(name)


@pytest.mark.parametrize("name", ["a", "a/b.json", "a/./b", "..a", "a..", ".git", "-rf", "$(touch x)", "a b;c'\"", "Ω/日本"], ids=repr)
def test_an_odd_name_that_stays_in_its_folder_is_one(name: str):
    assert inside(name)


# archives


def fetch(**more: Any) -> list[str]:
    folder = download.github("owner/name", COMMIT, "results", "point data_dir elsewhere", **({"check": lambda folder: None} | more))
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def member(name: str, kind: bytes, **more: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(f"name-{COMMIT}/results/{name}")
    found.type = kind
    for key, value in more.items():
        setattr(found, key, value)
    return found


def packed(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for entry, content in members:
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("links_first", [True, False])
def test_of_a_hostile_archive_only_plain_files_are_written(archives: Archives, tmp_path: Path, links_first: bool):
    (tmp_path / "victim").write_text("untouched")
    links = [
        (member("up", tarfile.SYMTYPE, linkname="../../../../.."), b""),
        (member("hard", tarfile.LNKTYPE, linkname="../../../../victim"), b""),
        (member("device", tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
        (member("fifo", tarfile.FIFOTYPE), b""),
        (member("holes", tarfile.GNUTYPE_SPARSE), b""),
    ]
    names = ["a.json", *(name for name in LEAVING if name not in ("", "..")), "up/through", "hard"]
    files = [(member(name, tarfile.REGTYPE, size=3), b"out") for name in names]
    archives.body = packed([*links, *files] if links_first else [*files, *links])
    # a name ends at its NUL, and one below the archive's folder is never absolute
    assert set(fetch()) == {"a.json", "a", "tmp", "tmp/out", "up", "up/through", "hard"}
    assert {p.name for p in tmp_path.iterdir()} == {"victim", "cache"}
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not [p for p in tmp_path.rglob("*") if p.is_symlink()]


def test_a_name_that_holds_a_zero_byte_is_one_sentence(archives: Archives):
    evil = member("a.json", tarfile.REGTYPE, size=2, pax_headers={"path": f"name-{COMMIT}/results/a\0.json"})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(evil, io.BytesIO(b"{}"))
    archives.body = out.getvalue()
    with pytest.raises(UserError, match=r"damaged|nothing below"):
        fetch()


def bomb(entry: tarfile.TarInfo, size: int) -> bytes:
    """An archive whose one member is a gigantic stretch of zeros."""
    out = io.BytesIO()
    entry.size = size
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as packed:
        packed.write(entry.tobuf(tarfile.GNU_FORMAT))
        for _ in range(min(size, 1 << 26) >> 20):
            packed.write(bytes(1 << 20))
    return out.getvalue()


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE])
def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_refused(archives: Archives, kind: bytes):
    archives.body = bomb(member("zeros", kind), 1 << 40)
    with pytest.raises(UserError, match="is damaged"):
        fetch()
    assert not [p for p in download.cache().rglob("*") if p.is_file() and p.stat().st_size > 1 << 20]


def test_an_archive_of_too_many_members_is_refused(archives: Archives, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "MOST_MEMBERS", 10)
    archives.body = archive({f"other/{i}": b"" for i in range(11)})
    with pytest.raises(UserError, match="more than 10 members"):
        fetch()


def test_a_line_break_in_a_name_cannot_stand_for_a_file_that_is_absent(archives: Archives):
    """The digest of a folder is that of lines ``<sha256>  <path>``, which such a name could forge."""
    honest = {"results/a": b"1", "results/b": b"2"}
    archives.body = archive(honest)
    folder = download.github("owner/name", COMMIT, "results", "x", lambda folder: None)
    expected, second = download.digest(folder), tables.sha256(folder / "b")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    archives.body = archive({f"results/a\n{second}  b": b"1"})
    with pytest.raises(UserError):
        download.github("owner/name", COMMIT, "results", "x", lambda folder: refuse_unless(folder, expected))


def refuse_unless(folder: Path, expected: str) -> None:
    if download.digest(folder) != expected:
        raise UserError("Other files.")


# what the Hub lists


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    memorized_rows._remote.cache_clear()
    with LoopbackHub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


def parquet(rows: list[int]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"index": rows}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    "folder", ["../../../out", "/tmp/out", "a/../../../../out", "..\\out", "a\nout", "data/../../../../../out"], ids=repr
)
def test_a_split_whose_file_would_leave_the_cache_has_no_files(hub: LoopbackHub, tmp_path: Path, folder: str):
    hub.add(ROWS, {"main": {f"{folder}/evil-00000-of-00001.parquet": parquet([1])}}, "datasets")
    with pytest.raises(UserError, match="has no files"):
        memorized_rows.read(ROWS, "evil")
    assert not list(tmp_path.rglob("*.parquet*"))
    assert not hub.asked("parquet")


@pytest.mark.parametrize(
    "answer",
    [
        {"branches": [{"name": "main", "targetCommit": "../../../../out"}]},
        {"branches": [{"name": "main"}]},
        {"branches": 7},
        {"branches": [{"name": 7, "targetCommit": "0" * 40}]},
        [],
        "text",
        {"branches": [{"name": "main", "targetCommit": None}]},
    ],
    ids=str,
)
def test_references_of_another_form_are_one_sentence(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, answer: Any):
    monkeypatch.setattr(client, "_pages", lambda url, what: iter([answer]))
    with pytest.raises(UserError, match="in a form that the Hub does not use"):
        client.refs(NAME)


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "model.safetensors", "oid": "0" * 40, "size": -1},
        {"path": "model.safetensors", "oid": "0" * 40, "size": "many"},
        {"path": "model.safetensors", "oid": "0" * 40, "size": 1, "lfs": {"oid": "../../../../x", "size": 1}},
        {"path": "model.safetensors", "oid": "../../x", "size": 1},
        {"path": 7, "oid": "0" * 40, "size": 1},
        {"path": "model.safetensors"},
    ],
    ids=str,
)
def test_a_list_of_files_of_another_form_is_one_sentence(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any]):
    monkeypatch.setattr(client, "_pages", lambda url, what: iter([[{"type": "file", **entry}]]))
    with pytest.raises(UserError, match="in a form that the Hub does not use"):
        client.files(NAME, "0" * 40)


# what a suite's file names

SUITE = """
title: T
description: D
source: hub
tokenizer: owner/name
tokenizer_copy: a/tokenizer.json
orders: {o: {row_tokens: 129, repository: owner/name, index: i.idx, shards: [s.bin]}}
models:
  - {name: m, layers: 1, width: 8, heads: 2, head_width: 4, vocabulary: 16, parameters_total: 1000, parameters_non_embedding: 744,
     steps: [1, 4], learning_rate: 0.001, rows_per_step: 4, tokens_per_step: 512, steps_total: 4, dtype: float32,
     order: o, repository: owner/name,
     revision: "step{step}", published: [a/b]}
published: {repository: owner/name, commit: 0123456789abcdef0123456789abcdef01234567, root: evals, tasks: [t]}
"""


def parse(text: str) -> suites.Suite:
    return suites.parse(text, "hostile", "hostile.yaml")


def test_the_suite_of_these_tests_is_sound():
    assert parse(SUITE).models[0].revision_of(4) == "step4"


@pytest.mark.parametrize("name", ["../../out", "/etc/out", "a/../../out", "..\\\\out", "a\\nout", "a\\0out"])
@pytest.mark.parametrize("place", ["index: i.idx", "[s.bin]", "[a/b]", "root: evals", "tokenizer_copy: a/tokenizer.json"])
def test_a_suite_names_no_file_outside_its_folders(place: str, name: str):
    key, bracket = place.rpartition(": ")[0] + ": ", place.startswith("[")
    with pytest.raises(UserError, match="stays below its folder"):
        parse(SUITE.replace(place, f'["{name}"]' if bracket else f'{key}"{name}"'))


@pytest.mark.parametrize(
    "name", ["../..", "owner/../../x", "a b/c", "owner/name?x=1", "owner/name#x", "-x/y", "a/b/c", "owner/na\\nme", "http://x/y", "@x/y"]
)
@pytest.mark.parametrize(
    "place", ["tokenizer: owner/name", "129, repository: owner/name", "order: o, repository: owner/name", "{repository: owner/name"]
)
def test_a_repository_s_name_is_nothing_else(place: str, name: str):
    with pytest.raises(UserError, match="repository"):
        parse(SUITE.replace(place, place.replace("owner/name", f'"{name}"')))


@pytest.mark.parametrize(
    "pattern", ["{step.__class__}", "{step.__class__.__init__.__globals__}", "{step:>999999999}", "{0}", "{", "{step!r}", "$(touch x)"]
)
def test_a_revision_s_pattern_is_text_around_a_step(pattern: str):
    assert parse(SUITE.replace("step{step}", pattern + "{step}")).models[0].revision_of(4) == pattern + "4"


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        SUITE + "training: &a [*a]\n",
        "a: &a {x: 1}\n"
        + "\n".join(
            f"{b}: &{b} {{<<: [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]}}" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "[" * 5_000,
        "title: !!python/object/apply:os.system ['touch x']",
        "title: 2001-99-99",
        SUITE.replace("steps: [1, 4]", "steps: [{start: 0, stop: 1000000000000000, every: 1}]"),
        SUITE.replace("steps: [1, 4]", "steps: [" + "{start: 0, stop: 90000, every: 1}, " * 2000 + "1]"),
        SUITE.replace(
            "[a/b]}", "[a/b], anomalies: [{steps: [{start: 0, stop: 1000000000000000, every: 1}], kind: missing, detail: d, source: s}]}"
        ),
        "models: " + "x" * 10_000,
    ],
    ids=["laughs", "circle", "merges", "deep", "object", "date", "steps", "spans", "anomaly", "long"],
)
def test_a_suite_s_file_that_is_made_to_harm_is_one_short_sentence(text: str, tmp_path: Path):
    with pytest.raises(UserError) as raised:
        parse(text)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("folder", ["-rf", "a{b}", "a{wildcards.model}", "a\nb", "a*", "./-x"])
def test_a_folder_of_results_that_means_something_to_snakemake_is_refused(folder: str):
    with pytest.raises(UserError, match="results"):
        config.resolve({"experiments": ["grammar"], "results": folder})


@pytest.mark.parametrize("folder", ["-x", "--threads=9", "a b", "$(touch x)\n'\""])
def test_a_folder_of_data_is_one_word_whatever_its_name(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir()
    resolved = config.resolve({"suite": "nano", "experiments": ["grammar"], "data_dir": folder})
    line = shlex.join(recipes.machine_options(resolved))
    assert cli._parser().parse_args(["report", "--recipe", "x", *shlex.split(line)]).data_dir == Path(folder)


# published results and lists of rows

MODEL = suite_of([1]).models[0]


@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        '{"results": {"t": {"acc": 1' + "0" * 400 + "}}}",
        '{"results": {"t": {"acc": 1' + "0" * 5000 + "}}}",
        '{"results": {"\\ud800": {"acc": 1}}}',
        '{"results": {"t": {"acc": 1}}, "config": "text"}',
        '{"results": {"t": {"acc": 1}}, "config": {"model_args": "revision=step' + "9" * 5000 + '"}}',
        '{"results": [{"task_name": 1}]}',
        '{"results": {"t": []}}',
        "NaN",
    ],
    ids=["deep", "large", "larger", "half a character", "config", "step", "list", "metrics", "no mapping"],
)
def test_a_hostile_result_file_is_one_sentence(tmp_path: Path, content: str):
    path = tmp_path / "step1.json"
    path.write_text(content)
    with pytest.raises(UserError, match="is no result file"):
        published.read_file(path, MODEL)


def test_a_number_of_items_that_no_table_holds_is_none(tmp_path: Path):
    path = tmp_path / "step1.json"
    path.write_text(json.dumps({"results": {"t": {"acc,none": 0.5}}, "n-samples": {"t": 10**30}, "n-shot": {"t": 10**30}}))
    assert [(r.n, r.num_fewshot) for r in published.read_file(path, MODEL).results] == [(None, None)]


def test_a_file_named_to_harm_is_read_like_any_other(tmp_path: Path):
    for name in ("$(touch x);step1.json", "-rf step1.json", "a'b\"c<script>step1.json"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text('{"results": {"t": {"acc": 0.5}}}')
    found = published.collect(suite_of([1], published=["in"]).models[0], tmp_path)
    assert len(found.files) == 3
    assert len(found.table) == 1


@pytest.mark.parametrize(
    "column",
    [["../../x"], [0.5], [None, 1], [[1]], [{"a": 1}], [b"1"]],
    ids=str,
)
def test_a_list_of_rows_that_are_no_numbers_is_one_sentence(tmp_path: Path, column: list[Any]):
    folder = tmp_path / "rows"
    folder.mkdir()
    pq.write_table(pa.table({"index": column}), folder / "evil-00000-of-00001.parquet")
    with pytest.raises(UserError, match="evil-00000"):
        memorized_rows.read(ROWS, "evil", data_dir=tmp_path)


def test_a_small_file_of_more_rows_than_there_can_be_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memorized_rows, "MOST_LINES", 999)
    (tmp_path / "rows").mkdir()
    pq.write_table(pa.table({"index": np.zeros(1000, np.int64)}), tmp_path / "rows" / "evil-00000-of-00001.parquet")
    with pytest.raises(UserError, match="at most 999 whole numbers"):
        memorized_rows.read(ROWS, "evil", data_dir=tmp_path)


def test_files_beside_the_weights_stay_where_they_are(hub: LoopbackHub, tmp_path: Path):
    """The order's shards, too, are asked for by the suite's names alone."""
    work = Workplace(tmp_path / "work")
    evil = {f"{name}/model.safetensors": b"out" for name in ("../..", "/tmp", "a/..", "..\\")}
    hub.add(NAME, dict.fromkeys(["main", "step0", "step1", "step2", "step143000"], checkpoint(1, **evil)))
    work.audit()
    work.fetch(2)
    assert not hub.asked("out|\\.\\.")
