"""The suites' facts against what upstream published: training configurations, settings inside result files, architecture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from trajectories.suites import Model, Suite, available, load_suite

SUITES = ["pythia", "pythia-deduped", "pythia-v0", "pythia-v0-deduped", "polypythias", "pythia-intervention"]
PUBLISHED = ["pythia-published", "pythia-v0-published"]
EVERY = [(suite, model) for suite in SUITES + PUBLISHED for model in load_suite(suite).models]
PAPER = {  # Biderman et al. (2023), table 1: total and non-embedding parameters
    "70m": (70_426_624, 18_915_328),
    "160m": (162_322_944, 85_056_000),
    "410m": (405_334_016, 302_311_424),
    "1b": (1_011_781_632, 805_736_448),
    "1.4b": (1_414_647_808, 1_208_602_624),
    "2.8b": (2_775_208_960, 2_517_652_480),
    "6.9b": (6_857_302_016, 6_444_163_072),
    "12b": (11_846_072_320, 11_327_027_200),
}
PADDED = {"6.9b": 50432, "12b": 50688}
# the configuration file swaps them; the suite records it as an anomaly
SWAPPED = {"pythia-12b-deduped": {"num-layers": 36, "num-attention-heads": 40}}


def size(model: Model) -> str:
    found = re.search(r"pythia-(?:intervention-|long-)*([\d.]+[mb])", model.name)
    assert found is not None
    return found.group(1)


def training_configuration(path: Path) -> dict[str, Any]:
    """GPT-NeoX's configuration: YAML flow with comments; a comma that a file lacks at the end of a line is put in."""
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    text = re.sub(r'([\]}"\w])(\s*\n\s*")', r"\1,\2", text)
    return yaml.safe_load(text)


def processors(path: Path) -> int:
    found = re.search(r"trained on (\d+) gpus", path.read_text(encoding="utf-8"))
    assert found is not None
    return int(found.group(1))


def test_every_suite_of_the_family_is_there() -> None:
    assert set(available()) >= {*SUITES, *PUBLISHED, "nano"}


@pytest.mark.parametrize(("suite", "model"), EVERY, ids=[f"{s}:{m.name}" for s, m in EVERY])
def test_parameters_follow_from_the_architecture(suite: str, model: Model) -> None:
    block = 12 * model.width**2 + 13 * model.width  # attention, MLP of four times the width, their biases, two layer norms
    assert model.parameters_non_embedding == model.layers * block + 2 * model.width
    assert model.parameters_total == model.parameters_non_embedding + 2 * model.vocabulary * model.width
    assert model.vocabulary == PADDED.get(size(model), 50304)
    if size(model) in PAPER:
        assert (model.parameters_total, model.parameters_non_embedding) == PAPER[size(model)]


@pytest.mark.parametrize(("suite", "model"), EVERY, ids=[f"{s}:{m.name}" for s, m in EVERY])
def test_every_run_of_the_family_sees_the_same_number_of_tokens(suite: str, model: Model) -> None:
    assert model.tokens(model.steps_total) == 299_892_736_000
    assert model.tokens_per_step == model.rows_per_step * 2048


def architectures() -> list[Model]:
    found = {(m.layers, m.width, m.heads, m.vocabulary): m for _, m in EVERY}
    return sorted(found.values(), key=lambda m: m.parameters_total)


@pytest.mark.parametrize("model", architectures(), ids=size)
def test_parameters_are_those_that_transformers_builds(model: Model) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.GPTNeoXConfig(
        vocab_size=model.vocabulary,
        hidden_size=model.width,
        intermediate_size=4 * model.width,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        built = transformers.GPTNeoXForCausalLM(config)
    embeddings = sum(m.weight.numel() for m in (built.get_input_embeddings(), built.get_output_embeddings()))
    assert built.num_parameters() == model.parameters_total
    assert built.num_parameters() - embeddings == model.parameters_non_embedding


def configured(data_dir: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((data_dir / "pythia" / "models").glob("*/*.yml"))}


def test_every_training_configuration_belongs_to_a_model(data_dir: Path) -> None:
    names = {m.name for s in ("pythia", "pythia-deduped") for m in load_suite(s).models}
    assert set(configured(data_dir)) == names
    assert len(names) == 18


@pytest.mark.parametrize(
    ("suite", "model"), [(s, m) for s, m in EVERY if s in ("pythia", "pythia-deduped")], ids=lambda v: getattr(v, "name", v)
)
def test_a_model_is_as_its_training_configuration_says(suite: str, model: Model, data_dir: Path) -> None:
    path = configured(data_dir)[model.name]
    told = training_configuration(path) | SWAPPED.get(model.name, {})
    assert (model.layers, model.width, model.heads) == (told["num-layers"], told["hidden-size"], told["num-attention-heads"])
    assert model.head_width == told["hidden-size"] // told["num-attention-heads"]
    assert model.learning_rate == told["optimizer"]["params"]["lr"]
    assert model.steps_total == told["train-iters"] == told["lr-decay-iters"]
    parallel = told["model-parallel-size"]
    accumulation = told.get("gas", told.get("gradient_accumulation_steps"))
    assert model.rows_per_step == processors(path) // parallel * told["train_micro_batch_size_per_gpu"] * accumulation
    assert load_suite(suite).orders[model.order or ""].row_tokens == told["seq-length"] + 1
    padding = 128 * parallel  # GPT-NeoX pads the vocabulary to a multiple of 128 on each parallel part
    assert model.vocabulary == -(-50277 // padding) * padding
    every = range(told["checkpoint-factor"], told["train-iters"] + 1, told["checkpoint-factor"])
    assert model.all_steps == sorted({*told["extra-save-iters"], *every})
    assert told["fp16"]["enabled"] is True
    assert (model.dtype_trained == "float16") == (size(model) != "1b")


def test_a_disagreement_of_upstreams_sources_is_recorded(data_dir: Path) -> None:
    swapped = training_configuration(configured(data_dir)["pythia-12b-deduped"])
    assert (swapped["num-layers"], swapped["num-attention-heads"]) == (40, 36)
    recorded = [a.kind for a in load_suite("pythia-deduped").model("pythia-12b-deduped").anomalies]
    assert "metadata" in recorded
    for suite, name in (("pythia", "pythia-1b"), ("pythia-deduped", "pythia-1b-deduped"), ("pythia-v0", "pythia-1b-v0")):
        assert any(a.kind == "metadata" and "0.0003" in a.detail for a in load_suite(suite).model(name).anomalies)


@pytest.mark.parametrize("model", load_suite("pythia-v0-published").models, ids=lambda m: m.name)
def test_a_first_release_model_is_as_the_settings_inside_its_results_say(model: Model, data_dir: Path) -> None:
    files = sorted((data_dir / "pythia" / "evals" / model.published[0]).glob("*.json"))
    if not files:
        pytest.skip(f"{model.name} is not among the local results")
    told = json.loads(files[0].read_text(encoding="utf-8"))["config"]["model_args"]
    assert (model.layers, model.width, model.heads) == (told["num_layers"], told["hidden_size"], told["num_attention_heads"])
    assert (model.vocabulary, model.learning_rate, model.steps_total) == (told["padded_vocab_size"], told["lr"], told["train_iters"])
    assert model.seed == told["seed"]
    assert told["precision"] == "fp16"


def test_the_first_release_is_the_same_in_its_own_suites_and_in_its_published_results() -> None:
    published = load_suite("pythia-v0-published")
    models = [m for s in ("pythia-v0", "pythia-v0-deduped") for m in load_suite(s).models]
    assert [m.name for m in published.models if m.parent is None] == [m.name for m in models]
    for mine in models:
        theirs = published.model(mine.name)
        same = (
            "layers",
            "width",
            "heads",
            "vocabulary",
            "parameters_total",
            "learning_rate",
            "rows_per_step",
            "steps_total",
            "order",
            "seed",
        )
        assert [getattr(mine, k) for k in same] == [getattr(theirs, k) for k in same]
        assert set(theirs.all_steps) <= set(mine.all_steps)


def test_revisions_of_4m_token_runs_are_renamed_to_twice_the_true_step() -> None:
    suite = load_suite("pythia-v0")
    renamed = [m.name for m in suite.models if m.revision_steps_per_step == 2]
    assert renamed == ["pythia-160m-v0", "pythia-410m-v0", "pythia-1.4b-v0"]
    model = suite.model("pythia-160m-v0")
    assert model.revision_of(500) == "step1000"
    assert model.tokens(500) == suite.model("pythia-70m-v0").tokens(1000)
    assert min(s for m in suite.models for s in m.all_steps) == 500


def broken(suite: str, model: str, kind: str) -> set[int]:
    return {s for a in load_suite(suite).model(model).anomalies if a.kind == kind for s in a.expanded or []}


def test_known_wrong_checkpoints_are_recorded() -> None:
    wrong = broken("pythia", "pythia-2.8b", "duplicate")
    # 86 branches serve weights of the end of training; one of them, the last, rightly so; step 1 is also counted as a copy of step 0
    assert len(wrong) == 85
    assert 143000 not in wrong
    assert {0, 1, 512, 1000, 53000, 54000, 55000, 64000, 140000} <= wrong
    assert not {66000, 142000} & wrong
    assert broken("pythia", "pythia-12b", "discontinuous") == {50000, 58000}
    assert broken("polypythias", "pythia-410m-seed9", "missing") == {40000}
    assert broken("polypythias", "pythia-410m-seed6", "missing") == {88000}
    assert broken("polypythias", "pythia-410m-seed2", "missing") == {111000}
    assert broken("polypythias", "pythia-160m-weight-seed1", "discontinuous") == {0}
    assert all(1 in broken(s, m.name, "duplicate") for s in ("pythia", "pythia-deduped", "polypythias") for m in load_suite(s).models)
    assert broken("pythia-published", "pythia-2.8b", "contaminated") >= {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000}


def test_each_polypythias_seed_has_its_own_order_and_repository() -> None:
    suite = load_suite("polypythias")
    assert len(suite.models) == 5 * 10 + 6
    seeds = [m for m in suite.models if m.order and m.order.startswith("pile-seed")]
    assert len(seeds) == 45
    for m in seeds:
        assert (m.order, m.repository) == (f"pile-seed{m.seed}", f"EleutherAI/{m.name}")
        assert len(suite.orders[m.order or ""].index_maps or []) == 3
    assert {m.name for m in suite.models if m.data_seed is not None} == {
        f"pythia-160m-{w}-seed{k}" for w in ("data", "weight") for k in (1, 2, 3)
    }


def test_an_intervention_branches_off_a_checkpoint_of_its_parent() -> None:
    suite = load_suite("pythia-intervention")
    branches = [m for m in suite.models if m.parent]
    assert len(branches) == 5
    for m in branches:
        assert m.branch_step in suite.model(m.parent or "").all_steps
        assert m.all_steps[0] == (m.branch_step or 0) + 1000
        assert m.revision_of(143000) == "main"
        assert m.revision_of(142000) == "step142000"
    billions = {m.name: round(m.tokens(m.steps_total - (m.branch_step or 0)) / 1e9) for m in branches}
    assert billions.pop("pythia-intervention-long-1.4b-deduped") == 63
    assert set(billions.values()) == {21}


def test_preshuffled_orders_name_all_their_shards() -> None:
    for name, repository in (("pythia", "pile-standard"), ("pythia-deduped", "pile-deduped")):
        suite: Suite = load_suite(name)
        order = suite.orders[repository]
        assert order.repository == f"EleutherAI/{repository}-pythia-preshuffled"
        assert order.shards == [f"document-{i:05d}-of-00020.bin" for i in range(21)]
        assert order.rows == 143_000 * 1024


def test_anomalies_lie_at_steps_that_the_model_has() -> None:
    for suite, model in EVERY:
        for anomaly in model.anomalies:
            if suite in SUITES or anomaly.kind == "contaminated":
                assert set(anomaly.expanded or []) <= set(model.all_steps), (suite, model.name)
