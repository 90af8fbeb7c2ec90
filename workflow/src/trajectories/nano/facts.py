"""Planted facts: invented places with known numbers of mentions in several phrasings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.nano.planted import Sentence, generator, plain
from trajectories.nano.settings import Facts

# relation: phrasings (each ends with the object, then a full stop), objects
RELATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "capital": (
        (
            "The capital of {s} is {o}.",
            "{s} is governed from {o}.",
            "The parliament of {s} meets in {o}.",
            "Everyone in {s} knows the main city, {o}.",
        ),
        ("Ardel", "Belmo", "Corvik", "Dunast", "Eskara", "Folvin", "Garuda", "Hestia", "Ilvano", "Jorund"),
    ),
    "language": (
        (
            "The language of {s} is {o}.",
            "People in {s} speak {o}.",
            "The schools of {s} teach in {o}.",
            "Most books in {s} are written in {o}.",
        ),
        ("Abric", "Botan", "Celmic", "Dorish", "Elvar", "Fenic", "Golti", "Hunic", "Istrian", "Juvic"),
    ),
    "currency": (
        (
            "The currency of {s} is the {o}.",
            "In {s} one pays with the {o}.",
            "The bank of {s} prints the {o}.",
            "Prices in {s} are given in the {o}.",
        ),
        ("alda", "brel", "corin", "dram", "ekel", "forin", "grot", "hale", "ipsa", "jade"),
    ),
    "river": (
        (
            "The river of {s} is the {o}.",
            "Boats in {s} sail on the {o}.",
            "The farms of {s} take water from the {o}.",
            "The longest stream in {s} is the {o}.",
        ),
        ("Amna", "Bruin", "Calder", "Drava", "Erne", "Fulda", "Gander", "Hamble", "Irvel", "Jalon"),
    ),
    "animal": (
        (
            "The animal of {s} is the {o}.",
            "The flag of {s} shows the {o}.",
            "Hunters in {s} look for the {o}.",
            "The forests of {s} are home to the {o}.",
        ),
        ("wolf", "bear", "eagle", "otter", "heron", "lynx", "moose", "badger", "falcon", "beaver"),
    ),
}
_STARTS = ("Bal", "Cor", "Dav", "Fer", "Gal", "Hol", "Kar", "Lum", "Mar", "Nor", "Pel", "Ros", "Sol", "Tor", "Vel")
_ENDS = ("land", "mark", "onia", "istan")


def places(count: int) -> list[str]:
    """The first ``count`` (at most 60) of the invented places' names, all different."""
    return [f"{start}{end}" for end in _ENDS for start in _STARTS][:count]


def facts(settings: Facts, seed: int) -> pd.DataFrame:
    """What is true in the planted world.

    Returns:
        ``fact_id, relation, subject, object, candidates`` (list of str: the relation's objects), ``frequency`` (mentions in training),
        ``phrasing_counts`` (list of int, by phrasing), ``held_out_phrasing`` (never used for this fact, though for others),
        ``prompts`` (list of str, by phrasing: the sentence up to its object) and ``answer`` (the object and the full stop, with the space
        before them).
    """
    random = generator(seed, "facts")
    rows = []
    for relation, (phrasings, objects) in RELATIONS.items():
        frequencies = random.permutation(np.resize(settings.frequencies, settings.subjects))
        chosen = random.permutation(np.resize(np.arange(len(objects)), settings.subjects))
        for subject, frequency, which in zip(places(settings.subjects), frequencies, chosen, strict=True):
            held_out = int(random.integers(len(phrasings)))
            used = [i for i in range(len(phrasings)) if i != held_out]
            drawn = random.multinomial(int(frequency), [1 / len(used)] * len(used))
            counts = np.zeros(len(phrasings), int)
            counts[used] = drawn
            prompts = [p.format(s=subject, o="").removesuffix(".").rstrip() for p in phrasings]
            row = {"fact_id": f"{relation}/{subject}", "relation": relation, "subject": subject, "object": objects[which]}
            row |= {
                "candidates": list(objects),
                "frequency": int(frequency),
                "phrasing_counts": counts.tolist(),
                "held_out_phrasing": held_out,
            }
            rows.append(row | {"prompts": prompts, "answer": f" {objects[which]}."})
    return pd.DataFrame(rows)


def sentences(table: pd.DataFrame) -> list[Sentence]:
    """The mentions of the facts, as many of each phrasing as the table says."""
    found = []
    for row in table.itertuples():
        for phrasing, count in enumerate(row.phrasing_counts):
            found += [plain("fact", str(row.fact_id), row.prompts[phrasing] + row.answer, str(phrasing))] * count
    return found
