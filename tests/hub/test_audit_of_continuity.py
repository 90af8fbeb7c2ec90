"""Which checkpoints are out of line in time, on made-up runs; how a few tensors are read of a file; which names are steps."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hub.histories import SCHEDULES, SHAPES, history, safetensors, samples, stored
from trajectories.hub.branches import gaps, shared_by_stages, stages
from trajectories.hub.continuity import Sample, out_of_line
from trajectories.hub.probes import LARGEST_HEADER, Probe, Unlike, Unreadable, read_header

STEPS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 30001, 1000)]
PARTS = [name.rsplit(".", 2)[0] if len(shape) > 1 else "vectors" for name, shape in SHAPES.items()]


@pytest.fixture(scope="module")
def run():
    return history(1, STEPS)


def flagged(run, dtype="F32"):
    return set(out_of_line(samples(run, dtype), PARTS))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("drift", "noise", "dtype"), [(0.0, 0.0, "F32"), (0.9, 3.0, "F16"), (0.3, 1.0, "BF16")])
def test_smooth_runs_raise_no_alarm(schedule, drift, noise, dtype):
    assert flagged(history(3, STEPS, schedule=schedule, drift=drift, noise=noise), dtype) == set()


@pytest.mark.parametrize("step", [4, 128, 2000, 15000, 29000])
def test_one_checkpoint_of_another_seed_is_found_wherever_it_stands(run, step):
    assert flagged(run | {step: history(2, [0, step], travel=1)[step]}) == {step}


def test_two_checkpoints_that_changed_places_are_both_accused(run):
    assert flagged(run | {15000: run[16000], 16000: run[15000]}) >= {15000, 16000}


def test_of_a_copy_and_what_lies_between_the_copy_is_accused(run):
    near = {name: v + np.float32(1e-6) for name, v in run[17000].items()}
    assert flagged(run | {15000: near}) == {15000}


def test_a_run_that_another_one_takes_over_is_cut_there_and_the_smaller_side_is_accused(run):
    other = history(2, STEPS)
    assert flagged({s: t if s < 24000 else other[s] for s, t in run.items()}) == {s for s in STEPS if s >= 24000}


def test_values_that_are_not_finite_are_out_of_line(run):
    broken = {name: v.copy() for name, v in run[15000].items()}
    next(iter(broken.values()))[0] = np.inf
    assert flagged(run | {15000: broken}) == {15000}


def test_two_checkpoints_tell_nothing(run):
    assert flagged({0: run[0], 30000: history(2, [0, 30000])[30000]}) == set()


def test_constant_tensors_and_a_run_that_stands_still_raise_no_alarm(run):
    assert flagged(dict.fromkeys(STEPS, run[0]), "F16") == set()


def source(content):
    """A reader of one file, and its size; what was asked for is kept in ``asked``."""
    asked = []

    def read(name, ranges):
        asked.append(ranges)
        return [content[a:b] for a, b in ranges]

    return read, {"model.safetensors": len(content)}, asked


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_what_is_read_are_the_tensors_values(run, dtype):
    read, sizes, _ = source(safetensors(run[0], dtype))
    probe = Probe(read, sizes)
    read, sizes, asked = source(safetensors(run[2000], dtype))
    sample = probe.sample(2000, read, sizes)
    assert len(asked) == 1, "files laid out alike take one call"
    assert len(set(probe.parts)) == 4
    for place, values in zip(probe.slices, sample.values, strict=True):
        flat = run[2000][place.tensor].reshape(-1)[place.first : place.first + place.count]
        assert stored(values, dtype) == stored(flat, dtype)


def test_a_file_that_is_laid_out_otherwise_gives_the_same_slices(run):
    probe = Probe(*source(safetensors(run[0]))[:2])
    content = safetensors({**run[2000], "a.first.tensor": np.ones((77, 5), np.float32)})
    one, other = probe.sample(1, *source(content)[:2]), probe.sample(1, *source(safetensors(run[2000]))[:2])
    assert all(np.array_equal(v, w) for v, w in zip(one.values, other.values, strict=True))


def test_another_shape_is_no_checkpoint_of_the_run(run):
    probe = Probe(*source(safetensors(run[0]))[:2])
    with pytest.raises(Unlike, match="has the shape"):
        probe.sample(1, *source(safetensors({n: v.reshape(-1)[: v.size // 2] for n, v in run[0].items()}))[:2])


def test_tensors_under_other_names_are_not_compared(run):
    probe = Probe(*source(safetensors(run[0]))[:2])
    assert probe.sample(1, *source(safetensors({f"model.{n}": v for n, v in run[0].items()}))[:2]).values == [None] * len(probe.slices)


def header(value, length=None):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def entry(**changes):
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"short",
        header(b"[]"),
        header(b"{not json"),
        header(b"[" * 100_000),
        header({}, length=LARGEST_HEADER),
        header({"x": 3}),
        header(entry(data_offsets=[0, 1 << 40])),
        header(entry(data_offsets=[8, 0])),
        header(entry(data_offsets=[-8, 0])),
        header(entry(shape=[3])),
        header(entry(shape=[-1, -2])),
        header(entry(shape=[float("inf")])),
    ],
)
def test_a_hostile_header_is_refused(head):
    with pytest.raises(Unreadable, match=r"^x is no (whole )?safetensors file"):
        read_header("x", head, len(head) + 8)


def test_a_name_from_outside_cannot_reach_the_terminal(run):
    probe = Probe(*source(safetensors({f"\x1b[31m{n}": v for n, v in run[0].items()}))[:2])
    assert all(part.isprintable() for part in probe.parts)


@pytest.mark.parametrize(
    ("name", "stage", "step"),
    [
        ("step1000", "", 1000),
        ("step1000-tokens4B", "", 1000),
        ("checkpoint-400", "", 400),
        ("global_step2000", "", 2000),
        ("stage1-step1000-tokens5B", "stage1", 1000),
        ("stage2-ingredient3-step7000-tokens15B", "stage2-ingredient3", 7000),
    ],
)
def test_names_of_known_suites_are_steps(name, stage, step):
    assert stages(["main", "refs/pr/1", "v1.0", "stepwise", name]) == {stage: {step: name}}


def test_names_of_two_kinds_are_two_stages():
    assert stages(["step1", "checkpoint-1", "step2"]) == {"step": {1: "step1", 2: "step2"}, "checkpoint": {1: "checkpoint-1"}}


def test_absent_steps_are_told_where_the_others_follow_at_one_distance():
    steps = [0, 1, 2, 4, *range(1000, 20001, 1000)]
    assert gaps(steps) == []
    assert gaps([s for s in steps if s not in (7000, 11000)]) == [7000, 11000]
    assert gaps([1, 10, 100, 1000]) == gaps([5]) == gaps([]) == []


def test_a_stage_may_start_from_another_s_checkpoint_and_hold_no_other_of_it():
    assert shared_by_stages({"one": {1: "a", 2: "b"}, "two": {0: "b", 1: "c"}}) == {}
    assert set(shared_by_stages({"one": {1: "a", 2: "b"}, "two": {0: "x", 1: "b"}})) == {("one", 2), ("two", 1)}


def test_a_sample_knows_whether_it_is_finite():
    assert not Sample(0, [np.array([np.nan], np.float32)], 1e-7).finite
