"""Terms are counted for experiments that name some, and again only after a change of what the counts depend on."""

from __future__ import annotations

import pytest
from trajectories import tables
from workflow.flow import Flow

pytestmark = pytest.mark.xdist_group("workflow")

PARTS = {
    "__init__": '"""Counted: one term."""\n',
    "settings": """
from trajectories.suites import Strict

COUNTS_TERMS = True

class Settings(Strict):
    pass

def unavailable(suite):
    return None
""",
    "stimuli": """
import pandas as pd
from trajectories.stimuli import Measure, Stimuli

def stimuli(context):
    shown = pd.DataFrame({"item_id": ["i"], "input_ids": [[0, 5]], "start": 1, "end": 2})
    return Stimuli(shown, [Measure("logprob")], terms=pd.DataFrame({"term": ["end"], "input_ids": [[0]]}))
""",
    "analyse": """
import pandas as pd
from trajectories.analysis import Analysis

def analyse(context):
    found = context.counts_of("mini-s-swapped").rename(columns={"term": "metric", "count": "value"}).drop(columns="other")
    return Analysis(found.assign(model="mini-s-swapped", level="all", group="", setting="", n=1, ci_low=0.0, ci_high=0.0, method="counted"))
""",
    "figures": """
def figures(context):
    return []
""",
}
COUNTS = {"count standard counted", "count swapped counted"}


@pytest.fixture
def flow(twin: Flow) -> Flow:
    """The finished run's folder with one more experiment, whose terms are counted."""
    folder = twin.folder / "workflow/src/trajectories/experiments/counted"
    folder.mkdir()
    for name, text in PARTS.items():
        (folder / f"{name}.py").write_text(text)
    twin.configure(models=["mini-s", "mini-s-swapped"], steps=[0, 20, 30], experiments=["grammar", "counted"])
    return twin


def test_terms_are_counted_once_in_the_orders_that_models_are_trained_on_and_reach_the_analysis(flow: Flow):
    done = flow.run()
    assert {job for job in done if job.startswith("count ")} == COUNTS
    root = flow.folder / "results" / "miniature"
    found = tables.read_table(root / "trajectories" / "counted.parquet")
    assert found["step"].tolist() == [0, 10, 20, 25, 30]
    assert (found["value"].diff().iloc[1:] > 0).all()
    assert flow.planned() == set()
    for module in ["experiments/counted/analyse.py", "experiments/counted/figures.py", "extraction/measures.py"]:
        flow.edit(module)
    planned = flow.planned()
    assert "analyse counted" in planned
    assert not {job for job in planned if job.startswith("count ")}
    flow.edit("orders/counting.py")
    assert {job for job in flow.planned() if job.startswith(("count ", "stimuli "))} == COUNTS
