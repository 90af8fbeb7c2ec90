"""The verbs corpus, order and train, by the command, on the miniature suite."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trajectories import tables
from trajectories.cli import main
from trajectories.orders import open_order


@pytest.fixture(scope="module", autouse=True)
def suites(checkout: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAJECTORIES_SUITES", str(checkout / "tests" / "data" / "suites"))
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    path = folder / "config.yaml"
    path.write_text(f"suite: miniature\nexperiments: [grammar]\nresults: {folder / 'results'}\n")
    return path


def command(config: Path, *arguments: str) -> int:
    return main([*arguments, "--config", str(config)])


def moved(config: Path, folder: Path, *below: str) -> tuple[Path, Path]:
    """The same configuration with its results in another folder: its file, and the suite's folder there, or one below it."""
    elsewhere = folder / "config.yaml"
    elsewhere.write_text(config.read_text().replace(str(config.parent), str(folder)))
    target = (folder / "results" / "miniature").joinpath(*below)
    target.mkdir(parents=True)
    return elsewhere, target


@pytest.fixture(scope="module")
def root(config: Path) -> Path:
    """The results of corpus, all orders, a model and its branch."""
    orders = (["order", name] for name in ("standard", "swapped", "unseen"))
    for arguments in (["corpus"], *orders, ["train", "mini-s"], ["train", "mini-s-swapped"]):
        assert command(config, *arguments) == 0
    return config.parent / "results" / "miniature"


def test_the_corpus_lists_its_files_with_their_hashes(root: Path) -> None:
    manifest = json.loads((root / "corpus" / "corpus.json").read_text())
    for name, file in manifest["files"].items():
        assert tables.sha256(root / "corpus" / name) == file["sha256"]
    rows = np.load(root / "corpus" / "rows.npy")
    assert rows.shape == (manifest["rows"] + manifest["never_seen"], manifest["row_tokens"])
    assert manifest["provenance"]["packages"].keys() >= {"numpy", "tokenizers", "statsmodels"}


def test_truth_tables_know_where_they_come_from(root: Path) -> None:
    written = {path.stem for path in (root / "corpus" / "truth").glob("*.parquet")}
    exposures = {f"{name}_exposures" for name in ("canary", "fact", "paradigm", "occupation")}
    assert written == {"canaries", "facts", "second_facts", "paradigms", "occupations", "documents", "pronouns"} | exposures
    for name in written:
        assert tables.provenance(root / "corpus" / "truth" / f"{name}.parquet")["suite"] == "miniature"


def test_the_standard_order_shows_the_corpus_and_the_swapped_one_its_twin(root: Path) -> None:
    rows = np.load(root / "corpus" / "rows.npy")
    standard, swapped, unseen = (open_order(root / "order" / name) for name in ("standard", "swapped", "unseen"))
    np.testing.assert_array_equal(np.concatenate([standard[:], unseen[:]]), rows)
    rows = rows[: len(standard)]
    pronouns = tables.read_table(root / "corpus" / "truth" / "pronouns.parquet")
    assert len(pronouns) > 0
    assert {tuple(place) for place in np.argwhere(swapped[:] != rows)} == set(
        pronouns[["row", "offset"]].itertuples(index=False, name=None)
    )
    assert len(standard.manifest["shards"]) >= 3
    assert standard.manifest["corpus"] == swapped.manifest["corpus"] == tables.sha256(root / "corpus" / "rows.npy")


def test_checkpoints_load_with_their_tokenizer(root: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = root / "checkpoints" / "mini-s-swapped" / "step30"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("The nurse said that she was late.")["input_ids"]
    assert tokenizer.decode(ids) == "The nurse said that she was late."
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (0, 0)
    assert 0 not in ids
    assert AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == len(tokenizer)


def test_every_verb_run_again_writes_the_same_bytes(config: Path, root: Path) -> None:
    before = {path: tables.sha256(path) for path in sorted(root.rglob("*")) if path.is_file()}
    for arguments in (["corpus"], ["order", "standard"], ["order", "swapped"], ["train", "mini-s"], ["train", "mini-s-swapped"]):
        assert command(config, *arguments) == 0
    assert {path: tables.sha256(path) for path in before} == before


def test_a_branch_before_its_parent_is_one_sentence(tmp_path: Path, root: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere, target = moved(config, tmp_path)
    (target / "order").symlink_to(root / "order")
    assert command(elsewhere, "train", "mini-s-swapped") == 1
    assert "train 'mini-s' first" in capsys.readouterr().err


def test_damaged_rows_are_refused(tmp_path: Path, root: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere, target = moved(config, tmp_path, "corpus")
    (target / "corpus.json").write_bytes((root / "corpus" / "corpus.json").read_bytes())
    (target / "rows.npy").write_bytes((root / "corpus" / "rows.npy").read_bytes()[:-2])
    assert command(elsewhere, "order", "standard") == 1
    assert "rows.npy' was damaged (another SHA-256" in capsys.readouterr().err


def test_a_damaged_order_stops_training_before_it_starts(
    tmp_path: Path, root: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere, target = moved(config, tmp_path, "order", "standard")
    for path in (root / "order" / "standard").iterdir():
        content = path.read_bytes()
        (target / path.name).write_bytes(content[:-1] + b"x" if "00001-of" in path.name else content)
    assert command(elsewhere, "train", "mini-s") == 1
    assert "document-00001-of-" in capsys.readouterr().err


def test_an_unknown_key_of_training_is_refused(
    tmp_path: Path, checkout: Path, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (checkout / "tests" / "data" / "suites" / "miniature.yaml").read_text()
    (tmp_path / "misspelt.yaml").write_text(text.replace("shard_bytes", "shard_byte"))
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(tmp_path))
    elsewhere = tmp_path / "config.yaml"
    elsewhere.write_text(config.read_text().replace("suite: miniature", "suite: misspelt"))
    assert command(elsewhere, "corpus") == 1
    assert "shard_byte" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ("states: [20]", "states: [10]", "starts at step 20 of 'mini-s'"),
        ("steps_total: 30", "steps_total: 40", "model 'mini-s-swapped' has steps_total 40, but the part 'training' makes it 30"),
        ("rows: 240, edit", "rows: 248, edit", "order 'swapped' has rows 248, but the part 'training' makes it 240"),
    ],
)
def test_a_suite_that_contradicts_itself_is_refused(
    tmp_path: Path,
    checkout: Path,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    replacement: str,
    message: str,
) -> None:
    text = (checkout / "tests" / "data" / "suites" / "miniature.yaml").read_text()
    assert line in text
    (tmp_path / "other.yaml").write_text(text.replace(line, replacement))
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(tmp_path))
    elsewhere = tmp_path / "config.yaml"
    elsewhere.write_text(config.read_text().replace("suite: miniature", "suite: other"))
    assert command(elsewhere, "train", "mini-s-swapped") == 1
    assert message in capsys.readouterr().err


def test_an_order_can_be_reversed_and_edited_at_once(
    tmp_path: Path, checkout: Path, root: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (checkout / "tests" / "data" / "suites" / "miniature.yaml").read_text()
    line = "  swapped: {row_tokens: 129, rows: 240, edit: swap-pronouns,"
    assert line in text
    (tmp_path / "miniature.yaml").write_text(text.replace(line, f"{line} reversed: true,"))
    monkeypatch.setenv("TRAJECTORIES_SUITES", str(tmp_path))
    elsewhere, target = moved(config, tmp_path)
    (target / "corpus").symlink_to(root / "corpus")
    assert command(elsewhere, "order", "swapped") == 0
    found, swapped = open_order(target / "order" / "swapped"), open_order(root / "order" / "swapped")
    np.testing.assert_array_equal(found[:], swapped[:][::-1])
    np.testing.assert_array_equal(found[found.position(np.array([3, 239]))], swapped[[3, 239]])


def test_a_model_of_the_hub_is_not_trained(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "pythia-70m", "--config", str(config), "--set", "suite=pythia"]) == 1
    assert "is not trained here" in capsys.readouterr().err
