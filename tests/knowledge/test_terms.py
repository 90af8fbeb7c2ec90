"""What is counted, and what is asked: planted counts are met by the counter exactly, and sums are what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from nano.conftest import plan
from tokenizers import Tokenizer
from trajectories.experiments.knowledge.sections import ArithmeticSettings
from trajectories.experiments.knowledge.settings import StimuliSettings
from trajectories.experiments.knowledge.stimuli import arithmetic, terms
from trajectories.experiments.knowledge.stimuli.arithmetic import NUMBER
from trajectories.nano.corpus import build
from trajectories.orders.terms import Terms
from trajectories.stimuli import StimuliContext
from trajectories.suites import load_suite


def test_counting_a_corpus_meets_every_planted_fact_at_every_step() -> None:
    training = plan()
    corpus = build(training)
    told, second = corpus.truth["facts"].assign(form="seen"), corpus.truth["second_facts"].assign(form="second fact")
    facts = pd.concat([told, second], ignore_index=True).assign(correct=True)
    counted = terms.of_facts(facts, corpus.tokenizer)
    sequences = counted["terms"].groupby("term", sort=False)["input_ids"].agg(list).to_dict()
    pairs = list(counted["together"].itertuples(index=False, name=None))
    counter = Terms(sequences, pairs)
    canaries = corpus.truth["canaries"].set_index("canary_id")["input_ids"]
    chance, copies = terms.held(counted, canaries.to_dict()), corpus.truth["canary_exposures"]
    shown = corpus.truth["fact_exposures"]
    shown = shown[shown["form"].isin(["forward", "reversed", "second"])]
    for step in (1, 7, 30, 60):
        totals, _ = counter.count(corpus.packed.rows[: step * training.rows_per_step])
        found = dict(zip(pairs, totals[len(counter.names) :], strict=True))
        planted = shown.loc[shown["step"] < step, "fact_id"].value_counts()
        for fact in facts.itertuples():
            pair = (fact.subject, fact.object)
            by_chance = int((copies["canary_id"].isin(chance.get(pair, [])) & (copies["step"] < step)).sum())
            assert found[pair] == planted.get(fact.fact_id, 0) + by_chance, fact.fact_id
    assert sum(found.values()) > 50


def test_sequences_that_hold_both_terms_of_a_pair_are_found() -> None:
    listed = pd.DataFrame({"term": ["a", "a", "b"], "input_ids": [[1], [7, 8], [2, 3]]})
    counted = {"terms": listed, "together": terms.pairs([("a", "b"), ("a", "b"), ("a", "a")])}
    assert len(counted["together"]) == 1
    sequences = {"both": [9, 7, 8, 2, 3], "torn": [7, 2, 8, 3, 2], "one": [1, 3, 2], "two": [1, 2, 3], "long": [11, 12, 3]}
    assert terms.held(counted, sequences) == {("a", "b"): ["both", "two"]}


@pytest.fixture(scope="module")
def asked(data_dir: Path) -> Any:
    tokenizer = Tokenizer.from_file(str(data_dir / "pythia/utils/20B_tokenizer.json"))
    settings = StimuliSettings(arithmetic=ArithmeticSettings(problems=3, shots=[0, 4], largest=19))
    context = StimuliContext(
        suite=load_suite("pythia"), settings=settings, seed=1, orders={}, rows_per_step={}, tokenizer=lambda: tokenizer,
        truth=lambda name: pd.DataFrame(), has_truth=False, data=Path,
    )  # fmt: skip
    found = arithmetic.stimuli(context)
    found.check()
    return found, tokenizer


def test_problems_are_asked_as_razeghi_et_al_do_and_the_span_is_the_right_answer(asked: Any) -> None:
    table, tokenizer = asked[0].table, asked[1]
    assert len(table) == 2 * 20 * 3 * 2
    for item in table.sample(20, random_state=1).itertuples():
        y = item.x1 * item.x2 if item.operation == "times" else item.x1 + item.x2
        assert tokenizer.decode(list(item.input_ids[item.start : item.end])) == f" {y}"
        text = tokenizer.decode(list(item.input_ids[1:]))
        assert text.split("\n")[-1] == f"Q:What is {item.x1} {item.operation} {item.x2}? A: {y}"
        assert text.count("Q:") == 1 + item.shots
        assert f"What is {item.x1} {item.operation} {item.x2}?" not in "\n".join(text.split("\n")[:-1]), "the question is no example"


def test_examples_are_solved_rightly_and_operands_are_counted_with_and_without_a_space(asked: Any) -> None:
    found, tokenizer = asked
    text = tokenizer.decode(list(found.table[found.table["shots"] == 4].iloc[5]["input_ids"][1:]))
    for line in text.split("\n")[:-1]:
        words = line.removeprefix("Q:What is ").replace("? A:", "").split()
        assert int(words[3]) == (int(words[0]) * int(words[2]) if words[1] == "times" else int(words[0]) + int(words[2]))
    assert set(found.terms["term"]) == {NUMBER.format(n) for n in {*range(20), *found.table["y"]}}
    assert {tokenizer.decode(list(ids)) for ids in found.terms.loc[found.terms["term"] == "number 17", "input_ids"]} == {"17", " 17"}
    shown = {(a, b) for other in ("x2", "y") for a, b in zip(found.table["x1"], found.table[other], strict=True) if a != b}
    assert {*found.together.itertuples(index=False, name=None)} == {(NUMBER.format(a), NUMBER.format(b)) for a, b in shown}
