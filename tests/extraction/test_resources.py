"""What jobs ask for: the table of sizes, and more at each attempt."""

from __future__ import annotations

from pathlib import Path

import pytest
from trajectories import config, recipes, resources
from trajectories.errors import UserError

ROWS = "extract:\n  - {weights_gb: 1, mem_mb: 4, runtime: 2, gpu: 1}\n  - {weights_gb: 8, mem_mb: 9, runtime: 3, gpu: 2}\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "resources.yaml"
    path.write_text(ROWS)
    return path


def test_the_first_row_that_holds_the_weights_counts(table: Path) -> None:
    rows = resources.read(table)
    assert [rows.of(parameters, "float16").mem_mb for parameters in (1000, 500_000_000, 500_000_001, 4_000_000_000)] == [4, 4, 9, 9]
    assert rows.of(250_000_001, "float32").gpu == 2


def test_a_model_larger_than_all_rows_is_one_sentence(table: Path) -> None:
    with pytest.raises(UserError, match="ends at 8 GB of weights, and a model here has 16 GB in float32; add a row"):
        resources.read(table).of(4_000_000_000, "float32")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weights_gb: 8", "weights_gb: 1", "must ascend"),
        ("mem_mb: 9", "memory: 9", "unknown key"),
        ("extract:", "extract: [", "cannot be read"),
    ],
)
def test_a_wrong_table_is_one_sentence(table: Path, old: str, new: str, said: str) -> None:
    table.write_text(ROWS.replace(old, new))
    with pytest.raises(UserError, match=said):
        resources.read(table)


def test_a_further_attempt_asks_for_more() -> None:
    assert [resources.growing(1500)(None, attempt) for attempt in (1, 2, 3)] == [1500, 3000, 4500]


def test_the_largest_pythia_takes_one_gpu_as_published_and_two_in_float32(checkout: Path) -> None:
    rows = resources.read(checkout / "workflow" / "resources.yaml")
    largest = config.resolve({"suite": "pythia", "experiments": ["grammar"]}).suite.model("pythia-12b")
    assert [rows.of(largest.parameters_total, dtype).gpu for dtype in (largest.dtype, "bfloat16", "float32")] == [1, 1, 2]


def test_only_models_whose_weights_are_loaded_must_fit_the_table(table: Path) -> None:
    rows, keys = resources.read(table), {"models": ["pythia-12b"], "experiments": ["bias"]}
    assert resources.asked(rows, config.resolve({"suite": "pythia-published", **keys})) == {}
    with pytest.raises(UserError, match="ends at 8 GB"):
        resources.asked(rows, config.resolve({"suite": "pythia", **keys}))
    small = config.resolve({"suite": "pythia", **keys, "models": ["pythia-70m", "pythia-1.4b"]})
    assert {name: size.gpu for name, size in resources.asked(rows, small).items()} == {"pythia-70m": 1, "pythia-1.4b": 2}


def test_another_precision_concerns_extraction_and_what_follows_but_no_download() -> None:
    own, other = (config.resolve({"suite": "pythia", "experiments": ["grammar"], "dtype": dtype}) for dtype in ("suite", "bfloat16"))
    model, experiment = {"model": "pythia-70m"}, {"experiment": "grammar"}
    verbs = {"audit": model, "fetch": model, "extract": model, "stimuli": experiment, "analyse": experiment, "report": {}}
    changed = {verb for verb, targets in verbs.items() if recipes.content(own, verb, **targets) != recipes.content(other, verb, **targets)}
    assert changed == {"extract", "analyse", "report"}
