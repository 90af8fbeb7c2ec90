"""Probes find what states show for facts they were not trained on, and controls tell what they learn by heart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trajectories.experiments.knowledge.parts.probes import FACTS, PHRASING, Task, chosen_steps, probed, tasks

OBJECTS, EACH, WIDTH = 5, 9, 32


@pytest.fixture(scope="module")
def task() -> Task:
    """One relation: five objects of nine facts each, in two phrasings."""
    rows = [
        {"relation": "r", "fact_id": f"{o}-{i}", "subject": f"{o}-{i}", "object": o, "frequency": -1, "form": form}
        for o in range(OBJECTS)
        for i in range(EACH)
        for form in ("seen", "paraphrase")
    ]
    return tasks(pd.DataFrame(rows), np.random.default_rng(0))[0]


def test_an_object_that_states_show_is_found_for_new_facts_and_a_control_is_not(task: Task) -> None:
    random = np.random.default_rng(1)
    states = 2 * random.normal(size=(OBJECTS, WIDTH))[task.object[task.fact]] + random.normal(size=(len(task.fact), WIDTH))
    assert probed(states, task, FACTS, 0.1).mean() > 0.9
    assert probed(states, task, FACTS, 0.1, control=True).mean() < 0.45


def test_a_state_that_shows_only_which_fact_it_is_helps_by_heart_alone(task: Task) -> None:
    random = np.random.default_rng(2)
    who = 3 * random.normal(size=(OBJECTS * EACH, WIDTH))
    states = who[task.fact] + 0.1 * random.normal(size=(len(task.fact), WIDTH))
    assert probed(states, task, PHRASING, 0.1).mean() > 0.7
    assert probed(states, task, PHRASING, 0.1, control=True).mean() > 0.7  # so selectivity is nothing
    assert probed(states, task, FACTS, 0.1).mean() < 0.45


def test_folds_keep_a_facts_prompts_together_and_objects_apart(task: Task) -> None:
    for fold in range(3):
        np.testing.assert_array_equal(np.bincount(task.object[task.fold == fold], minlength=OBJECTS), np.full(OBJECTS, EACH // 3))
    assert sorted(task.dealt) == sorted(task.object)
    assert (task.dealt != task.object).any()


def test_a_relation_with_one_fact_of_an_object_is_no_task() -> None:
    rows = pd.DataFrame(
        {"relation": "r", "fact_id": list("abc"), "subject": list("abc"), "object": [0, 0, 1], "frequency": 0, "form": "seen"}
    )
    assert tasks(rows, np.random.default_rng(0)) == []


def test_checkpoints_are_the_first_the_last_and_some_between() -> None:
    assert chosen_steps(np.arange(0, 100, 10), 4) == [0, 30, 60, 90]
    assert chosen_steps(np.array([5]), 4) == [5]
