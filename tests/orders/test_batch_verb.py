"""``trajectories batch``: the rows of a training step, compared with a direct memory mapping of the order's files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hub.server import LoopbackHub
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from trajectories.cli import main
from trajectories.orders.writer import write_order
from trajectories.outside import visible

ROWS, ROW_TOKENS, PER_STEP, SHARD_BYTES = 120, 17, 4, 501
ORDERS = ("standard", "swapped", "reversed")
Batch = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        ["the cat that the dog sees"], trainers.BpeTrainer(vocab_size=280, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    )
    return raw


def model(name: str, **more: Any) -> dict[str, Any]:
    sizes = {"layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 280}
    return {
        "name": name, **sizes, "parameters_total": 2 * 280 * 8 + 100, "parameters_non_embedding": 100, "learning_rate": 0.001,
        "rows_per_step": PER_STEP, "tokens_per_step": PER_STEP * (ROW_TOKENS - 1), "steps": [0, 30], "steps_total": 30, "dtype": "float32",
        "order": "standard", **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A results folder and a suite: a plain model, one of large batches, a branch, and one in reversed order."""
    root = tmp_path_factory.mktemp("batch")
    rows = np.random.default_rng(2).integers(0, tokenizer.get_vocab_size(), (ROWS, ROW_TOKENS)).astype(np.uint16)
    content = {"standard": rows, "swapped": (rows + 1) % np.uint16(tokenizer.get_vocab_size()), "reversed": rows[::-1]}
    for name in ORDERS:
        write_order(root / "results" / "small" / "order" / name, name, content[name], PER_STEP, SHARD_BYTES)
    (root / "results" / "small" / "corpus").mkdir()
    tokenizer.save(str(root / "results" / "small" / "corpus" / "tokenizer.json"))
    (root / "suites").mkdir()
    described = {
        "title": "Small", "description": "Small.", "source": "trained",
        "orders": {name: {"row_tokens": ROW_TOKENS} for name in ORDERS},
        "models": [
            model("plain"), model("large", rows_per_step=8, tokens_per_step=8 * (ROW_TOKENS - 1), steps=[0, 15], steps_total=15),
            model("branch", order="swapped", parent="plain", branch="pronouns", branch_step=20), model("back", order="reversed"),
        ],
    }  # fmt: skip
    (root / "suites" / "small.yaml").write_text(yaml.safe_dump(described))
    remote = {"row_tokens": ROW_TOKENS, "repository": "E/pile", "index": "document.idx", "shards": []}
    remote["shards"] = sorted(p.name for p in (root / "results" / "small" / "order" / "standard").glob("*.bin"))
    hub = {"title": "Far", "description": "Far.", "source": "hub", "tokenizer": "E/model", "orders": {"standard": remote}}
    (root / "suites" / "far.yaml").write_text(yaml.safe_dump({**hub, "models": [model("plain", repository="E/model")]}))
    (root / "config.yaml").write_text(yaml.safe_dump({"suite": "small", "experiments": [], "results": str(root / "results")}))
    return root


@pytest.fixture
def batch(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(folder / "suites"))

    def run(*options: str) -> list[dict[str, Any]]:
        path = tmp_path / "out.jsonl"
        assert main(["batch", "--config", str(folder / "config.yaml"), *options, "--output", str(path)]) == 0
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return run


def mapped(folder: Path, order: str) -> np.ndarray:
    """All rows of an order, by mapping its shards into memory."""
    shards = sorted((folder / "results" / "small" / "order" / order).glob("*.bin"))
    return np.concatenate([np.memmap(shard, np.uint8, "r") for shard in shards]).view("<u2").reshape(ROWS, ROW_TOKENS)


@pytest.mark.parametrize(
    ("options", "order", "first", "size"),
    [
        (["--step", "0", "--model", "plain"], "standard", 0, 4),
        (["--step", "29", "--model", "plain"], "standard", 116, 4),
        (["--step", "7", "--model", "large"], "standard", 56, 8),
        (["--step", "19", "--model", "branch"], "standard", 76, 4),
        (["--step", "20", "--model", "branch"], "swapped", 80, 4),
        (["--step", "20", "--order", "swapped"], "swapped", 80, 4),
        (["--step", "3", "--order", "reversed"], "reversed", 12, 4),
        (["--step", "3", "--order", "reversed", "--rows", "1:3"], "reversed", 13, 2),
        (["--step", "3", "--order", "reversed", "--rows", "2"], "reversed", 14, 1),
    ],
)
def test_a_batch_holds_the_rows_that_the_step_trained_on(
    batch: Batch, folder: Path, tokenizer: Tokenizer, options: list[str], order: str, first: int, size: int
) -> None:
    found, rows = batch(*options), mapped(folder, order)
    assert [line["row"] for line in found] == list(range(first, first + size))
    assert [line["input_ids"] for line in found] == rows[first : first + size].tolist()
    assert [line["text"] for line in found] == [tokenizer.decode(r, skip_special_tokens=False) for r in rows[first : first + size].tolist()]


def test_a_batch_is_printed_row_by_row(batch: Batch, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["batch", "--config", str(folder / "config.yaml"), "--step", "20", "--order", "swapped", "--rows", "0:2"]
    assert main([*command, "--ids"]) == 0
    rows = mapped(folder, "swapped")[80:82]
    heading = "Suite small, step 20: order 'swapped', rows 80 to 83, trained on by branch (17 tokens a row)"
    assert capsys.readouterr().out == heading + "\n" + "".join(
        f"\nrow {80 + i}\n  {' '.join(map(str, r))}\n" for i, r in enumerate(rows.tolist())
    )
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "\nrow 81\n  " in printed
    assert all(c.isprintable() or c in "\n\t" for c in printed)


def test_ids_are_written_as_an_array(batch: Batch, folder: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "batch.npy")
    assert main(["batch", "--config", str(folder / "config.yaml"), "--step", "2", "--order", "reversed", "--output", target]) == 0
    found = np.load(target)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, mapped(folder, "reversed")[8:12])


def test_nothing_in_a_text_reaches_the_terminal_as_a_command() -> None:
    assert visible("a\x1b[2J\r\x9b\u202eb\n\tc é 猫") == "a\\x1b[2J\\r\\x9b\\u202eb\n\tc é 猫"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--step", "30"], "No training at step 30 in suite 'small' for any model: steps are 0 to 29"),
        (["--step", "-1"], "No training at step -1"),
        (["--step", "15", "--model", "large"], "for model 'large': steps are 0 to 14"),
        (["--step", "20"], "3 different batches at step 20 (order 'standard', rows 80 to 83, trained on by plain; "),
        (["--step", "19", "--order", "swapped"], "names no training order for order 'swapped' at step 19"),
        (["--step", "2", "--order", "reverse"], "did you mean 'reversed'?"),
        (["--step", "2", "--model", "plane"], "did you mean 'plain'?"),
        (["--step", "2", "--suite", "smal"], "did you mean 'small'?"),
        (["--step", "2", "--model", "plain", "--rows", "3:5"], "--rows expects rows of the batch, 0 to 3, such as 3 or 0:4, found '3:5'"),
        (["--step", "2", "--model", "plain", "--rows", "x"], "found 'x'"),
        (["--step", "2", "--model", "plain", "--output", "batch.txt"], "ends in .npy or .jsonl"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    batch: Batch, folder: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "--config", str(folder / "config.yaml"), *options]) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


@pytest.fixture
def hub(folder: Path, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("TRAJECTORIES_CACHE", str(tmp_path / "cache"))
    with LoopbackHub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        order = folder / "results" / "small" / "order" / "standard"
        served.add("E/pile", {"main": {p.name: p for p in order.iterdir() if p.name != "order.json"}}, kind="datasets")
        served.add("E/model", {"main": {"tokenizer.json": tokenizer.to_str().encode()}})
        yield served


def test_of_an_order_on_the_hub_only_the_rows_shown_are_read_and_no_index_is_left(batch: Batch, folder: Path, hub: LoopbackHub) -> None:
    found = batch("--suite", "far", "--step", "13", "--rows", "1:4")
    assert [line["input_ids"] for line in found] == mapped(folder, "standard")[53:56].tolist()
    assert hub.sent("^/storage/") == 3 * ROW_TOKENS * 2
    assert not (folder / "results" / "far" / "order").exists()


def test_batches_can_be_looked_at_without_a_configuration(
    batch: Batch, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["batch", "--suite", "far", "--step", "2", "--rows", "0"]) == 0
    assert "order 'standard', rows 8 to 11" in capsys.readouterr().out


def test_a_batch_is_shown_without_torch_and_a_reader_may_leave_early(batch: Batch, folder: Path) -> None:
    code = "import sys; from trajectories.cli import main; code = main(); assert 'torch' not in sys.modules; sys.exit(code)"
    options = ["batch", "--config", str(folder / "config.yaml"), "--step", "2", "--model", "plain"]
    command = subprocess.Popen([sys.executable, "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    command.stdout.close()
    assert (command.communicate()[1], command.returncode) == (b"", 0)
