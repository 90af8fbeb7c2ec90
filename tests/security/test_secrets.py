"""A token, a password and the signature of an address: sent where they belong, and shown nowhere, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hub.server import LoopbackHub
from hub.tiny import NAME, TOKEN, checkpoint, suite_of
from published.archives import COMMIT, serving
from security.looking import holding
from snakemake_logger_plugin_trajectories import state
from trajectories import cli, download, tables
from trajectories.errors import UserError
from trajectories.hub import client
from trajectories.orders.reader import open_order
from trajectories.outside import plain

PASSWORD = "swordfish-4711"
SECRETS = (TOKEN, PASSWORD, "signature=")
ORDER = "owner/order"


class Elsewhere(LoopbackHub):
    """A Hub that names its next pages at another host."""

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self.port}"


def private(hub: LoopbackHub) -> LoopbackHub:
    """Serve a model and an order to whoever has the token."""
    model = hub.add(NAME, {branch: checkpoint(i) for i, branch in enumerate(("main", "step0", "step1", "step2"))})
    order = hub.add(ORDER, {"main": {"rows.idx": b"x" * 100, "rows.bin": b"x" * 5160}}, "datasets")
    model.token = order.token = TOKEN
    return hub


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, for a person who has a token."""
    suite = suite_of([0, 1, 2], order="rows", tokens_per_step=1024 * 128, parameters_total=1000, parameters_non_embedding=744)
    content = suite.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    content["orders"] = {"rows": {"row_tokens": 129, "rows": 20, "repository": ORDER, "index": "rows.idx", "shards": ["rows.bin"]}}
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "private.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"suite": "private", "experiments": ["grammar"]}))
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(tmp_path / "suites"))
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(client, "_sleep", lambda seconds: None)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(here: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command, in this process: its exit code and all that it said."""
    handlers = logging.getLogger().handlers[:]

    def run(*arguments: str) -> tuple[int, str]:
        logging.getLogger().handlers[:] = []
        code = cli.main(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
        said = capfd.readouterr()
        return code, said.out + said.err

    yield run
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(logging.WARNING)
    assert holding(here, *SECRETS) == []


def test_a_private_model_is_fetched_and_no_file_holds_the_token(command: Command, monkeypatch: pytest.MonkeyPatch):
    with private(LoopbackHub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        said = [command("audit", "pythia-70m"), command("fetch", "pythia-70m", "2"), command("order", "rows")]
    assert [code for code, _ in said] == [0, 0, 0], said
    assert not [text for _, text in said if any(secret in text for secret in SECRETS)]
    asked = [(r.host.split(":")[0], r.authorization) for r in hub.requests if "agent" not in r.path]
    assert {authorization for host, authorization in asked if host == "127.0.0.1"} == {f"Bearer {TOKEN}"}
    assert {authorization for host, authorization in asked if host == "localhost"} == {None}, "the storage is another server"


@pytest.mark.parametrize(
    ("kind", "path", "options"),
    [
        *(("status", "/refs$", {"status": status}) for status in (400, 401, 403, 404, 500)),
        *(("status", "/tree/", {"status": status}) for status in (403, 429)),
        *(("status", "^/storage/", {"status": status}) for status in (401, 403, 404, 500)),
        ("status", "/resolve/", {"status": 403}),
        ("drop", "^/storage/", {"after": 0}),
        ("truncate", "^/storage/", {"after": 10}),
        ("corrupt", "^/storage/", {}),
    ],
)
def test_what_fails_gives_nothing_away(command: Command, monkeypatch: pytest.MonkeyPatch, kind: str, path: str, options: dict[str, int]):
    with private(LoopbackHub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.misbehave(kind, path, times=float("inf"), **options)  # type: ignore[arg-type]
        code, said = command("audit", "pythia-70m")
        if code == 0:
            code, more = command("fetch", "pythia-70m", "2")
            said += more
    assert code == 1
    assert "Traceback" not in said
    assert not [secret for secret in SECRETS if secret in said], said


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_order_that_cannot_be_indexed_gives_nothing_away(command: Command, monkeypatch: pytest.MonkeyPatch, status: int):
    with private(LoopbackHub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.misbehave("status", "/datasets/", times=float("inf"), status=status)
        code, said = command("order", "rows")
    assert code == 1
    assert not [secret for secret in (*SECRETS, "Traceback") if secret in said], said


@pytest.mark.parametrize("fault", [None, 401, 403, 500, "drop", "truncate"])
def test_rows_that_are_read_by_range_give_nothing_away(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: int | str | None
):
    with private(LoopbackHub()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert command("order", "rows")[0] == 0
        rows = open_order(here / "results" / "private" / "order" / "rows")
        if fault is None:
            assert rows[3].shape == (129,)
        else:
            kind, status = ("status", fault) if isinstance(fault, int) else (fault, 200)
            hub.misbehave(kind, "^/storage/", times=float("inf"), status=status, after=10**6 if kind == "truncate" else 0)
            with pytest.raises(UserError) as raised:
                rows[3]
            assert not [secret for secret in SECRETS if secret in str(raised.value)]
    assert not [record.getMessage() for record in caplog.records if any(s in plain(record.getMessage()) for s in SECRETS)]
    stored = [r for r in hub.requests if r.host.startswith("localhost")]
    assert stored
    assert {r.authorization for r in stored} == {None}


@pytest.mark.parametrize("fails", [False, True])
def test_a_password_in_the_address_of_the_hub_is_not_shown(command: Command, monkeypatch: pytest.MonkeyPatch, fails: bool):
    with private(LoopbackHub()) as hub:
        hub.repositories["models", NAME].token = None
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint.replace("://", f"://somebody:{PASSWORD}@"))
        audited = command("audit", "pythia-70m")
        if fails:
            hub.misbehave("status", "/storage/", times=float("inf"), status=403)
        codes, said = zip(audited, command("fetch", "pythia-70m", "2"), *[command("audit", "pythia-70m")] * fails, strict=True)
        assert codes == (0, 1, 1) if fails else (0, 0), said
        hub.misbehave("status", "/refs", times=float("inf"), status=404)
        codes, more = zip(command("audit", "pythia-70m"), strict=True)
    assert codes == (1,)
    assert hub.endpoint in more[0]
    assert PASSWORD not in "".join([*said, *more])
    assert {r.authorization for r in hub.requests if r.host.startswith("localhost")} == {None}


def test_an_unforeseen_fault_gives_nothing_away(command: Command, monkeypatch: pytest.MonkeyPatch):
    def fault(*_: object) -> None:
        raise RuntimeError(f"for url 'https://a:{PASSWORD}@storage.example/x?signature=1' with Bearer {TOKEN} \x1b[2J")

    monkeypatch.setattr(client, "refs", fault)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, said = command("audit", "pythia-70m")
    assert code == 1
    assert "Traceback" in said
    assert "https://storage.example/x" in said
    assert not [secret for secret in (*SECRETS, "\x1b") if secret in said]


def test_the_token_is_not_taken_to_a_next_page_on_another_server(here: Path, monkeypatch: pytest.MonkeyPatch):
    with Elsewhere(page_size=1) as hub:
        private(hub)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.port}")
        with pytest.raises(UserError, match="sends on to another server"):
            client.files(NAME, client.refs(NAME)["main"])
    assert not [r for r in hub.requests if r.host.startswith("localhost")]


def test_a_list_without_an_end_is_one_sentence(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "MOST_PAGES", 2)
    with private(LoopbackHub(page_size=1)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        with pytest.raises(UserError, match="does not come to an end"):
            client.files(NAME, client.refs(NAME)["main"])


def test_an_archive_s_signed_address_and_password_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    with serving() as archives:
        monkeypatch.setenv(download.HOST_VARIABLE, archives.url.replace("://", f"://somebody:{PASSWORD}@"))
        archives.failures = [(302, {"Location": "/moved/x?signature=1"}, b""), (404, {}, b"")]
        with pytest.raises(UserError, match="404") as raised:
            download.github("owner/name", COMMIT, "results", "x", lambda folder: None)
    assert not [secret for secret in SECRETS if secret in str(raised.value)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://a:b@host/x?y=z.", "see https://host/x"),
        ("GET http://host:80/x?X-Amz-Signature=1&b=2' (403)", "GET http://host:80/x' (403)"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer (token)"),
        ("hf_abcdefghijklmnopqrstuv", "(token)"),
        ("use hf_hub_download or `hf auth login`", "use hf_hub_download or `hf auth login`"),
        ("\x1b]0;title\x07 \x9b2J \r \x08 \u202e \u2028 \ud800", r"\x1b]0;title\x07 \x9b2J \r \x08 \u202e \u2028 \ud800"),
        ("Ω 日本 – “a” 👩‍👩‍👧?", "Ω 日本 – “a” 👩\\u200d👩\\u200d👧?"),
        ("mail a@b.org; 3 > 2?", "mail a@b.org; 3 > 2?"),
    ],
    ids=repr,
)
def test_what_is_shown_of_a_text(text: str, shown: str):
    assert plain(text) == shown


def test_a_log_line_stays_one_line(command: Command, monkeypatch: pytest.MonkeyPatch):
    def noisy(*_: object) -> dict[str, str]:
        logging.getLogger("trajectories").info("a name\nPROGRESS forged 1/1 step 0\r\x1b[2J%s", TOKEN)
        return {}

    monkeypatch.setattr(client, "refs", noisy)
    code, said = command("audit", "pythia-70m")
    assert code == 0
    assert r"a name\nPROGRESS forged 1/1 step 0\r\x1b[2J(token)" in said


def test_names_of_published_results_move_no_cursor(command: Command, here: Path):
    """The log names files of steps that the suite does not list, and those that repeat another's results."""
    content = suite_of([1], published=["in"]).model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    results = {"repository": "owner/name", "commit": "0" * 40, "root": "evals", "tasks": ["*"]}
    (here / "suites" / "strange.yaml").write_text(yaml.safe_dump(content | {"source": "published", "published": results}))
    (here / "config.yaml").write_text(yaml.safe_dump({"suite": "strange", "experiments": ["knowledge"], "data_dir": str(here / "data")}))
    folder = here / "data" / "name" / "evals" / "in"
    folder.mkdir(parents=True)
    task = "\x1b[2J</script>\u202e$(touch x)"
    for name in ("a step1", "b\x1b]0;x\x07 step1", "\nPROGRESS forged 9 of 9\n step7"):
        (folder / f"{name}.json").write_text(json.dumps({"results": {task: {"acc": 0.5}}}))
    code, said = command("published", "pythia-70m")
    assert code == 0, said
    assert task in set(tables.read_table(here / "results" / "strange" / "published" / "pythia-70m.parquet")["task"])
    assert r"b\x1b]0;x\x07 step1" in said
    assert r"\nPROGRESS forged" in said
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", said)
    assert not [line for line in said.splitlines() if line.startswith("PROGRESS forged")]


def test_the_display_shows_no_control_character_of_a_log(tmp_path: Path):
    (tmp_path / "log").write_bytes("first\n\x1b]0;title\x07 \x9b2J \u202eodd\rPROGRESS x\n".encode())
    assert state.tail(tmp_path / "log") == ["first", "\ufffd]0;title\ufffd \ufffd2J \ufffdodd", "PROGRESS x"]


def test_the_search_finds_a_secret_in_a_table_in_its_metadata_and_in_a_name(tmp_path: Path):
    tables.write_table(pd.DataFrame({"a": [f"x {PASSWORD}"]}), tmp_path / "rows.parquet")
    tables.write_table(pd.DataFrame({"a": [1]}), tmp_path / "metadata.parquet", notes=[PASSWORD])
    (tmp_path / f"{PASSWORD}.txt").touch()
    (tmp_path / "nothing.txt").touch()
    assert holding(tmp_path, PASSWORD) == ["metadata.parquet", "rows.parquet", f"{PASSWORD}.txt"]
