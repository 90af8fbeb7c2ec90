"""Terms are counted for experiments that name some, and again only after a change of what the counts depend on."""

from __future__ import annotations

import pytest
from trajectories import tables
from trajectories.orders import open_order
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
def analyse(context):
    return context.counts_of("mini-s")
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


def counts(planned: set[str]) -> set[str]:
    return {job for job in planned if job.startswith(("count ", "stimuli "))}


def test_terms_are_counted_in_the_orders_that_models_are_trained_on_and_not_again_for_another_analysis(flow: Flow):
    root = flow.folder / "results" / "miniature"
    # not for grammar, which names no terms, and not in the order that no model is trained on
    assert counts(flow.planned()) == COUNTS | {"stimuli counted"}
    targets = [root / "counts" / order / "counted.parquet" for order in ("standard", "swapped")]
    assert flow.run(*(str(path.relative_to(flow.folder)) for path in targets)) == COUNTS | {"stimuli counted"}
    for path in targets:
        rows = open_order(root / "order" / path.parent.name)
        found = tables.read_table(path)
        assert found["count"].tolist() == [(rows[: 8 * step][:, :-1] == 0).sum() for step in found["step"]]
        assert found["step"].iloc[-1] == 30
    for module in ["experiments/counted/analyse.py", "experiments/counted/figures.py", "extraction/measures.py"]:
        flow.edit(module)
    planned = flow.planned()
    assert "analyse counted" in planned
    assert counts(planned) == set()
    flow.edit("orders/counting.py")
    assert counts(flow.planned()) == COUNTS
