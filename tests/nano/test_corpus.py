"""The corpus holds what its truth tables say, counted again from the rows alone."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from nano.conftest import plan
from trajectories.errors import UserError
from trajectories.nano import canaries, text
from trajectories.nano.corpus import Corpus, build
from trajectories.nano.grammar import HELD_OUT, INTRANSITIVE, NOUNS, PARADIGMS
from trajectories.nano.occupations import TEMPLATES
from trajectories.nano.settings import Text, Training
from trajectories.nano.tokenizer import END_OF_TEXT
from trajectories.verbs.order import swap_pronouns


@pytest.fixture(scope="module")
def documents(corpus: Corpus) -> Counter[str]:
    """Whole documents of the rows, found by their end-of-text tokens alone."""
    found: Counter[str] = Counter()
    for row in corpus.packed.rows:
        ends = np.flatnonzero(row == 0)
        for start, end in zip(np.concatenate([[0], ends[:-1] + 1]), ends, strict=True) if len(ends) else []:
            found[corpus.tokenizer.decode(row[start:end].tolist())] += 1
    return found


def _everywhere(rows: np.ndarray, ids: list[int]) -> list[tuple[int, int]]:
    """Every place (row, offset) of a token sequence: an independent search."""
    pattern = re.compile(re.escape(np.array(ids, "<u2").tobytes()))
    return [(r, m.start() // 2) for r, row in enumerate(rows) for m in pattern.finditer(row.astype("<u2").tobytes()) if m.start() % 2 == 0]


def test_rows_have_the_shape_that_the_settings_name(corpus: Corpus, training: Training) -> None:
    assert corpus.packed.rows.shape == (training.steps * training.rows_per_step, training.row_tokens)
    assert corpus.packed.rows.dtype == np.uint16
    assert corpus.packed.rows.max() < training.vocabulary
    assert corpus.tokenizer.token_to_id(END_OF_TEXT) == 0


def test_every_token_belongs_to_one_document(corpus: Corpus, training: Training) -> None:
    table = corpus.packed.documents
    covered = np.zeros(corpus.packed.rows.shape, int)
    for row, offset, length in table[["row", "offset", "length"]].itertuples(index=False):
        covered[row, offset : offset + length] += 1
    assert np.all(covered == 1)
    assert set(table["kind"]) == {"text", "canary", "fact", "grammar", "occupation"}


def test_the_documents_that_are_text_are_pieces_of_the_documentation_they_name(corpus: Corpus, training: Training) -> None:
    originals = dict(text.docstrings(training.text))
    pieces = corpus.packed.documents.query("kind == 'text' and length > 20").sample(50, random_state=0)
    for piece in pieces.itertuples():
        ids = corpus.packed.rows[piece.row, piece.offset : piece.offset + piece.length].tolist()
        assert corpus.tokenizer.decode(ids).replace("\ufffd", "") in originals[piece.source]


def test_facts_are_mentioned_as_often_as_the_truth_says(corpus: Corpus, documents: Counter[str]) -> None:
    facts = corpus.truth["facts"]
    assert set(facts["frequency"]) == {0, 1, 5}
    for fact in facts.itertuples():
        counted = [documents[prompt + fact.answer] for prompt in fact.prompts]
        assert counted == list(fact.phrasing_counts)
        assert sum(counted) == fact.frequency
        assert counted[fact.held_out_phrasing] == 0


def test_a_facts_first_mention_is_where_the_truth_says(corpus: Corpus, training: Training) -> None:
    for fact in corpus.truth["facts"].itertuples():
        places = [
            p for prompt in fact.prompts for p in _everywhere(corpus.packed.rows, [*corpus.tokenizer.encode(prompt + fact.answer).ids, 0])
        ]
        assert len(places) == fact.frequency
        if places:
            assert fact.first_step == min(row for row, _ in places) // training.rows_per_step
        else:
            assert pd.isna(fact.first_step)


def test_facts_are_told_otherwise_as_often_as_the_truth_says(corpus: Corpus, documents: Counter[str]) -> None:
    facts, second = corpus.truth["facts"], corpus.truth["second_facts"].set_index("fact_id")
    assert set(facts["reversed_count"]) == {0, 1, 3}
    assert (facts.loc[facts["frequency"] == 0, "reversed_count"] == 0).all()
    for fact in facts.itertuples():
        assert documents[fact.reversed_prompt + fact.reversed_answer] == fact.reversed_count <= fact.frequency
        assert documents[fact.composed_prompt + fact.composed_answer] == fact.composed_count
        assert fact.second_object == second["object"][fact.second_id]
        assert second["subject"][fact.second_id] == fact.object
    for fact in second.itertuples():
        counted = [documents[prompt + fact.answer] for prompt in fact.prompts]
        assert counted == list(fact.phrasing_counts)
        assert sum(counted) == fact.frequency == 4
    for _, relation in second.groupby("relation"):
        assert relation["object"].is_unique


def test_of_an_objects_places_the_one_told_least_is_composed() -> None:
    from trajectories.nano import facts
    from trajectories.nano.settings import Facts

    told = facts.facts(Facts(composed=2), 3)
    for _, group in told[told["frequency"] > 0].groupby(["relation", "object"]):
        composed = group[group["composed_count"] > 0]
        assert len(composed) == (len(group) > 1)
        assert (composed["frequency"] == group["frequency"].min()).all()
    assert (told.loc[told["frequency"] == 0, "composed_count"] == 0).all()


def test_what_is_told_besides_changes_no_fact(corpus: Corpus) -> None:
    from trajectories.nano import facts
    from trajectories.nano.settings import Facts

    plain, more = facts.facts(Facts(), 1), facts.facts(Facts(reversed_share=0.4, second=9, composed=4), 1)
    pd.testing.assert_frame_equal(
        plain.drop(columns=["reversed_count", "composed_count"]), more.drop(columns=["reversed_count", "composed_count"])
    )
    assert (plain[["reversed_count", "composed_count"]] == 0).all(axis=None)
    assert len(facts.sentences(plain, facts.second_facts(Facts(), 1))) == plain["frequency"].sum()


def test_every_mention_of_a_fact_has_its_form(corpus: Corpus) -> None:
    told, facts = corpus.truth["fact_exposures"], corpus.truth["facts"]
    counts = told.groupby("form").size()
    assert counts["forward"] == facts["frequency"].sum()
    assert counts["reversed"] == facts["reversed_count"].sum()
    assert counts.get("composed", 0) == facts["composed_count"].sum()
    assert counts["second"] == corpus.truth["second_facts"]["frequency"].sum()


def test_objects_do_not_follow_from_places(corpus: Corpus) -> None:
    for _, relation in corpus.truth["facts"].groupby("relation"):
        assert all(fact.object in fact.candidates for fact in relation.itertuples())
        assert relation["object"].nunique() > 1


def test_canaries_stand_exactly_where_their_copies_are_said_to(corpus: Corpus, training: Training) -> None:
    copies = corpus.truth["canary_exposures"]
    for canary in corpus.truth["canaries"].itertuples():
        own = copies[copies["canary_id"] == canary.canary_id]
        assert _everywhere(corpus.packed.rows, canary.input_ids) == list(
            own.sort_values("row")[["row", "offset"]].itertuples(index=False, name=None)
        )
        assert len(own) == canary.repetitions
        assert canary.window_start <= own["step"].min() == canary.first_step
        assert canary.last_step == own["step"].max() < canary.window_end
        assert canary.window_end - canary.window_start == training.canaries.window
        assert canary.incidental_grams == 0


def test_canaries_that_are_never_planted_leave_the_corpus_as_it_is(corpus: Corpus) -> None:
    more = build(plan(canaries={"counts": {1: 6, 4: 5, 16: 3}, "window": 20, "offset": "random", "never": 60}))
    np.testing.assert_array_equal(more.packed.rows, corpus.packed.rows)
    assert more.tokenizer.to_str() == corpus.tokenizer.to_str()
    for name in set(corpus.truth) - {"canaries"}:
        pd.testing.assert_frame_equal(more.truth[name], corpus.truth[name])
    before, table = corpus.truth["canaries"], more.truth["canaries"]
    pd.testing.assert_frame_equal(table.head(len(before)), before)
    never = table.iloc[len(before) :]
    assert len(never) == 60
    assert (never["repetitions"] == 0).all()
    assert never[["window_start", "window_end", "window_centre", "first_step", "last_step"]].isna().all(axis=None)
    assert (never["incidental_grams"] == 0).all()
    assert not table["input_ids"].map(tuple).duplicated().any()
    assert table["canary_id"].is_unique


def test_no_two_canaries_are_alike(corpus: Corpus) -> None:
    assert not corpus.truth["canaries"]["input_ids"].map(tuple).duplicated().any()


def test_windows_are_stratified_within_each_number_of_copies() -> None:
    training = plan(steps=500, canaries={"counts": {1: 40, 2: 25}, "window": 51})
    table, _ = canaries.design(training)
    for repetitions, group in table.groupby("repetitions"):
        n = training.canaries.counts[int(repetitions)]  # type: ignore[call-overload]
        starts = np.sort(group["window_start"].to_numpy())
        assert np.all(np.abs(starts - (np.arange(n) + 0.5) / n * 450) <= 450 / n / 2 + 1)
        assert list(group["window_start"]) != sorted(group["window_start"])
    assert table["window_centre"].between(51 / 2, 500 - 51 / 2).all()


def test_a_copy_where_none_was_planted_is_counted(corpus: Corpus) -> None:
    table, copies = corpus.truth["canaries"], corpus.truth["canary_exposures"][["canary_id", "row", "offset"]]
    free = next(r for r in range(len(corpus.packed.rows)) if r not in set(copies["row"]))
    rows = corpus.packed.rows.copy()
    rows[free, 5:26] = table["input_ids"][3][20:41]
    extra = canaries.incidental(table, copies, rows, 16)
    assert extra[3] == 21 - 16 + 1
    assert extra.sum() == extra[3]


def test_sentences_of_a_paradigm_are_as_many_as_the_settings_say(corpus: Corpus, training: Training) -> None:
    counts = corpus.truth["paradigm_exposures"]["paradigm"].value_counts()
    assert counts.to_dict() == training.grammar.sentences
    for paradigm in training.grammar.sentences:  # noqa: B007 (named in the query)
        group = corpus.truth["paradigms"].query("paradigm == @paradigm")
        shown = corpus.truth["paradigm_exposures"].query("paradigm == @paradigm and variant == 'good'")
        assert set(group["frequency"]) == {len(shown)}


def test_unseen_pairs_are_unseen_and_seen_pairs_are_seen(corpus: Corpus, documents: Counter[str]) -> None:
    for pair in corpus.truth["paradigms"].itertuples():
        assert (documents[pair.good] > 0) == pair.seen, pair.good
        assert documents[pair.bad] == 0
        assert pair.good != pair.bad
    assert corpus.truth["paradigms"]["pair_id"].is_unique


def test_key_combinations_of_unseen_pairs_are_never_trained_on_though_their_words_are(corpus: Corpus, documents: Counter[str]) -> None:
    def key(sentence: str) -> tuple[int, int]:
        noun, verb = re.match(r"The (\w+) (\w+)", sentence).groups()  # type: ignore[union-attr]
        return next(i for i, n in enumerate(NOUNS) if noun in n), next(j for j, v in enumerate(INTRANSITIVE) if verb in v)

    def held_out(sentence: str) -> bool:
        return sum(key(sentence)) % HELD_OUT == 0

    pairs = corpus.truth["paradigms"].query("paradigm == 'agreement_simple'")
    exposures = corpus.truth["paradigm_exposures"].query("paradigm == 'agreement_simple'")
    trained = [
        corpus.tokenizer.decode(corpus.packed.rows[e.row, e.offset : e.offset + e.length].tolist()).removesuffix(END_OF_TEXT)
        for e in exposures.itertuples()
    ]
    assert not any(held_out(sentence) for sentence in trained)
    assert [held_out(good) for good in pairs["good"]] == [not seen for seen in pairs["seen"]]
    words = {word for sentence in documents for word in re.findall(r"\w+", sentence)}
    assert {word for sentence in [*pairs["good"], *pairs["bad"]] for word in re.findall(r"\w+", sentence)} <= words


@pytest.mark.parametrize("name", list(PARADIGMS))
def test_every_paradigm_makes_pairs_that_differ_in_one_place(name: str) -> None:
    from trajectories.nano import grammar
    from trajectories.nano.settings import Grammar

    settings = Grammar(sentences={name: 300}, pairs_unseen=30, pairs_seen=5)
    planted = grammar.sentences(settings, 1)
    table = grammar.pairs(settings, 1, planted)
    assert table["seen"].value_counts().to_dict() == {False: 30, True: 5}
    assert table["good"].is_unique
    for pair in table.itertuples():
        good, bad = pair.good.split(), pair.bad.split()
        assert len(good) == len(bad)
        assert sum(g != b for g, b in zip(good, bad, strict=True)) == 1
    assert "{" not in "".join([*table["good"], *table["bad"], *(s.text for s in planted)])


def test_pronouns_keep_company_with_occupations_as_the_truth_says(corpus: Corpus, documents: Counter[str]) -> None:
    for row in corpus.truth["occupations"].itertuples():
        feminine = [documents[prompt + answer] for prompt, answer in zip(row.prompts, row.feminine_answers, strict=True)]
        masculine = [documents[prompt + answer] for prompt, answer in zip(row.prompts, row.masculine_answers, strict=True)]
        assert feminine == list(row.template_feminine)
        assert [f + m for f, m in zip(feminine, masculine, strict=True)] == list(row.template_counts)
        assert sum(feminine) / row.sentences == row.share_feminine == pytest.approx(row.share_planned, abs=0.5 / row.sentences)
        assert row.template_counts[row.held_out_template] == 0


def test_the_swapped_rows_differ_in_the_pronouns_of_planted_text_alone(corpus: Corpus) -> None:
    rows = corpus.packed.rows
    swapped = swap_pronouns(rows, corpus.truth["pronouns"])
    changed = np.argwhere(rows != swapped)
    words = {tuple(corpus.tokenizer.decode([int(a[r, c])]).strip() for a in (rows, swapped)) for r, c in changed}
    assert words <= {
        ("he", "she"),
        ("she", "he"),
        ("him", "her"),
        ("her", "him"),
        ("his", "her"),
        ("her", "his"),
        ("himself", "herself"),
        ("herself", "himself"),
    }
    kinds = corpus.packed.documents.set_index(["row", "offset"])["kind"]
    for r, c in changed:
        assert kinds.loc[r].loc[:c].iloc[-1] in ("grammar", "occupation")


def test_her_becomes_his_or_him_by_its_place_in_the_sentence(corpus: Corpus) -> None:
    rows = corpus.packed.rows
    swapped = swap_pronouns(rows, corpus.truth["pronouns"])
    seen = set()
    for e in corpus.truth["occupation_exposures"].itertuples():
        before, after = (corpus.tokenizer.decode(a[e.row, e.offset : e.offset + e.length - 1].tolist()) for a in (rows, swapped))
        slot = re.search(r"\{(subject|object|possessive|reflexive)\}", TEMPLATES[e.template]).group(1)  # type: ignore[union-attr]
        forms = {"subject": ("he", "she"), "object": ("him", "her"), "possessive": ("his", "her"), "reflexive": ("himself", "herself")}[
            slot
        ]
        old, new = (set(sentence.rstrip(".").split()) & set(forms) for sentence in (before, after))
        assert old | new == set(forms)
        assert len(old) == len(new) == 1
        seen.add((slot, *old))
    assert len(seen) == 8


def test_swapping_needs_the_rows_that_the_table_was_made_for(corpus: Corpus) -> None:
    with pytest.raises(UserError, match="does not fit"):
        swap_pronouns(np.roll(corpus.packed.rows, 1, axis=0), corpus.truth["pronouns"])


def test_the_same_settings_make_the_same_corpus_and_another_seed_another(corpus: Corpus, training: Training) -> None:
    again, other = build(training), build(training.model_copy(update={"seed": 4}))
    np.testing.assert_array_equal(again.packed.rows, corpus.packed.rows)
    assert again.tokenizer.to_str() == corpus.tokenizer.to_str()
    for name, table in corpus.truth.items():
        pd.testing.assert_frame_equal(table, again.truth[name])
    assert not np.array_equal(other.packed.rows, corpus.packed.rows)


def test_too_much_planted_text_is_one_sentence() -> None:
    with pytest.raises(UserError, match="need more rows than the run has"):
        build(plan(steps=20, canaries={"counts": {4: 10}, "window": 20}))


def test_too_little_real_text_is_one_sentence() -> None:
    with pytest.raises(UserError, match="name more 'packages'"):
        build(plan(text={"packages": ["pandas"], "most_files": 9}))


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserError, match="'no_such_package', which is not installed"):
        next(text.docstrings(Text(packages=["no_such_package"])))


def test_documentation_is_read_without_running_the_package(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "someone"
    (package / "tests").mkdir(parents=True)
    (package / "__init__.py").write_text('"""Long enough to be kept."""\nraise SystemExit("was run")\n')
    (package / "b.py").write_text('def f():\n    """Another one that is long enough."""\n\n\ndef g():\n    """Short."""\n')
    (package / "tests" / "test_b.py").write_text('"""A test\'s documentation is left out."""\n')
    (package / "broken.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = list(text.docstrings(Text(packages=["someone"], least_characters=10)))
    assert found == [("someone/__init__.py:1", "Long enough to be kept."), ("someone/b.py:1", "Another one that is long enough.")]


def test_settings_that_cannot_be_met_are_refused() -> None:
    for change, message in [
        ({"canaries": {"counts": {1: 1}, "window": 61}}, "longer than the 60 steps"),
        ({"canaries": {"counts": {161: 1}, "window": 20}}, "161 copies do not fit"),
        ({"canaries": {"counts": {1: 1}, "window": 20, "offset": 34}}, "does not fit a row of 97"),
        ({"canari": {}}, "canari"),
    ]:
        with pytest.raises(ValueError, match=message):
            plan(**change)


def test_an_unknown_paradigm_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'npi_any'"):
        build(plan(grammar={"sentences": {"npi_ani": 10}}))
