"""CrowS-Pairs: both sentences of each pair, scored whole after one end-of-text token, as lm-evaluation-harness scores them."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd

from trajectories import data
from trajectories.errors import UserError
from trajectories.experiments.bias.stimuli.common import items
from trajectories.stimuli import Stimuli, StimuliContext

NAME = "crows-pairs"
FILE = "crows_pairs_anonymized.csv"
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
FUNCTION_WORDS = frozenset(["a", "an", "and", "are", "be", "in", "is", "not", "of", "or", "the", "to", "was", "were"])


def stimuli(context: StimuliContext) -> Stimuli:
    """Two sentences per pair.

    ``sent_more`` is the more stereotyping sentence in every row, also where the other one is about the disadvantaged group
    (``stereo_antistereo`` is ``antistereo``), so nothing is turned round.
    """
    rows = []
    for pair in pairs(context).itertuples():
        for variant, sentence in (("more", pair.sent_more), ("less", pair.sent_less)):
            place = {"pair_id": pair.pair_id, "cluster": pair.cluster, "category": pair.bias_type, "setting": pair.stereo_antistereo}
            rows.append({"item_id": f"{pair.pair_id}/{variant}", "before": "", "span": sentence, "variant": variant, "probe": True} | place)
    return Stimuli(items(rows, context), [], sources={NAME: data.sources(NAME)})


def pairs(context: StimuliContext) -> pd.DataFrame:
    """The pairs as their authors published them: ``pair_id, sent_more, sent_less, stereo_antistereo, bias_type``, and their ``cluster``.

    Pairs are no independent sample: 157 of the 1,508 differ in *black* and *white* alone, so what a model thinks of one word decides many
    of them. A cluster are the pairs of a category that differ in one word, of several the one in which most pairs differ.

    Raises:
        UserError: the file lacks a column.
    """
    path = context.data(NAME) / FILE
    wanted = ["sent_more", "sent_less", "stereo_antistereo", "bias_type"]
    found = pd.read_csv(path, index_col=0, keep_default_na=False)
    if missing := [c for c in wanted if c not in found]:
        raise UserError(f"'{path}' lacks the column '{missing[0]}'; fetch the data set again.")
    word = contrasts(found["sent_more"].tolist(), found["sent_less"].tolist())
    names = [f"{i:04d}" for i in found.index]
    cluster = [f"{kind}/{one or name}" for kind, one, name in zip(found["bias_type"], word, names, strict=True)]
    return found[wanted].assign(pair_id=names, cluster=cluster).reset_index(drop=True)


def contrasts(more: list[str], less: list[str]) -> list[str]:
    """For each pair of sentences the word in which they differ; of several the one in which most pairs do, of equals the last by letters.

    Words are compared without case, possessive and plural *s*; function words do not count. Empty where the sentences differ in no other.
    """
    differ = [sorted((_words(a) - _words(b)) | (_words(b) - _words(a))) for a, b in zip(more, less, strict=True)]
    count = Counter(word for words in differ for word in words)
    return [max(words, key=lambda word: (count[word], word), default="") for words in differ]


def _words(sentence: str) -> set[str]:
    words = (re.sub(r"['’]s$", "", word) for word in WORD.findall(sentence.lower()))
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words} - FUNCTION_WORDS
