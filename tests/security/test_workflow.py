"""The real workflow on a private Hub, in folders and with words that would harm a shell: nothing runs, and no file holds the token."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hub import miniature
from hub.miniature import MODEL, NAME, ORDER, PICKLED
from hub.server import LoopbackHub
from hub.tiny import TOKEN
from security.looking import holding
from security.test_report import HOSTILE
from workflow.flow import copy_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hostile-workflow")]

ROOT = Path(__file__).resolve().parents[2]
# each would leave a file "hacked" where the command runs
CODE = "$(touch hacked) `touch hacked`;touch hacked & 'touch hacked' \"$(touch hacked)\" | touch hacked #"
RESULTS = CODE
DATA = f"-data {CODE}\ntouch hacked\n{{step}}"
FOLDER = CODE


@dataclass
class Done:
    """A finished run: where it began, where it ran, what it said, and the Hub's record."""

    top: Path
    folder: Path
    said: str
    code: int
    hub: LoopbackHub


@pytest.fixture(scope="module")
def done(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    top = tmp_path_factory.mktemp("hostile")
    miniature.build(top)
    folder = top / FOLDER
    folder.mkdir()
    copy_of(ROOT, folder)
    # a tokenizer that wants code of its own, and a template that would run some
    template = "{{ cycler.__init__.__globals__.os.system('touch hacked') }}"
    evil = {"auto_map": {"AutoTokenizer": ["evil.T", None]}, "chat_template": template}
    (top / "checkpoints" / f"step{PICKLED}" / "tokenizer_config.json").write_text(json.dumps(evil))
    suite = top / "suites" / f"{NAME}.yaml"
    content = yaml.safe_load(suite.read_text())
    content |= {"title": HOSTILE[0] + CODE, "description": HOSTILE[9] + CODE, "citation": HOSTILE, "notes": HOSTILE, "licence": HOSTILE[1]}
    content["models"][0] |= {
        "notes": HOSTILE,
        "anomalies": [{"steps": [PICKLED], "kind": "metadata", "detail": text, "source": CODE} for text in HOSTILE],
        "branch": CODE,
        "parent": "another",
        "branch_step": 0,
    }
    suite.write_text(yaml.safe_dump(content, allow_unicode=True))
    (top / "suites").rename(top / f"suites {CODE}")
    (folder / DATA).symlink_to(data_dir)
    keys = {"experiments": ["grammar"], "steps": [PICKLED], "results": RESULTS, "keep_checkpoints": False}
    (folder / "config.yaml").write_text(yaml.safe_dump(miniature.config(Path(DATA), **keys)))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k != "PYTHONPATH"}
    environment |= {"HF_TOKEN": TOKEN, "HF_HOME": str(top / "cache"), "TRAJECTORIES_SUITES": str(top / f"suites {CODE}")}
    with LoopbackHub() as hub:
        hub.add_checkpoints(MODEL, top / "checkpoints").token = TOKEN
        files = {p.name: p for p in (top / "order").iterdir() if p.name != "order.json"}
        hub.add(ORDER, {"main": files}, kind="datasets").token = TOKEN
        hub.misbehave("status", "^/storage/", status=500, retry_after="0")
        run = subprocess.run(
            [str(Path(sys.executable).with_name("snakemake")), "--cores", "1", "--nocolor", "--verbose", "--printshellcmds"],
            cwd=folder,
            env=environment | {"HF_ENDPOINT": hub.endpoint},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        yield Done(top, folder, run.stdout, run.returncode, hub)
    shutil.rmtree(top)


def test_the_run_ends_well(done: Done):
    assert done.code == 0, done.said[-6000:]
    results = done.folder / RESULTS / NAME
    assert (results / "report.html").stat().st_size > 10_000
    assert {r.authorization for r in done.hub.asked(f"/{MODEL}/")} == {f"Bearer {TOKEN}"}


def test_nothing_in_a_name_was_run(done: Done):
    assert not [p for p in done.top.rglob("hacked*") if p.name == "hacked"]
    assert not done.hub.asked(r"\.py")


def test_no_file_and_no_line_holds_the_token_or_an_address_that_opens_a_file(done: Done):
    assert TOKEN not in done.said
    assert "signature=" not in done.said
    assert list((done.folder / ".snakemake" / "log").iterdir())
    assert holding(done.top, TOKEN, "signature=") == []


def test_the_storage_was_not_shown_the_token(done: Done):
    stored = [r for r in done.hub.requests if r.host.startswith("localhost")]
    assert stored
    assert {r.authorization for r in stored} == {None}


def test_no_log_moves_the_cursor(done: Done):
    logs = list((done.folder / RESULTS / NAME / "logs").rglob("*.log"))
    assert logs
    assert not [p for p in logs if re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202e]", p.read_text(encoding="utf-8"))]
