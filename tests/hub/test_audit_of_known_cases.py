"""The wrong checkpoints that the Hub is known to hold, rebuilt with small weights: all found, no other flagged."""

from __future__ import annotations

import numpy as np
import pytest
from hub.histories import PYTHIA, history, revision
from trajectories import tables
from trajectories.cli import main
from trajectories.hub import audit
from trajectories.suites import load_suite

SAME_AS_MAIN = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 53001, 1000), 55000, 60000, 65000, 70000, 80000, 90000, 100000]
SAME_AS_MAIN += [103000, 110000, 120000, 130000, 140000]
SECOND_FILE = [54000, *range(56000, 59001, 1000), *range(61000, 64001, 1000), 143000]


@pytest.fixture(scope="module")
def run():
    """A run as Pythia's are: step 1 equals step 0, since the first learning rate is zero."""
    made = history(1)
    return made | {1: made[0]}


@pytest.fixture(scope="module")
def other():
    made = history(2)
    return made | {1: made[0]}


def model(suite, name, **changes):
    """A model of a real suite, without what the suite knows to be wrong with it."""
    return load_suite(suite).model(name).model_copy(update={"anomalies": [], **changes})


def served(hub, name, branches):
    return hub.add(f"EleutherAI/{name}", {b if isinstance(b, str) else f"step{b}": files for b, files in branches.items()})


def by_status(table):
    return {s: set(own["step"]) for s, own in table.groupby("status") if s != "ok"}


def test_a_sound_run_costs_few_requests_and_bytes_and_only_step_1_is_flagged(hub, run):
    served(hub, "pythia-70m", {step: revision(tensors) for step, tensors in run.items()})
    table = audit.of_hub(model("pythia", "pythia-70m"))
    assert by_status(table) == {"duplicate": {1}}
    asked = hub.asked("resolve|storage")
    assert len(asked) <= 6 * len(PYTHIA)
    assert max(sum(r.sent for r in asked if f"/{sha}/" in r.path) for sha in table["sha256"]) < 1 << 20


def test_pythia_2_8b_serves_final_weights_under_86_steps(hub, run):
    assert (len(SAME_AS_MAIN), len(SECOND_FILE)) == (76, 10)
    late = {name: v + np.float32(1e-3) for name, v in run[142000].items()}
    branches = {step: revision(run[step]) for step in PYTHIA} | {"main": revision(late)}
    branches |= dict.fromkeys(SAME_AS_MAIN, revision(late)) | dict.fromkeys(SECOND_FILE, revision(run[143000]))
    served(hub, "pythia-2.8b", branches)
    table = audit.of_hub(model("pythia", "pythia-2.8b"))
    assert by_status(table) == {"duplicate": {*SAME_AS_MAIN, *SECOND_FILE} - {143000}}


def test_pythia_12b_has_the_final_model_s_first_shard_under_two_steps(hub, run):
    branches = {step: revision(tensors, 3) for step, tensors in run.items()}
    first = "model-00001-of-00003.safetensors"
    for step in (50000, 58000):
        branches[step] = {**branches[step], first: branches[143000][first]}
    served(hub, "pythia-12b", branches)
    assert by_status(audit.of_hub(model("pythia", "pythia-12b"))) == {"duplicate": {1, 50000, 58000}}


def test_a_shard_that_was_written_anew_into_one_file_is_found_by_its_tensors(hub, run):
    steps = range(40000, 61000, 1000)
    first = [name for name in run[0] if "layers.0" in name or "embed" in name]
    changed = {s: run[s] | ({n: run[60000][n] for n in first} if s in (50000, 58000) else {}) for s in steps}
    served(hub, "pythia-12b", {step: revision(tensors) for step, tensors in changed.items()})
    table = audit.of_hub(model("pythia", "pythia-12b", steps=list(steps)))
    assert by_status(table) == {"duplicate": {50000, 58000}}
    assert "parts of the tensors read shared" in table.set_index("step").at[50000, "detail"]


@pytest.mark.parametrize(("seed", "step"), [(9, 40000), (6, 88000), (2, 111000)])
def test_polypythias_410m_lacks_steps(hub, run, seed, step):
    some = [*range(step - 6000, step + 7000, 1000)]
    name = f"pythia-410m-seed{seed}"
    branches = {s: revision(run[s]) for s in some}
    branches[step] = {k: v for k, v in branches[step].items() if "model" not in k}
    repository = served(hub, name, branches)
    assert by_status(audit.of_hub(model("polypythias", name, steps=some))) == {"missing": {step}}
    repository.remove(f"step{step}")
    assert by_status(audit.of_repository(f"EleutherAI/{name}")) == {"missing": {step}}


def test_a_run_that_does_not_descend_from_its_step_0_is_found_there(hub, run, other):
    served(hub, "pythia-160m-weight-seed1", {s: revision(t) for s, t in (run | {0: other[0]}).items()})
    table = audit.of_hub(model("polypythias", "pythia-160m-weight-seed1"))
    assert by_status(table) == {"discontinuous": {0}}
    assert "breaks between steps 0 and 1" in table.at[0, "detail"]


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_weights_of_another_run_and_of_another_time_are_out_of_line(hub, run, other, dtype):
    steps = [*range(90000, 121000, 1000)]
    changed = {s: run[s] for s in steps} | {95000: other[95000], 110000: run[70000]}
    changed |= {s: other[s] for s in (102000, 103000, 104000)}
    served(hub, "pythia-70m", {s: revision(t, dtype=dtype) for s, t in changed.items()})
    table = audit.of_hub(model("pythia", "pythia-70m", steps=steps))
    assert by_status(table) == {"discontinuous": {95000, 102000, 103000, 104000, 110000}}


def test_a_branch_that_starts_from_its_parent_s_checkpoint_is_no_anomaly(hub, run):
    branch = history(5, steps=[s for s in PYTHIA if s <= 20000], shapes={n: v.shape for n, v in run[0].items()})
    moved = {s + 100000: {n: run[100000][n] + (v - branch[0][n]) * np.float32(0.3) for n, v in t.items()} for s, t in branch.items()}
    served(hub, "pythia-70m", {s: revision(t) for s, t in moved.items() if s == 100000 or s % 1000 == 0})
    assert by_status(audit.of_hub(model("pythia", "pythia-70m", steps=[*range(100000, 121000, 1000)]))) == {}


def test_weights_that_no_header_describes_are_missing_and_pickles_are_left_unread(hub, run):
    steps = [*range(60000, 70000, 1000)]
    branches = {s: revision(run[s]) for s in steps}
    branches[62000]["model.safetensors"] = b"\xff" * 20000
    branches[65000]["pytorch_model.bin"] = branches[65000].pop("model.safetensors")
    served(hub, "pythia-70m", branches)
    table = audit.of_hub(model("pythia", "pythia-70m", steps=steps)).set_index("step")
    assert by_status(table.reset_index()) == {"missing": {62000}}
    assert "no safetensors file" in table.at[62000, "detail"]
    assert "cannot be read in part" in table.at[65000, "detail"]
    assert not hub.asked(r"\.bin")


@pytest.mark.parametrize("shards", [1, 3])
def test_weights_that_training_leaves_alone_accuse_nobody_and_hide_nothing(hub, run, other, shards):
    steps = [*range(60000, 72000, 1000)]
    frozen = {n: v for n, v in run[0].items() if "layers.0" in n or "embed" in n}
    lower = {s: run[s] | frozen for s in steps}
    served(hub, "pythia-70m", {s: revision(lower[s], shards) for s in steps})
    assert by_status(audit.of_hub(model("pythia", "pythia-70m", steps=steps))) == {}
    wrong = {64000: other[64000], 67000: lower[71000]}
    served(hub, "pythia-70m", {s: revision(wrong.get(s, lower[s]), shards) for s in steps})
    assert by_status(audit.of_hub(model("pythia", "pythia-70m", steps=steps))) == {"discontinuous": {64000}, "duplicate": {67000}}


def test_weights_that_no_tensor_read_tells_apart_are_duplicates_although_their_files_differ(hub, run):
    steps = [*range(60000, 66000, 1000)]
    served(hub, "pythia-70m", {s: revision(run[0] | {"z.step": np.full(2, s / 1000, np.float32)}) for s in steps})
    assert by_status(audit.of_hub(model("pythia", "pythia-70m", steps=steps))) == {"duplicate": set(steps[:-1])}


@pytest.mark.parametrize("dtype", ["F16", "F32"])
def test_a_last_step_of_another_model_s_shapes_accuses_itself_alone_and_costs_at_most_twice_the_requests(hub, run, dtype):
    steps = [*range(60000, 72000, 1000)]
    wide = history(3, steps, {n: (*v.shape[:-1], 2 * v.shape[-1]) for n, v in run[0].items()})
    narrow = history(4, steps, {n: (*v.shape[:-1], v.shape[-1] // 2) for n, v in run[0].items()})
    cost = []
    for wrong in ({}, {71000: wide[71000]}, {s: wide[s] for s in (60000, 65000, 69000, 71000)}, {71000: wide[71000], 70000: narrow[70000]}):
        served(hub, "pythia-70m", {s: revision(wrong.get(s, run[s]), dtype=dtype) for s in steps})
        hub.requests.clear()
        table = audit.of_hub(model("pythia", "pythia-70m", steps=steps)).set_index("step")
        assert by_status(table.reset_index()) == ({"discontinuous": set(wrong)} if wrong else {})
        cost.append(len(hub.asked("resolve|storage")))
        assert cost[-1] <= 2 * cost[0]
        for step in wrong:
            assert "has the shape" in table.at[step, "detail"]


@pytest.fixture
def olmo(hub, run):
    """Two stages; the ingredients of the second start from the end of the first."""
    steps = [*range(1000, 31000, 1000)]
    branches = {f"stage1-step{s}-tokens{s * 4 // 1000}B": revision(run[s]) for s in steps} | {"main": revision(run[30000])}
    for k in (1, 2):
        own = history(10 + k, steps=[0, *range(1000, 6000, 1000)], shapes={n: v.shape for n, v in run[0].items()})
        moved = {s: {n: run[30000][n] + v - own[0][n] for n, v in t.items()} for s, t in own.items()}
        branches |= {f"stage2-ingredient{k}-step{s}-tokens{s // 1000}B": revision(t) for s, t in moved.items()}
    return hub.add("allenai/OLMo-2", branches)


def test_stages_of_olmo_are_told_apart_and_sound(olmo, capsys):
    assert main(["audit", "allenai/OLMo-2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in said] == [
        "allenai/OLMo-2 stage1", "allenai/OLMo-2 stage2-ingredient1", "allenai/OLMo-2 stage2-ingredient2"
    ]  # fmt: skip
    assert "30 ok" in said[0]


def test_anomalies_of_a_repository_are_printed_written_and_in_the_exit_code(hub, olmo, run, other, capsys, tmp_path):
    olmo.commit("stage1-step9000-tokens36B", revision(other[9000]))
    olmo.commit("stage1-step20000-tokens80B", revision(run[30000]))
    assert main(["audit", "allenai/OLMo-2", "--output", str(tmp_path / "audit.csv")]) == 3
    said = capsys.readouterr().out
    assert "28 ok, 1 discontinuous, 1 duplicate" in said
    assert "step 30000" in said
    assert len((tmp_path / "audit.csv").read_text().splitlines()) == 1 + 30 + 12
    hub.requests.clear()
    assert main(["audit", "allenai/OLMo-2", "--hashes-only", "--all", "--output", str(tmp_path / "audit.parquet")]) == 3
    assert not hub.asked("resolve|storage")
    assert "1 duplicate" in capsys.readouterr().out
    assert set(tables.read_table(tmp_path / "audit.parquet")["model"]) == {"stage1", "stage2-ingredient1", "stage2-ingredient2"}


def test_tags_named_checkpoint_are_steps(hub, run, capsys):
    repository = hub.add("stanford-crfm/alias-gpt2-small-x21", {"main": revision(run[30000])})
    for step in range(1000, 31000, 1000):
        repository.commit(f"checkpoint-{step}", revision(run[step]), tag=True)
    assert main(["audit", "stanford-crfm/alias-gpt2-small-x21"]) == 0
    assert "30 checkpoints, steps 1000 to 30000: 30 ok" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["allenai/none"], "no such thing as repository"),
        (["allenai/OLMo-2/x"], "owner/name"),
        (["allenai/OLMo-2", "--output", "audit.txt"], ".parquet"),
        (["pythia-70m", "--all"], "go with a repository"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(hub, capsys, arguments, said):
    assert main(["audit", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_repository_without_steps_is_one_sentence(hub, run, capsys):
    hub.add("owner/model", {"main": revision(run[0])})
    assert main(["audit", "owner/model"]) == 1
    assert "looks like a training step" in capsys.readouterr().err
