"""Counting in the training orders: which experiments get such jobs, and what makes them run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from trajectories import tables
from workflow.flow import Flow

pytestmark = pytest.mark.xdist_group("workflow")

# an experiment that asks for a term and draws how often it was seen
WORDS = {
    "__init__": "",
    "settings": """
from trajectories.suites import Strict

COUNTS_TERMS = True


class Nothing(Strict):
    pass


class Settings(Strict):
    stimuli: Nothing = Nothing()


def unavailable(suite):
    return None
""",
    "stimuli": """
import pandas as pd

from trajectories.stimuli import Measure, Stimuli


def stimuli(context):
    ids = context.tokenizer().encode(" the").ids
    shown = pd.DataFrame({"item_id": ["the"], "input_ids": [[context.suite.end_of_text, *ids]], "start": 1, "end": 1 + len(ids)})
    return Stimuli(shown, [Measure("logprob")], terms=pd.DataFrame({"term": ["the"], "input_ids": [ids]}))
""",
    "analyse": """
import pandas as pd

from trajectories.analysis import Analysis


def analyse(context):
    of = {"metric": "seen", "level": "term", "group": "the", "setting": "", "n": 1, "method": "counted", "ci_low": None, "ci_high": None}
    found = []
    for model, steps in context.checkpoints.groupby("model"):
        counts = context.counts_of(model).set_index("step")
        found += [{"model": model, "step": s, "value": counts["count"][s], "stderr": counts["stderr"][s], **of} for s in steps["step"]]
    return Analysis(pd.DataFrame(found))
""",
    "figures": """
def figures(context):
    return []
""",
}
COUNTS = {"count standard words", "count swapped words"}
BEHIND = {"analyse words", "figures words", "report"}


@pytest.fixture(scope="module")
def with_words(finished: Flow, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """The finished run with one more experiment, run to its end. Not to be changed: take a twin."""
    flow = finished.twin(tmp_path_factory.mktemp("words") / "workflow")
    package = flow.folder / "workflow/src/trajectories/experiments/words"
    package.mkdir()
    for name, text in WORDS.items():
        (package / f"{name}.py").write_text(text)
    flow.configure(models=["mini-s", "mini-s-swapped"], steps=[0, 20, 30], experiments=["grammar", "words"])
    done = flow.run()
    assert {job for job in done if job.startswith("count")} == COUNTS, "an experiment without terms is not counted for"
    return flow


@pytest.fixture
def words(with_words: Flow, tmp_path: Path) -> Flow:
    return with_words.twin(tmp_path / "twin")


def test_counts_reach_the_analysis_along_a_branchs_history(with_words: Flow) -> None:
    seen = tables.read_table(with_words.folder / "results/miniature/trajectories/words.parquet").set_index(["model", "step"])["value"]
    assert seen["mini-s", 0] == 0 < seen["mini-s", 20] < seen["mini-s", 30]
    # the swapped order differs in pronouns alone
    assert seen["mini-s-swapped", 30] == seen["mini-s", 30]
    assert with_words.planned() == set()


@pytest.mark.parametrize("part", ["analyse", "figures"])
def test_an_edit_of_what_comes_after_does_not_count_again(words: Flow, part: str) -> None:
    words.edit(f"experiments/words/{part}.py")
    assert words.planned() == (BEHIND if part == "analyse" else BEHIND - {"analyse words"})


def test_an_edit_of_the_counter_counts_again_and_measures_nothing(words: Flow) -> None:
    words.edit("orders/terms.py")
    assert words.planned() == COUNTS | BEHIND


def test_fewer_tokens_to_read_count_again(words: Flow) -> None:
    words.configure(models=["mini-s", "mini-s-swapped"], steps=[0, 20, 30], experiments=["grammar", "words"], count_tokens=10_000)
    assert words.planned() == COUNTS | BEHIND


def test_stimuli_that_are_made_anew_with_the_same_terms_take_their_counts_from_the_store(words: Flow) -> None:
    words.edit("experiments/words/stimuli.py")
    # an order that could not be read would stop a count
    for shard in (words.folder / "results/miniature/order/standard").glob("*.bin"):
        shard.write_bytes(bytes(len(shard.read_bytes())))
    before = tables.read_table(words.folder / "results/miniature/counts/standard/words.parquet")
    assert {"stimuli words", *COUNTS} <= words.run("--until", "count")
    after = tables.read_table(words.folder / "results/miniature/counts/standard/words.parquet")
    assert after.equals(before)
