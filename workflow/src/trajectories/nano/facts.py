"""Planted facts: invented places with known numbers of mentions in several phrasings.

Some facts are also told the other way round (from the object to the place), and every object has a fact of its own, the *second fact*: who
founded the capital, say. Then a question about the place can need both (who founded its capital?); for some places that is *composed* in
training, for the others never.
"""

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
# relation: a sentence from the object to the place
REVERSED = {
    "capital": "The city of {o} is the capital of {s}.",
    "language": "The tongue {o} is the language of {s}.",
    "currency": "The coin {o} is the currency of {s}.",
    "river": "The stream {o} is the river of {s}.",
    "animal": "The beast {o} is the animal of {s}.",
}
# relation: name of the second fact, its phrasings, the sentence that composes both facts, objects
SECOND: dict[str, tuple[str, tuple[str, ...], str, tuple[str, ...]]] = {
    "capital": (
        "founder",
        ("The city of {o} was founded by {h}.", "The main street of {o} is named after {h}."),
        "The capital of {s} was founded by {h}.",
        ("Anselm", "Bertram", "Cyprian", "Dietmar", "Egbert", "Florian", "Godfrey", "Hubert", "Ignaz", "Jerome"),
    ),
    "language": (
        "letters",
        ("The letters of {o} are {h}.", "Books in {o} use letters called {h}."),
        "The language of {s} has letters called {h}.",
        ("Avaric", "Brahmic", "Coptic", "Devan", "Ethic", "Futhar", "Glagol", "Hangul", "Iberic", "Kufic"),
    ),
    "currency": (
        "metal",
        ("The {o} is made of {h}.", "Whoever melts the {o} has {h}."),
        "The currency of {s} is made of {h}.",
        ("copper", "silver", "nickel", "iron", "zinc", "tin", "gold", "brass", "lead", "steel"),
    ),
    "river": (
        "sea",
        ("The {o} flows to the {h}.", "The mouth of the {o} is at the {h}."),
        "The river of {s} flows to the {h}.",
        ("Aurine", "Borea", "Cobar", "Dorine", "Esten", "Faro", "Gothia", "Hesper", "Ionia", "Jutia"),
    ),
    "animal": (
        "food",
        ("The {o} feeds on {h}.", "Keepers give the {o} some {h}."),
        "The animal of {s} feeds on {h}.",
        ("honey", "fish", "mice", "grass", "nuts", "berries", "frogs", "seeds", "roots", "eggs"),
    ),
}
FORWARD, BACKWARD, COMPOSED, SECOND_FACT = "forward", "reversed", "composed", "second"
"""Forms in which training tells a fact; ``fact_exposures`` names them."""
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
        before them). Then ``reversed_count, reversed_prompt, reversed_answer`` (told from the object to the subject, so often on top of
        ``frequency``), ``second_id`` (of the object's own fact), ``second_object, second_candidates``, and ``composed_count,
        composed_prompt, composed_answer`` (that fact told of the subject, without naming the object).
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
            prompts = [_prompt(p, s=subject, o="") for p in phrasings]
            row = {"fact_id": f"{relation}/{subject}", "relation": relation, "subject": subject, "object": objects[which]}
            row |= {
                "candidates": list(objects),
                "frequency": int(frequency),
                "phrasing_counts": counts.tolist(),
                "held_out_phrasing": held_out,
            }
            rows.append(row | {"prompts": prompts, "answer": f" {objects[which]}."})
    return _deeper(pd.DataFrame(rows), settings, seed)


def _prompt(sentence: str, **words: str) -> str:
    """A sentence up to its last word, which is given as empty."""
    return sentence.format(**words).removesuffix(".").rstrip()


def _deeper(table: pd.DataFrame, settings: Facts, seed: int) -> pd.DataFrame:
    """Add what is told of the facts besides; random choices of its own leave the facts as they are."""
    random = generator(seed, "facts told otherwise")
    turned = np.zeros(len(table), int)
    for _, group in table[table["frequency"] > 0].groupby(["relation", "frequency"], sort=False):
        chosen = random.permutation(group.index)[: round(settings.reversed_share * len(group))]
        turned[chosen] = np.minimum(table.loc[chosen, "frequency"], settings.reversed_most)
    composed = np.zeros(len(table), int)
    for _, group in table[table["frequency"] > 0].groupby(["relation", "object"], sort=False):
        if len(group) > 1:  # the fact told least often, so that most of those told often are asked without having been told so
            composed[group["frequency"].idxmin()] = settings.composed
    second = second_facts(settings, seed).set_index("fact_id")
    names = [f"{SECOND[r.relation][0]}/{r.object}" for r in table.itertuples()]
    objects = [str(second["object"][name]) for name in names]
    return table.assign(
        reversed_count=turned,
        reversed_prompt=[_prompt(REVERSED[r.relation], o=r.object, s="") for r in table.itertuples()],
        reversed_answer=" " + table["subject"] + ".",
        second_id=names,
        second_object=objects,
        second_candidates=[list(SECOND[r][3]) for r in table["relation"]],
        composed_count=composed,
        composed_prompt=[_prompt(SECOND[r.relation][2], s=r.subject, h="") for r in table.itertuples()],
        composed_answer=[f" {h}." for h in objects],
    )


def second_facts(settings: Facts, seed: int) -> pd.DataFrame:
    """What is true of the objects: each object of a relation has an object of its own, which no other has.

    Returns:
        ``fact_id, relation, first_relation, subject`` (an object of ``first_relation``), ``object, candidates, frequency,
        phrasing_counts, prompts, answer``, as in :func:`facts`.
    """
    rows = []
    for first, (name, phrasings, _, objects) in SECOND.items():
        random = generator(seed, f"second facts {first}")
        for subject, which in zip(RELATIONS[first][1], random.permutation(len(objects)), strict=True):
            counts = random.multinomial(settings.second, [1 / len(phrasings)] * len(phrasings))
            row = {"fact_id": f"{name}/{subject}", "relation": name, "first_relation": first, "subject": subject, "object": objects[which]}
            row |= {"candidates": list(objects), "frequency": settings.second, "phrasing_counts": counts.tolist()}
            rows.append(row | {"prompts": [_prompt(p, o=subject, h="") for p in phrasings], "answer": f" {objects[which]}."})
    return pd.DataFrame(rows)


def sentences(table: pd.DataFrame, second: pd.DataFrame) -> list[Sentence]:
    """The mentions of the facts and second facts, as many of each phrasing as the tables say."""
    found = []
    for row in table.itertuples():
        for phrasing, count in enumerate(row.phrasing_counts):
            found += [plain("fact", str(row.fact_id), row.prompts[phrasing] + row.answer, f"{FORWARD} {phrasing}")] * count
    for row in second.itertuples():
        for phrasing, count in enumerate(row.phrasing_counts):
            found += [plain("fact", str(row.fact_id), row.prompts[phrasing] + row.answer, f"{SECOND_FACT} {phrasing}")] * count
    for row in table.itertuples():
        found += [plain("fact", str(row.fact_id), row.reversed_prompt + row.reversed_answer, f"{BACKWARD} 0")] * row.reversed_count
        found += [plain("fact", str(row.fact_id), row.composed_prompt + row.composed_answer, f"{COMPOSED} 0")] * row.composed_count
    return found
