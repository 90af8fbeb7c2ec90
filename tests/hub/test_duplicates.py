"""Which of several checkpoints with the same content is taken to be right."""

from __future__ import annotations

from trajectories.hub.duplicates import equal_parts, equal_wholes


def status(found):
    return {step: verdict for step, (verdict, _) in found.items()}


def test_different_contents_are_not_mentioned():
    assert equal_wholes({0: "a", 1: "b", 2: "c"}, last=2) == {}
    assert equal_parts({0: {"x": "a", "y": "b"}, 1: {"x": "c", "y": "d"}}, last=1) == {}


def test_the_last_step_of_the_run_keeps_its_content():
    found = equal_wholes({0: "end", 1: "end", 2: "b", 3: "end"}, last=3)
    assert status(found) == {0: "duplicate", 1: "duplicate", 3: "ok"}


def test_an_earlier_step_is_not_the_last_because_the_last_is_absent():
    assert status(equal_wholes({5: "a", 6: "a"}, last=7)) == {5: "duplicate", 6: "duplicate"}


def test_two_contents_may_each_stand_under_several_steps():
    """The state of pythia-2.8b: the files of ``main`` under many steps, and those of the last step under a few others."""
    identity = {0: "main", 1: "main", 512: "main", 54000: "second", 60000: "main", 61000: "second", 66000: "own", 143000: "second"}
    found = equal_wholes(identity, last=143000, also={"the branch main": "main"})
    assert status(found) == {0: "duplicate", 1: "duplicate", 512: "duplicate", 54000: "duplicate", 60000: "duplicate"} | {
        61000: "duplicate",
        143000: "ok",
    }
    assert "the branch main" in found[60000][1]
    assert "the branch main" not in found[54000][1]


def test_long_lists_of_steps_are_summed_up():
    found = equal_wholes(dict.fromkeys(range(20), "a"), last=100)
    assert "19 steps from 0 to 18" in found[19][1]


def test_a_shard_moved_to_another_place_in_the_list_is_still_found():
    found = equal_parts({1: {"model-1": "a", "model-2": "b"}, 2: {"model-1": "c", "model-2": "a"}}, last=9)
    assert status(found) == {1: "duplicate", 2: "duplicate"}
    assert found[2][1].startswith("1 of 2 weight files shared: model-2 is also that of step 1")


def test_a_part_that_is_equal_at_every_step_is_frozen_and_accuses_nobody():
    steps = range(1, 6)
    frozen = {s: {"embedding": "a", "layers": f"b{s}"} for s in steps}
    assert equal_parts(frozen, last=5) == {}
    assert set(status(equal_wholes(dict.fromkeys(steps, "a"), last=9)).values()) == {"duplicate"}, "unless it is all that there is"
    copied = frozen | {2: frozen[2] | {"head": "c"}, 3: frozen[3] | {"head": "c"}}
    assert status(equal_parts(copied, last=5)) == {2: "duplicate", 3: "duplicate"}, "another part that is shared still tells"
    assert status(equal_parts({s: {"embedding": "a", "layers": f"b{s}"} for s in (1, 2)}, last=9)) == dict.fromkeys((1, 2), "duplicate")


def test_a_frozen_part_stays_frozen_with_wrong_checkpoints_in_the_run():
    run = {s: {"embedding": "a", "layers": f"b{s}"} for s in range(20)}
    assert equal_parts(run | {s: {"embedding": f"x{s}", "layers": f"y{s}"} for s in (7, 11)}, last=19) == {}
    some = {s: {"embedding": "x" if s < 6 else "a", "layers": f"b{s}"} for s in range(20)}
    assert set(status(equal_parts(some, last=19)).values()) == {"ok", "duplicate"}, "too many are without it to call it frozen"


def test_whole_equality_is_left_to_the_other_rule():
    assert equal_parts({1: {"x": "a", "y": "b"}, 2: {"x": "a", "y": "b"}}, last=9) == {}


def test_steps_that_serve_one_content_do_not_make_its_parts_frozen():
    run = {s: {"x": "end", "y": "end'"} for s in range(16)} | {s: {"x": f"a{s}", "y": f"b{s}"} for s in (16, 17, 18)}
    assert status(equal_parts(run | {18: {"x": "end", "y": "b18"}}, last=15))[18] == "duplicate"
