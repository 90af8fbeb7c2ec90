"""Training is repeatable, goes on after a kill, and branches from its parent as if nothing had happened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trajectories import tables
from trajectories.errors import UserError
from trajectories.nano import train
from trajectories.nano.fast import ATTENTION, cross_entropy
from trajectories.nano.model import build
from trajectories.nano.settings import Optimizer, Training
from trajectories.orders import open_order
from trajectories.orders.writer import write_order
from trajectories.suites import Model, Suite, load_suite

STEPS, ROWS_PER_STEP, ROW_TOKENS, VOCABULARY = 12, 4, 81, 97


def facts(**changes: Any) -> Model:
    """A model of 20,000 parameters."""
    width, layers = 16, 2
    other = layers * (12 * width**2 + 13 * width) + 2 * width
    content = {
        "name": "tiny",
        "layers": layers,
        "width": width,
        "heads": 2,
        "head_width": 8,
        "vocabulary": VOCABULARY,
        "learning_rate": 0.01,
    }
    content |= {"parameters_total": other + 2 * VOCABULARY * width, "parameters_non_embedding": other, "rows_per_step": ROWS_PER_STEP}
    content |= {
        "tokens_per_step": ROWS_PER_STEP * (ROW_TOKENS - 1),
        "steps": [0, 1, 2, 4, 8, STEPS],
        "steps_total": STEPS,
        "dtype": "float32",
    }
    return Model.model_validate(content | {"order": "standard", "seed": 1, "schedule": "cosine"} | changes)


PLAN = Training.model_validate(
    {
        "vocabulary": 300,
        "row_tokens": ROW_TOKENS,
        "rows_per_step": ROWS_PER_STEP,
        "steps": STEPS,
        "shard_bytes": 999,
        "canaries": {"counts": {}, "window": 1},
        "grammar": {"sentences": {}},
        "optimizer": {"warmup": 0.2},
        "states": [4],
    }
)


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    train.prepare(1)


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("order")
    rows = np.random.default_rng(0).integers(0, VOCABULARY, (STEPS * ROWS_PER_STEP, ROW_TOKENS)).astype(np.uint16)
    write_order(folder / "standard", "standard", rows, ROWS_PER_STEP, 999)
    edited = rows.copy()
    edited[:, 5] = 7
    write_order(folder / "edited", "edited", edited, ROWS_PER_STEP, 999)
    return folder


def _hashes(folder: Path) -> dict[int, str]:
    manifests = [json.loads(path.read_text()) for path in folder.glob("step*/checkpoint.json")]
    return {manifest["step"]: manifest["weights_sha256"] for manifest in manifests}


def trained(
    folder: Path, orders: Path, model: Model, parent: Path | None = None, identity: str = "same", until: int | None = None
) -> dict[int, str]:
    """Train, and return the hashes of the weights by step; ``until`` stops before that step as a kill would."""
    trainer = train.Trainer(model, PLAN, open_order(orders / (model.order or "")), folder, [], parent, {"what": identity}, {})
    if until is not None:
        update = trainer._update

        def killed() -> None:
            if trainer.step == until:
                raise KeyboardInterrupt
            update()

        trainer._update = killed  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    else:
        trainer.run()
    return _hashes(folder)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, orders: Path) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    trained(folder, orders, facts())
    return folder


@pytest.fixture(scope="module")
def hashes(parent: Path) -> dict[int, str]:
    return _hashes(parent)


def test_every_checkpoint_is_written_and_all_differ(hashes: dict[int, str]) -> None:
    assert sorted(hashes) == [0, 1, 2, 4, 8, STEPS]
    assert len(set(hashes.values())) == 6


def test_the_same_seed_gives_the_same_weights(hashes: dict[int, str], tmp_path: Path, orders: Path) -> None:
    assert trained(tmp_path, orders, facts()) == hashes


def test_the_same_run_saves_the_same_bytes_for_its_branches(parent: Path, hashes: dict[int, str], tmp_path: Path, orders: Path) -> None:
    trained(tmp_path, orders, facts())
    states = sorted((tmp_path / ".state").glob("step*.pt"))
    assert states
    for state in states:
        assert state.read_bytes() == (parent / ".state" / state.name).read_bytes(), state.name


def test_another_seed_changes_the_weights_from_the_start_and_nothing_else(hashes: dict[int, str], tmp_path: Path, orders: Path) -> None:
    other = trained(tmp_path, orders, facts(seed=2))
    assert not set(other.values()) & set(hashes.values())


def test_the_arms_of_a_trial_start_from_the_same_weights_and_part_where_their_training_does(
    hashes: dict[int, str], tmp_path: Path, orders: Path
) -> None:
    """One seed in another order differs from the first update on; at a constant learning rate, from the first after warm-up on."""
    reader = open_order(orders / "standard")
    write_order(tmp_path / "order" / "reversed", "reversed", reader[np.arange(len(reader))][::-1], ROWS_PER_STEP, 999)
    turned = trained(tmp_path / "reversed", tmp_path / "order", facts(order="reversed"))
    constant = trained(tmp_path / "constant", orders, facts(schedule="constant"))
    warm = round(PLAN.optimizer.warmup * STEPS)
    assert {step for step in hashes if turned[step] == hashes[step]} == {0}
    same = {step for step in hashes if constant[step] == hashes[step]}
    assert same >= {step for step in hashes if step <= warm}
    assert max(same) < STEPS


@pytest.mark.parametrize("until", [1, 5, 8, 11])
def test_after_a_kill_training_goes_on_with_the_same_result(hashes: dict[int, str], tmp_path: Path, orders: Path, until: int) -> None:
    before = trained(tmp_path, orders, facts(), until=until)
    assert before == {step: value for step, value in hashes.items() if step <= until}
    losses = json.loads((tmp_path / "step0" / "checkpoint.json").read_text())
    for manifest in tmp_path.glob("step*/checkpoint.json"):  # a workflow removes the outputs of a failed job
        manifest.unlink()
    assert trained(tmp_path, orders, facts()) == hashes
    assert json.loads((tmp_path / "step0" / "checkpoint.json").read_text()) == losses


def test_a_finished_run_is_not_run_again(hashes: dict[int, str], parent: Path, tmp_path: Path, orders: Path) -> None:
    shutil.copytree(parent, tmp_path / "copy")
    assert trained(tmp_path / "copy", orders, facts()) == hashes
    trainer = train.Trainer(facts(), PLAN, open_order(orders / "standard"), tmp_path / "copy", [], None, {"what": "same"}, {})
    assert trainer._take_up()
    assert trainer.step == STEPS


@pytest.mark.parametrize("change", ["damaged state", "damaged weights", "other identity", "no kept state"])
def test_what_is_not_this_runs_own_and_whole_is_trained_anew(hashes: dict[int, str], tmp_path: Path, orders: Path, change: str) -> None:
    trained(tmp_path, orders, facts(), until=9)
    if change == "damaged state":
        path = tmp_path / ".state" / "latest.pt"
        path.write_bytes(path.read_bytes()[:-1000])
    elif change == "damaged weights":
        path = tmp_path / "step2" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif change == "no kept state":
        (tmp_path / ".state" / "step4.pt").unlink()
    trainer = train.Trainer(
        facts(), PLAN, open_order(orders / "standard"), tmp_path, [], None, {"what": "other" if "other" in change else "same"}, {}
    )
    assert not trainer._take_up()
    trainer.run()
    assert {s: e["weights_sha256"] for s, e in trainer.written.items()} == hashes
    assert (tmp_path / ".state" / "step4.pt").exists()


def test_a_branch_on_its_parents_rows_is_its_parent(hashes: dict[int, str], parent: Path, tmp_path: Path, orders: Path) -> None:
    branch = facts(parent="tiny", branch="nothing", branch_step=4, steps=[8, STEPS])
    assert trained(tmp_path, orders, branch, parent / ".state" / "step4.pt") == {8: hashes[8], STEPS: hashes[STEPS]}


def test_a_branch_on_other_rows_leaves_its_parent(hashes: dict[int, str], parent: Path, tmp_path: Path, orders: Path) -> None:
    branch = facts(parent="tiny", branch="edited", branch_step=4, steps=[4, 8, STEPS], order="edited")
    found = trained(tmp_path, orders, branch, parent / ".state" / "step4.pt")
    assert found[4] == hashes[4]
    assert found[8] != hashes[8]
    assert found[STEPS] != hashes[STEPS]


def test_a_branch_goes_on_after_a_kill(parent: Path, tmp_path: Path, orders: Path) -> None:
    branch = facts(parent="tiny", branch="edited", branch_step=4, steps=[6, STEPS], order="edited")
    state = parent / ".state" / "step4.pt"
    trained(tmp_path / "killed", orders, branch, state, until=9)
    assert trained(tmp_path / "killed", orders, branch, state) == trained(tmp_path / "whole", orders, branch, state)


def test_a_checkpoint_is_a_model_directory_that_its_manifest_describes(parent: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = parent / "step8"
    manifest = json.loads((folder / "checkpoint.json").read_text())
    assert {n: (tables.sha256(folder / n), (folder / n).stat().st_size) for n in manifest["files"]} == {
        n: (f["sha256"], f["size"]) for n, f in manifest["files"].items()
    }
    assert manifest["weights_sha256"] == manifest["files"]["model.safetensors"]["sha256"]
    assert {p.name for p in folder.iterdir()} == {*manifest["files"], "checkpoint.json"}
    assert (manifest["model"], manifest["step"], manifest["dtype"], manifest["revision"]) == ("tiny", 8, "float32", None)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.config.model_type == "gpt_neox"
    assert model.config.use_parallel_residual
    assert not model.config.tie_word_embeddings


def test_the_loss_in_the_manifest_is_the_mean_since_the_last_checkpoint(parent: Path) -> None:
    losses = {s: json.loads((parent / f"step{s}" / "checkpoint.json").read_text())["loss"] for s in (0, 1, 4, STEPS)}
    assert losses[0] is None
    assert losses[1] == pytest.approx(np.log(VOCABULARY), abs=0.3)
    assert losses[STEPS] < losses[1]


@pytest.mark.parametrize("suite", ["nano"])
def test_the_suites_parameter_counts_are_those_of_the_models_built(suite: str) -> None:
    for model in load_suite(suite).models:
        build(model, 128)  # raises unless they agree


def test_wrong_parameter_counts_are_refused() -> None:
    with pytest.raises(UserError, match="correct the suite"):
        build(facts(parameters_total=facts().parameters_total + 1, parameters_non_embedding=facts().parameters_non_embedding + 1), 80)


def test_rotary_positions_reach_a_quarter_of_each_head() -> None:
    network = build(load_suite("nano").models[0], 128)
    assert network.gpt_neox.rotary_emb.inv_freq.shape == (load_suite("nano").models[0].head_width // 8,)


def test_the_schedule_warms_up_and_falls_to_its_floor() -> None:
    model, optimizer = facts(steps_total=100, steps=[100]), Optimizer(warmup=0.1, floor=0.1)
    rates = np.array([train.learning_rate(step, model, optimizer) for step in range(101)])
    assert rates[:10] == pytest.approx(0.01 * np.arange(1, 11) / 10)
    assert rates[10] == pytest.approx(0.01)
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[55] == pytest.approx(0.0055)
    assert rates[100] == pytest.approx(0.001)


def test_a_constant_schedule_stays_at_its_height() -> None:
    model = facts(schedule="constant", steps_total=100, steps=[100])
    assert {train.learning_rate(step, model, Optimizer(warmup=0.1)) for step in range(9, 100)} == {0.01}


def test_an_unknown_schedule_is_refused(tmp_path: Path, orders: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'constant'"):
        trained(tmp_path, orders, facts(schedule="constnt"))


def test_the_fast_loss_is_torchs_loss() -> None:
    random = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(50, 31, generator=random)).requires_grad_()
    targets = torch.randint(0, 31, (50,), generator=random)
    expected = torch.nn.functional.cross_entropy(logits, targets)
    (wanted,) = torch.autograd.grad(2 * expected, logits)
    for rows in (7, 50, 64):
        found = cross_entropy(logits, targets, rows)
        (gradient,) = torch.autograd.grad(2 * found, logits)
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)
        torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-8)


def test_the_fast_attention_is_the_librarys_attention() -> None:
    network = build(facts(), 80)
    batch = torch.randint(0, VOCABULARY, (3, 80), generator=torch.Generator().manual_seed(0))
    results = []
    for attention in ("eager", ATTENTION):
        network.set_attn_implementation(attention)
        network.zero_grad()
        logits = network(batch).logits
        logits.square().mean().backward()
        results.append((logits.detach(), network.gpt_neox.layers[0].attention.query_key_value.weight.grad.clone()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)


def test_a_suite_may_hold_reversed_orders_constant_rates_and_branches() -> None:
    content = load_suite("nano").model_dump(mode="json")
    content["orders"]["reversed"] = content["orders"]["standard"] | {"reversed": True}
    content["models"].append(content["models"][0] | {"name": "nano-s-reversed", "order": "reversed", "schedule": "constant"})
    assert Suite.model_validate(content).model("nano-s-reversed").schedule == "constant"
