"""The whole analysis of a world whose truth is known, and its figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from knowledge.world import LAYERS, analysis_context, states, suite, truth
from trajectories.analysis import Analysis
from trajectories.experiments.knowledge.analyse import analyse
from trajectories.experiments.knowledge.figures import figures
from trajectories.experiments.knowledge.settings import FiguresSettings
from trajectories.figures import FigureContext
from trajectories.verbs.analyse import join_facts


@pytest.fixture(scope="module")
def found() -> Analysis:
    return analyse(analysis_context())


def test_the_planted_differences_between_forms_are_found(found: Analysis) -> None:
    decided = found.claims[(found.claims["model"] == "small") & (found.claims["group"] == "")].set_index("id")
    assert decided["verdict"]["paraphrase-loses"] == "supported"
    for name, lost in {"paraphrase-loses": 0.6, "reversal-loses": 1.0, "second-hop-loses": 1.0}.items():
        assert decided["ci_low"][name] < lost < decided["ci_high"][name], name
    assert decided["verdict"]["reversal-loses"] == decided["verdict"]["second-hop-loses"] == "supported"


def test_a_form_that_training_uses_loses_nothing(found: Analysis) -> None:
    table = found.trajectories
    last = table[(table["step"] == 256) & (table["metric"] == "accuracy_beyond_chance") & (table["model"] == "small")].set_index("group")
    told = truth("facts").query("reversed_count > 0")
    assert last["value"]["reversed, told so"] == pytest.approx((told["frequency"] == 64).mean(), abs=0.15)
    assert last["value"]["reversed"] < 0.1


def test_the_layer_that_comes_later_is_not_called_first(found: Analysis) -> None:
    lag = found.claims[found.claims["id"] == "decodable-first"].set_index("model")
    assert (lag["verdict"] != "supported").all()
    assert lag["estimate"]["small"] == pytest.approx(1.0, abs=0.5)
    assert "layer 2 9" in lag["reason"]["small"] or "layer 2 100%" in lag["reason"]["small"]


def test_a_probe_finds_objects_in_the_states_at_the_end_of_training_alone(found: Analysis) -> None:
    decided = found.claims[found.claims["id"] == "probe-generalizes"].set_index("model")["verdict"]
    assert decided["small"] == "supported"
    probes = found.trajectories[found.trajectories["metric"] == "probe_beyond_chance"]
    first = probes[(probes["step"] == 0) & (probes["group"] == "selectivity")]
    assert (first["value"].abs() < 0.15).all()


def test_a_branch_is_described_and_not_judged(found: Analysis) -> None:
    assert "branch" not in set(found.claims["model"])
    assert "branch" in set(found.trajectories["model"])


def test_one_claim_of_each_model_is_primary(found: Analysis) -> None:
    primary = found.claims[found.claims["role"] == "primary"]
    assert sorted(primary["model"]) == ["large", "small"]
    assert set(primary["id"]) == {"paraphrase-loses"}
    assert (found.claims["margin"] > 0).all()


def test_guessing_is_found_to_be_guessing(found: Analysis) -> None:
    assert len(found.recovery) >= 10
    assert found.recovery["covered"].mean() > 0.8


def test_every_claim_with_a_verdict_is_tried_on_simulated_samples(found: Analysis) -> None:
    judged = set(found.claims.loc[found.claims["verdict"] != "inconclusive", "id"])
    assert judged <= set(found.calibration["claim"])


def test_trajectories_keep_their_contract_and_are_drawn(found: Analysis) -> None:
    context = analysis_context()
    table = join_facts(found.trajectories, suite(), context.checkpoints, "knowledge")
    assert set(table.loc[table["metric"] == "lens_beyond_chance", "group"]) == {str(i) for i in range(LAYERS)}
    drawn = figures(
        FigureContext(suite(), FiguresSettings(), table, found.claims, found.calibration, found.recovery, found.extra.__getitem__)
    )
    assert [figure.name for figure in drawn] == [
        "facts-by-form", "facts-final", "facts-gap", "facts-consistency", "lens-by-layer", "lens-first", "probes",
    ]  # fmt: skip
    for figure in drawn:
        assert figure.chart.to_dict()


def test_a_suite_without_prompts_states_or_layers_is_analysed_without_them() -> None:
    context = analysis_context(stimuli=None)
    assert analyse(context).trajectories.empty
    bare = analysis_context(read_tensor=None, read=lambda model, step: analysis_context().read(model, step).drop(columns="lens_logprob"))
    left = analyse(bare)
    assert set(left.claims["id"]) == {"paraphrase-loses", "reversal-loses", "second-hop-loses", "paraphrase-later", "larger-loses-less"}
    empty = FigureContext(
        suite(), FiguresSettings(), pd.DataFrame(columns=["metric", "level", "setting"]), *[pd.DataFrame()] * 3, {}.__getitem__
    )
    assert figures(empty) == []


def test_probes_name_the_layers_that_were_read_as_the_model_counts_them() -> None:
    context = analysis_context()

    def some(model: str, step: int, measure: str) -> np.ndarray:
        return states(model, step, measure)[:, :, [0, 1, -1]]

    deep = context.suite.model_copy(update={"models": [m.model_copy(update={"layers": 12}) for m in context.suite.models]})
    found = analyse(analysis_context(suite=deep, read_tensor=some))
    probes = found.trajectories[(found.trajectories["metric"] == "probe_beyond_chance") & (found.trajectories["level"] == "layer")]
    assert set(probes["group"]) == {"0", "6", "12"}
