"""Planted grammar: paradigms whose sentences are trained on, and minimal pairs whose key combination of words never is.

A paradigm hangs on two words, its *key*, for instance a subject and its verb. The combinations whose numbers in the two word lists add up
to a multiple of five are held out: training never shows them in this paradigm, though it shows both words with others. Every unseen pair
is built on such a combination, so to get it right a model has to have learnt the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.errors import UserError, require_known
from trajectories.nano.planted import Sentence, gendered, generator, pick, plain
from trajectories.nano.settings import Grammar

HELD_OUT = 5

MASCULINE = [("king", "kings"), ("boy", "boys"), ("man", "men"), ("father", "fathers"), ("brother", "brothers")]
FEMININE = [("queen", "queens"), ("girl", "girls"), ("woman", "women"), ("mother", "mothers"), ("sister", "sisters")]
GENDERED = [noun for both in zip(MASCULINE, FEMININE, strict=True) for noun in both]
NEUTRAL = [("dog", "dogs"), ("cat", "cats"), ("horse", "horses"), ("bird", "birds"), ("guest", "guests"), ("child", "children")]
NEUTRAL += [("friend", "friends"), ("student", "students"), ("visitor", "visitors"), ("neighbour", "neighbours")]
NOUNS = [noun for both in zip(GENDERED, NEUTRAL, strict=True) for noun in both]
_STEMS = ("sleep", "run", "sing", "laugh", "wait", "smile", "walk", "swim", "jump", "work", "dance", "fall", "listen")
INTRANSITIVE = [(f"{stem}s", stem) for stem in _STEMS]
PRESENT = [(f"{stem}s", stem) for stem in ("see", "like", "know", "hear", "help", "follow", "call")]
SLEPT = ["slept", "laughed", "smiled", "arrived", "sneezed", "appeared", "vanished", "coughed", "yawned", "fell"]
CHASED = ["chased", "watched", "praised", "followed", "helped", "visited", "ignored", "admired", "called", "thanked"]
PRAISED = ["blamed", "hurt", "trusted", "defended", "described", "washed", "dressed", "pleased", "taught", "forgave"]
PARTICIPLES = [("broke", "broken"), ("ate", "eaten"), ("took", "taken"), ("wrote", "written"), ("stole", "stolen"), ("hid", "hidden")]
PARTICIPLES += [("drove", "driven"), ("chose", "chosen"), ("drew", "drawn"), ("threw", "thrown")]
THINGS = ["box", "letter", "cup", "car", "picture", "stone", "book", "apple", "table", "ring"]
ADJECTIVES = ["old", "young", "happy", "tired", "quiet", "tall", "small", "clever"]
PLACES = ["near", "behind", "beside", "with"]
ENDINGS = ["", " today", " again", " every day", " at night", " in the garden", " at home", " now"]
DETERMINERS = [("this", "these"), ("that", "those")]
_Chooser = Callable[[list, list], tuple]  # type: ignore[type-arg]


@dataclass(frozen=True)
class Made:
    """One draw of a paradigm: the good sentence and its bad twin as templates with slots for gendered pronouns."""

    good: str
    bad: str
    feminine: bool = True


@dataclass(frozen=True)
class Paradigm:
    """A grammatical rule with its place in the field's terms.

    ``make`` takes a generator and a function that chooses the key's two words; ``companion`` makes the sentences that show the other half
    of the rule (*some* where *any* is not allowed, an attractor that agrees by chance), so that the good form is no mere habit.
    """

    phenomenon: str
    field: str
    make: Callable[[np.random.Generator, _Chooser], Made]
    companion: Callable[[np.random.Generator, _Chooser], str] | None = None


def _simple(r: np.random.Generator, key: _Chooser) -> Made:
    (noun, verb), n = key(NOUNS, INTRANSITIVE), int(r.integers(2))
    end = pick(r, ENDINGS)
    return Made(f"The {noun[n]} {verb[n]}{end}.", f"The {noun[n]} {verb[1 - n]}{end}.")


def _attractor(r: np.random.Generator, key: _Chooser) -> Made:
    (noun, verb), n = key(NOUNS, INTRANSITIVE), int(r.integers(2))
    start, end = f"The {noun[n]} {pick(r, PLACES)} the {pick(r, NOUNS)[1 - n]}", pick(r, ENDINGS)
    return Made(f"{start} {verb[n]}{end}.", f"{start} {verb[1 - n]}{end}.")


def _congruent(r: np.random.Generator, key: _Chooser) -> str:
    (noun, verb), n = key(NOUNS, INTRANSITIVE), int(r.integers(2))
    return f"The {noun[n]} {pick(r, PLACES)} the {pick(r, NOUNS)[n]} {verb[n]}{pick(r, ENDINGS)}."


def _relative(r: np.random.Generator, key: _Chooser) -> Made:
    (noun, verb), n = key(NOUNS, INTRANSITIVE), int(r.integers(2))
    start, end = f"The {noun[n]} that the {pick(r, NOUNS)[1 - n]} {pick(r, PRESENT)[1 - n]}", pick(r, ENDINGS)
    return Made(f"{start} {verb[n]}{end}.", f"{start} {verb[1 - n]}{end}.")


def _congruent_relative(r: np.random.Generator, key: _Chooser) -> str:
    (noun, verb), n = key(NOUNS, INTRANSITIVE), int(r.integers(2))
    return f"The {noun[n]} that the {pick(r, NOUNS)[n]} {pick(r, PRESENT)[n]} {verb[n]}{pick(r, ENDINGS)}."


def _determiner(r: np.random.Generator, key: _Chooser, adjective: bool = False) -> Made:
    (noun, determiner), n = key(NOUNS, DETERMINERS), int(r.integers(2))
    start, middle, end = f"The {pick(r, NOUNS)[0]} {pick(r, CHASED)}", f" {pick(r, ADJECTIVES)}" if adjective else "", pick(r, ENDINGS)
    return Made(f"{start} {determiner[n]}{middle} {noun[n]}{end}.", f"{start} {determiner[1 - n]}{middle} {noun[n]}{end}.")


def _anaphor_gender(r: np.random.Generator, key: _Chooser) -> Made:
    noun, verb = key(GENDERED, PRAISED)
    end, feminine = pick(r, ENDINGS), noun in FEMININE
    other = "himself" if feminine else "herself"
    return Made(f"The {noun[0]} {verb} {{reflexive}}{end}.", f"The {noun[0]} {verb} {other}{end}.", feminine)


def _anaphor_number(r: np.random.Generator, key: _Chooser) -> Made:
    noun, verb = key(GENDERED, PRAISED)
    end = pick(r, ENDINGS)
    return Made(f"The {noun[1]} {verb} themselves{end}.", f"The {noun[1]} {verb} {'herself' if noun in FEMININE else 'himself'}{end}.")


def _binding(r: np.random.Generator, key: _Chooser) -> Made:
    noun, verb = key(GENDERED, PRAISED)
    feminine = noun in FEMININE
    start = f"The {noun[0]} that the {pick(r, MASCULINE if feminine else FEMININE)[0]} {pick(r, CHASED)} {verb}"
    return Made(f"{start} {{reflexive}}.", f"{start} {'himself' if feminine else 'herself'}.", feminine)


def _any(r: np.random.Generator, key: _Chooser) -> Made:
    noun, verb = key(NOUNS, CHASED)
    rest = f"{noun[0]} {verb} any {pick(r, NOUNS)[1]}{pick(r, ENDINGS)}."
    return Made(f"No {rest}", f"The {rest}")


def _some(r: np.random.Generator, key: _Chooser) -> str:
    noun, verb = key(NOUNS, CHASED)
    return f"The {noun[0]} {verb} {pick(r, ['some', 'the'])} {pick(r, NOUNS)[1]}{pick(r, ENDINGS)}."


def _ever(r: np.random.Generator, key: _Chooser) -> Made:
    noun, verb = key(NOUNS, SLEPT)
    end = pick(r, ENDINGS)
    return Made(f"No {noun[0]} ever {verb}{end}.", f"The {noun[0]} ever {verb}{end}.")


def _once(r: np.random.Generator, key: _Chooser) -> str:
    noun, verb = key(NOUNS, SLEPT)
    return f"The {noun[0]} {pick(r, ['often', 'once'])} {verb}{pick(r, ENDINGS)}."


def _gap(r: np.random.Generator, key: _Chooser) -> Made:
    noun, verb = key(NOUNS, CHASED)
    start = f"The {pick(r, NOUNS)[0]} {pick(r, PRESENT[2:4])[0]}"
    return Made(f"{start} who the {noun[0]} {verb}.", f"{start} that the {noun[0]} {verb}.")


def _no_gap(r: np.random.Generator, key: _Chooser) -> str:
    noun, verb = key(NOUNS, CHASED)
    return f"The {pick(r, NOUNS)[0]} {pick(r, PRESENT[2:4])[0]} that the {noun[0]} {verb} the {pick(r, NOUNS)[0]}."


def _transitive(r: np.random.Generator, key: _Chooser) -> Made:
    noun, verb = key(NOUNS, CHASED)
    rest = f" the {pick(r, NOUNS)[0]}{pick(r, ENDINGS)}."
    return Made(f"The {noun[0]} {verb}{rest}", f"The {noun[0]} {pick(r, SLEPT)}{rest}")


def _intransitive(r: np.random.Generator, key: _Chooser) -> str:
    noun, verb = key(NOUNS, SLEPT)
    return f"The {noun[0]} {verb}{pick(r, ENDINGS)}."


def _participle(r: np.random.Generator, key: _Chooser) -> Made:
    noun, (past, participle) = key(NOUNS, PARTICIPLES)
    rest = f"the {pick(r, THINGS)}{pick(r, ENDINGS)}."
    return Made(f"The {noun[0]} has {participle} {rest}", f"The {noun[0]} has {past} {rest}")


def _past(r: np.random.Generator, key: _Chooser) -> str:
    noun, (past, _) = key(NOUNS, PARTICIPLES)
    return f"The {noun[0]} {past} the {pick(r, THINGS)}{pick(r, ENDINGS)}."


PARADIGMS = {
    "agreement_simple": Paradigm("subject_verb_agreement", "morphology", _simple),
    "agreement_attractor": Paradigm("subject_verb_agreement", "morphology", _attractor, _congruent),
    "agreement_relative_clause": Paradigm("subject_verb_agreement", "morphology", _relative, _congruent_relative),
    "determiner_noun": Paradigm("determiner_noun_agreement", "morphology", _determiner),
    "determiner_adjective_noun": Paradigm("determiner_noun_agreement", "morphology", lambda r, key: _determiner(r, key, adjective=True)),
    "irregular_participle": Paradigm("irregular_forms", "morphology", _participle, _past),
    "anaphor_gender": Paradigm("anaphor_agreement", "syntax_semantics", _anaphor_gender),
    "anaphor_number": Paradigm("anaphor_agreement", "syntax_semantics", _anaphor_number),
    "binding_across_clause": Paradigm("binding", "syntax_semantics", _binding),
    "npi_any": Paradigm("npi_licensing", "semantics", _any, _some),
    "npi_ever": Paradigm("npi_licensing", "semantics", _ever, _once),
    "wh_with_gap": Paradigm("filler_gap_dependency", "syntax", _gap, _no_gap),
    "transitive": Paradigm("argument_structure", "syntax", _transitive, _intransitive),
}


def _chooser(random: np.random.Generator, held_out: bool) -> _Chooser:
    def choose(first: list, second: list) -> tuple:  # type: ignore[type-arg]
        while True:
            i, j = int(random.integers(len(first))), int(random.integers(len(second)))
            if ((i + j) % HELD_OUT == 0) == held_out:
                return first[i], second[j]

    return choose


def _draws(name: str, count: int, seed: int) -> Iterator[Made | str]:
    """What training shows of a paradigm, in the sequence in which it is drawn; where there are companions, every third is one."""
    paradigm, random = PARADIGMS[name], generator(seed, f"sentences {name}")
    key = _chooser(random, held_out=False)
    for number in range(count):
        yield paradigm.companion(random, key) if paradigm.companion is not None and number % 3 == 2 else paradigm.make(random, key)


def _good(name: str, made: Made) -> Sentence:
    return gendered("grammar", name, made.good, "good", made.feminine)


def sentences(grammar: Grammar, seed: int) -> list[Sentence]:
    """The training sentences of every paradigm, as many as ``grammar.sentences`` says; companions count, with variant ``companion``."""
    for name in grammar.sentences:
        require_known("planted paradigm", name, PARADIGMS)
    return [
        plain("grammar", name, made, "companion") if isinstance(made, str) else _good(name, made)
        for name, count in grammar.sentences.items()
        for made in _draws(name, count, seed)
    ]


def pairs(grammar: Grammar, seed: int, planted: list[Sentence]) -> pd.DataFrame:
    """Minimal pairs: ``paradigm, phenomenon, field, frequency, pair_id, good, bad, seen``.

    ``frequency`` counts the paradigm's training sentences, companions not included. Unseen pairs (``seen`` false) use held-out
    combinations; for the others the good sentence is one of the training sentences. No good sentence occurs twice.

    Raises:
        UserError: a paradigm does not yield as many unseen pairs as ``grammar.pairs_unseen`` asks for.
    """
    shown = {sentence.text for sentence in planted}
    rows: list[tuple[object, ...]] = []
    for name, count in grammar.sentences.items():
        paradigm = PARADIGMS[name]
        frequency = sum(s.source == name and s.variant == "good" for s in planted if s.kind == "grammar")
        random = generator(seed, f"pairs {name}")
        key = _chooser(random, held_out=True)
        unseen = _distinct((paradigm.make(random, key) for _ in range(500 * grammar.pairs_unseen)), name, shown, grammar.pairs_unseen)
        if len(unseen) < grammar.pairs_unseen:
            raise UserError(f"Paradigm '{name}' yields only {len(unseen)} of {grammar.pairs_unseen} unseen pairs; lower 'pairs_unseen'.")
        seen = _distinct((made for made in _draws(name, count, seed) if isinstance(made, Made)), name, set(), grammar.pairs_seen)
        for is_seen, found in ((False, unseen), (True, seen)):
            for good, bad in found.items():
                rows.append((name, paradigm.phenomenon, paradigm.field, frequency, f"{name}/{len(rows):05d}", good, bad, is_seen))
    return pd.DataFrame(rows, columns=["paradigm", "phenomenon", "field", "frequency", "pair_id", "good", "bad", "seen"])


def _distinct(drawn: Iterable[Made], name: str, shown: set[str], wanted: int) -> dict[str, str]:
    """Good to bad sentence of the first ``wanted`` different pairs whose sentences are not among ``shown``."""
    found: dict[str, str] = {}
    for made in drawn:
        if len(found) == wanted:
            break
        good = _good(name, made).text
        if good not in found and good not in shown and made.bad not in shown:
            found[good] = made.bad
    return found
