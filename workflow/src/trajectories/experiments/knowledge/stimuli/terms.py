"""Terms to be counted in the training orders: texts as the tokenizer writes them, at the start of a line and after a space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd
from tokenizers import Tokenizer

from trajectories.experiments.knowledge.stimuli.prompts import PARAPHRASE, SECOND_FACT, SEEN
from trajectories.stimuli import TOGETHER

TOLD = (SEEN, PARAPHRASE, SECOND_FACT)
"""Forms whose statement names subject and object; a second hop names neither the fact's object nor, as its subject, another's."""


def terms(texts: Mapping[str, str], tokenizer: Tokenizer) -> pd.DataFrame:
    """Terms with their token sequences: ``term, input_ids``, one row for each way of writing, each once.

    Args:
        texts: term to its text, without spaces around it.
        tokenizer: the suite's.
    """
    names = list(texts)
    rows = []
    for space in (" ", ""):
        encoded = tokenizer.encode_batch([space + texts[name] for name in names], add_special_tokens=False)
        rows += [(name, tuple(one.ids)) for name, one in zip(names, encoded, strict=True) if one.ids]
    return pd.DataFrame([(name, list(ids)) for name, ids in dict.fromkeys(rows)], columns=["term", "input_ids"])


def pairs(found: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Pairs of terms, each once, as ``term, other``; a term is no pair with itself."""
    return pd.DataFrame(list(dict.fromkeys((a, b) for a, b in found if a != b)), columns=list(TOGETHER), dtype=str)


def of_facts(items: pd.DataFrame, tokenizer: Tokenizer) -> dict[str, pd.DataFrame]:
    """What is counted for facts: their subjects and objects, and each subject with its object.

    Args:
        items: with ``form, subject, object, correct``.
        tokenizer: the suite's.

    Returns:
        ``terms`` and ``together`` of :class:`trajectories.stimuli.Stimuli`.
    """
    told = items[items["form"].isin(TOLD) & items["correct"].astype(bool)].drop_duplicates(["subject", "object"])
    words = dict.fromkeys([*told["subject"].astype(str), *told["object"].astype(str)])
    both = zip(told["subject"].astype(str), told["object"].astype(str), strict=True)
    return {"terms": terms({word: word for word in words}, tokenizer), "together": pairs(both)}


def held(counted: Mapping[str, pd.DataFrame], sequences: Mapping[str, Iterable[int]]) -> dict[tuple[str, str], list[str]]:
    """Which token sequences hold both terms of a pair, by pair; pairs that none holds are absent.

    Args:
        counted: ``terms`` and ``together``, as :func:`of_facts` gives them.
        sequences: token ids by name.
    """
    texts = {name: _text(ids) for name, ids in sequences.items()}
    where: dict[str, set[str]] = {}
    for term, ids in counted["terms"][["term", "input_ids"]].itertuples(index=False):
        where.setdefault(term, set()).update(name for name, text in texts.items() if _text(ids) in text)
    both = {(a, b): sorted(where[a] & where[b]) for a, b in counted["together"].itertuples(index=False)}
    return {pair: names for pair, names in both.items() if names}


def _text(ids: Iterable[int]) -> str:
    return " " + " ".join(map(str, ids)) + " "
