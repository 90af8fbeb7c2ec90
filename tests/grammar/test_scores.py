"""From log-probabilities or published accuracies to accuracies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from grammar.small import measured, probabilities
from trajectories.analysis import AnalysisContext
from trajectories.errors import UserError
from trajectories.experiments.grammar import scores

Make = Callable[..., AnalysisContext]


def test_accuracy_is_the_share_of_pairs_whose_good_sentence_is_likelier(analysis_context: Make) -> None:
    found, notes = scores.from_measurements(analysis_context(400))
    a = next(s for s in found if (s.model, s.set) == ("a", "planted"))
    assert notes == []
    assert a.accuracy.shape == (11, 12)
    assert (a.n == 300).all()
    assert a.accuracy[4] == pytest.approx(probabilities("a", 40), abs=0.09)
    assert a.margin is not None
    assert set(np.unique(np.concatenate([m.ravel() for m in a.margin]))) == {-1.5, 1.5}


def test_measurements_in_another_order_give_the_same_accuracies(analysis_context: Make) -> None:
    context = analysis_context()
    shuffled = replace(context, read=lambda model, step: context.read(model, step).sample(frac=1, random_state=3))
    one, other = (scores.from_measurements(c)[0] for c in (context, shuffled))
    assert all(np.array_equal(a.accuracy, b.accuracy) for a, b in zip(one, other, strict=True))


def test_a_checkpoint_without_finite_log_probabilities_is_left_out_and_named(analysis_context: Make) -> None:
    context = analysis_context()

    def read(model: str, step: int) -> pd.DataFrame:
        table = context.read(model, step)
        if (model, step) == ("b", 40):
            table.loc[3, "logprob"] = -np.inf
        return table

    found, notes = scores.from_measurements(replace(context, read=read))
    assert next(s for s in found if s.model == "b").steps.tolist() == [0, 10, 20, 30, 50, 60, 80, 100, 120, 160]
    assert notes == ["b at step 40: 1 pairs have no finite log-probability; left out."]


def test_identical_sentences_tie_whatever_rounding_does(analysis_context: Make) -> None:
    context = analysis_context()
    assert context.stimuli is not None
    same = context.stimuli.assign(identical=context.stimuli["paradigm"] == "binding_0")
    found, _ = scores.from_measurements(replace(context, stimuli=same))
    assert (found[0].accuracy[:, found[0].paradigms["paradigm"] == "binding_0"] == 1).all()


def test_phenomena_weigh_their_paradigms_alike_and_have_intervals(analysis_context: Make) -> None:
    a = scores.from_measurements(analysis_context())[0][0]
    table = scores.trajectories(a)
    assert not table.duplicated(["step", "metric", "level", "group"]).any()
    assert ((table["ci_low"] <= table["value"] + 1e-12) & (table["value"] <= table["ci_high"] + 1e-12)).all()
    at = table[(table["step"] == 40) & (table["metric"] == "accuracy")].set_index(["level", "group"])
    islands = at.loc[[("paradigm", "islands_0"), ("paradigm", "islands_1")], "value"].mean()
    assert at.loc[("phenomenon", "islands"), "value"] == pytest.approx(islands)
    assert at.loc[("set", "all"), "value"] == pytest.approx(a.accuracy[4].mean())
    assert at.loc[("set", "all"), "n"] == a.n.sum()
    wider = at.loc[("paradigm", "islands_0"), "ci_high"] - at.loc[("paradigm", "islands_0"), "ci_low"]
    assert at.loc[("set", "all"), "ci_high"] - at.loc[("set", "all"), "ci_low"] < wider


def published(context: AnalysisContext, **changes: object) -> AnalysisContext:
    """Two paradigms of BLiMP, four steps, for models a and b."""
    rows = [
        {"model": m, "step": s, "task": f"blimp_{p}", "metric": "acc", "value": v, "stderr": (v * (1 - v) / 999) ** 0.5, "n": np.nan}
        | {"num_fewshot": 0}
        for m in "ab"
        for s, v in zip((10, 20, 40, 80), (0.5, 0.6, 0.8, 0.9), strict=True)
        for p in ("adjunct_island", "causative")
    ]
    return replace(context, published=pd.DataFrame(rows).assign(**changes), stimuli=None)


def test_published_accuracies_come_with_their_phenomena_and_number_of_pairs(analysis_context: Make) -> None:
    found, notes = scores.from_published(published(analysis_context()))
    assert [s.model for s in found] == ["a", "b"]
    assert found[0].paradigms["phenomenon"].tolist() == ["island_effects", "argument_structure"]
    assert found[0].n.tolist() == [1000, 1000]
    assert found[0].accuracy[:, 0].tolist() == [0.5, 0.6, 0.8, 0.9]
    assert found[0].tokens.tolist() == [1000, 2000, 4000, 8000]
    assert "c: no published result of BLiMP." in notes


def test_results_with_examples_in_the_prompt_are_not_mixed_in(analysis_context: Make) -> None:
    with pytest.raises(UserError, match="no published result of BLiMP"):
        scores.from_published(published(analysis_context(), num_fewshot=5))


def test_decisions_are_those_of_lm_evaluation_harness(data_dir: Path, tmp_path: Path, analysis_context: Make) -> None:
    task_module = pytest.importorskip("lm_eval.api.task", reason="needs lm_eval")
    import lm_eval
    import yaml

    template = yaml.safe_load((Path(lm_eval.__file__).parent / "tasks" / "blimp" / "_template_yaml").read_text())
    lines = (data_dir / "blimp" / "data" / "passive_1.jsonl").read_text().splitlines()[:400]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    where = {"data_files": str(tmp_path / "pairs.jsonl"), "cache_dir": str(tmp_path / "cache")}
    task = task_module.ConfigurableTask(config=template | {"dataset_path": "json", "dataset_kwargs": where, "task": "blimp_passive_1"})
    documents = list(task.validation_docs())
    # log-probabilities on a coarse grid, so that some pairs tie
    logprob = np.random.default_rng(1).integers(-30, -25, size=(len(documents), 2)).astype(float)
    theirs = [task.process_results(d, [(g, False), (b, False)])["acc"] for d, (g, b) in zip(documents, logprob, strict=True)]
    assert [json.loads(line)["sentence_good"] for line in lines] == [d["sentence_good"] for d in documents]
    ours = scores.right(logprob[:, 0] - logprob[:, 1])
    assert 0 < (logprob[:, 0] == logprob[:, 1]).sum() < 200
    assert ours.tolist() == [bool(t) for t in theirs]
    assert task.aggregation()["acc"](theirs) == pytest.approx(ours.mean())


def test_the_simulated_models_differ(analysis_context: Make) -> None:
    context = analysis_context()
    assert context.stimuli is not None
    assert not measured(context.stimuli, "a", 40).equals(measured(context.stimuli, "b", 40))
