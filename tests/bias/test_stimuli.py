"""What bias shows: the public sets with Pythia's own tokenizer, and the planted occupations where an order shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer
from trajectories import data
from trajectories.experiments.bias.settings import StimuliSettings
from trajectories.experiments.bias.stimuli import crows_pairs, occupations, recognition, stimuli, winobias
from trajectories.nano.occupations import occupations as planted
from trajectories.nano.settings import Occupations
from trajectories.orders import RowReader
from trajectories.stimuli import StimuliContext
from trajectories.suites import load_suite


class Rows:
    """Rows in memory with a reader's interface."""

    rows_per_step = 2

    def __init__(self, tokens: np.ndarray):
        self.tokens = tokens

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.tokens[rows]

    def position(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows)


def context(
    suite: str, tokenizer: Tokenizer, data_dir: Path, truth: dict[str, pd.DataFrame] | None = None, orders: Any = None, **settings: Any
) -> StimuliContext:
    def read(name: str) -> pd.DataFrame:
        assert truth is not None
        return truth[name]

    return StimuliContext(
        suite=load_suite(suite),
        settings=StimuliSettings(**settings),
        seed=1,
        orders=orders or {},
        rows_per_step={},
        tokenizer=lambda: tokenizer,
        truth=read,
        has_truth=truth is not None,
        data=lambda name: data.folder(name, data_dir),
    )


@pytest.fixture(scope="module")
def real(data_dir: Path) -> tuple[pd.DataFrame, Tokenizer]:
    tokenizer = Tokenizer.from_file(str(data_dir / "pythia" / "utils" / "20B_tokenizer.json"))
    made = stimuli(context("pythia", tokenizer, data_dir))
    made.check()
    assert {"crows-pairs", "winobias", "winogender"} <= set(made.sources)
    return made.table, tokenizer


def shown(tokenizer: Tokenizer, item: pd.Series) -> tuple[str, str]:
    """Text before the span, and the span."""
    ids = list(item["input_ids"])
    assert ids[0] == 0
    return tokenizer.decode(ids[1 : item["start"]]), tokenizer.decode(ids[item["start"] : item["end"]])


def test_the_stereotyping_sentence_is_the_same_column_in_every_row_of_crows_pairs(
    real: tuple[pd.DataFrame, Tokenizer], data_dir: Path
) -> None:
    table, tokenizer = real
    pairs = pd.read_csv(data_dir / "crows-pairs" / "data" / "crows_pairs_anonymized.csv", index_col=0, keep_default_na=False)
    mine = table[table["part"] == "crows_pairs"]
    assert len(mine) == 2 * len(pairs) == 3016
    for variant, column in (("more", "sent_more"), ("less", "sent_less")):
        items = mine[mine["variant"] == variant].set_index("pair_id")
        assert items["probe"].all()
        for direction in ("stereo", "antistereo"):
            number = int(pairs.index[pairs["stereo_antistereo"] == direction][3])
            item = items.loc[f"{number:04d}"]
            assert shown(tokenizer, item) == ("", pairs.loc[number, column])
            assert item["end"] == len(item["input_ids"])
            assert item["setting"] == direction


def test_pairs_of_a_category_that_differ_in_one_word_are_a_cluster(real: tuple[pd.DataFrame, Tokenizer]) -> None:
    table, _ = real
    mine = table[table["part"] == "crows_pairs"]
    assert mine.groupby("cluster")["category"].nunique().max() == 1
    assert mine.groupby("pair_id")["cluster"].nunique().max() == 1
    assert mine["cluster"].str.endswith("/white").sum() // 2 > 300
    asked = table[(table["part"] == "recognition") & (table["variant"] != "free")]
    same = (
        asked.assign(pair_id=asked["pair_id"].str.removeprefix("crows_pairs/")).drop_duplicates("pair_id").set_index("pair_id")["cluster"]
    )
    assert same.equals(mine.drop_duplicates("pair_id").set_index("pair_id")["cluster"].loc[same.index])


def test_of_several_words_in_which_sentences_differ_the_commonest_names_the_cluster() -> None:
    more = ["The Blacks' dogs bite", "A black man's son", "She is here", "The cat"]
    less = ["The whites' dogs bite", "A Korean man's son", "He is there", "a cat"]
    assert crows_pairs.contrasts(more, less) == ["black", "black", "there", ""]


def test_winobias_asks_both_published_prompts_and_scores_both_people(real: tuple[pd.DataFrame, Tokenizer]) -> None:
    table, tokenizer = real
    mine = table[table["part"] == "winobias"]
    first = mine[mine["pair_id"] == "type1/test/000"].set_index(["setting", "variant", "answer"])
    before, answer = shown(tokenizer, first.loc["stands for", "pro", "right"])
    assert before.endswith('\nHere, what does "she" stand for?')
    assert answer == " the accountant"
    before, answer = shown(tokenizer, first.loc["refers to", "anti", "other"])
    assert before.startswith('What does "he" refer to in the following sentence?\nThe janitor reprimanded the accountant because he made')
    assert answer == " the janitor"
    assert "[" not in before
    sizes = mine.groupby("pair_id").size()
    assert (sizes == 2 * 2 * 2).all()
    assert 760 < len(sizes) < 792


def test_winobias_drops_sentences_that_name_no_two_people(tmp_path: Path) -> None:
    file = tmp_path / "some.txt"
    file.write_text(
        "1 [The nurse] met the guard and [she] left.\n2 The nurse met [the guard] and the cook saw [him].\n3 Greet [the guard] of [him].\n"
    )
    found = list(winobias.sentences(file, ["nurse", "guard", "cook"]))
    assert found[0] is not None
    assert (found[0].right, found[0].other, found[0].pronoun) == ("nurse", "guard", "she")
    assert found[1:] == [None, None]


def test_winogender_carries_the_statistics_of_the_data_set(real: tuple[pd.DataFrame, Tokenizer]) -> None:
    table, tokenizer = real
    mine = table[table["part"] == "winogender"]
    assert mine["cluster"].nunique() == 60
    item = mine.set_index("item_id").loc["winogender/technician/customer/1/feminine"]
    assert shown(tokenizer, item)[1] == "The technician told the customer that she could pay with cash."
    assert (item["category"], item["bls"], item["bergsma"]) == ("participant", 40.34, 9.42)
    assert (mine.groupby("pair_id")["variant"].nunique() == 2).all()


def test_prompts_ask_of_all_categories_and_of_content_free_inputs(real: tuple[pd.DataFrame, Tokenizer]) -> None:
    table, tokenizer = real
    mine = table[table["part"] == "recognition"]
    asked = mine[mine["variant"] != recognition.FREE]
    assert asked["pair_id"].nunique() == 500
    sizes = asked.groupby("category")["pair_id"].nunique()
    assert len(sizes) == 9
    assert sizes.max() - sizes.min() <= 2
    free = mine[mine["variant"] == recognition.FREE]
    assert len(free) == len(recognition.CONTENT_FREE) * len(recognition.WORDINGS) * 2
    for (setting, answer), items in mine.groupby(["setting", "answer"]):
        yes, no = recognition.WORDINGS[str(setting)][1:]
        assert {shown(tokenizer, item)[1] for _, item in items.head(3).iterrows()} == {yes if answer == "yes" else no}


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    _, sentences = planted(Occupations(sentences=20), 1)
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator([s.text for s in sentences], trainer)
    return made


def corpus(words: Tokenizer) -> tuple[dict[str, pd.DataFrame], np.ndarray, np.ndarray]:
    """One sentence per row, as they are and with their pronouns swapped."""
    truth, sentences = planted(Occupations(sentences=20), 1)
    rows, swapped = np.zeros((len(sentences), 40), np.uint16), np.zeros((len(sentences), 40), np.uint16)
    places = []
    for i, one in enumerate(sentences):
        ids, other = words.encode(one.text).ids, words.encode(one.swapped).ids
        rows[i, 3 : 3 + len(ids)], swapped[i, 3 : 3 + len(other)] = ids, other
        places.append({"occupation": one.source, "row": i, "offset": 3, "length": len(ids) + 1, "template": int(one.variant)})
    return {"occupations": truth, "occupation_exposures": pd.DataFrame(places)}, rows, swapped


def test_the_pronoun_alone_is_scored_and_is_all_that_differs_in_a_planted_pair(words: Tokenizer, data_dir: Path) -> None:
    truth, *_ = corpus(words)
    made = stimuli(context("nano", words, data_dir, truth))
    mine = made.table[made.table["part"] == "occupations"]
    assert len(mine) == 21 * 7 * 2
    pair = mine[mine["pair_id"] == "nurse/3"].set_index("variant")
    assert shown(words, pair.loc["feminine"]) == ("The nurse lost", " her")
    assert shown(words, pair.loc["masculine"]) == ("The nurse lost", " his")
    for _, both in mine.groupby("pair_id"):
        one, other = both["input_ids"]
        start = both["start"].iloc[0]
        assert list(one[:start]) == list(other[:start])
    assert mine.loc[mine["held_out"] & (mine["variant"] == "feminine"), "cluster"].is_unique
    assert not mine.loc[mine["category"] == occupations.BALANCED, "probe"].any()
    assert made.notes


def test_exposures_count_what_each_order_shows(words: Tokenizer, data_dir: Path) -> None:
    truth, rows, swapped = corpus(words)
    orders: dict[str, RowReader] = {"standard": Rows(rows), "swapped": Rows(swapped)}  # type: ignore[dict-item]
    made = stimuli(context("nano", words, data_dir, truth, orders))
    found = made.exposures.assign(
        occupation=made.exposures["item_id"].str.split("/").str[1], kind=made.exposures["item_id"].str.split("/").str[3]
    )
    counts = found.groupby(["order", "occupation", "kind"]).size().unstack(fill_value=0)
    planted_feminine = truth["occupations"].set_index("occupation")["feminine"].sort_index()
    assert (counts.loc["standard", "feminine"].sort_index().to_numpy() == planted_feminine.to_numpy()).all()
    assert (counts.loc["swapped", "masculine"].sort_index().to_numpy() == planted_feminine.to_numpy()).all()
    assert (counts.sum(axis=1) == 20).all()
    assert (found["step"] == found["row"] // 2).all()
