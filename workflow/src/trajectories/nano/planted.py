"""What planted sentences have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Sentence:
    """One planted document: a line of text that training meets with an end-of-text token behind it.

    Attributes:
        kind: ``fact``, ``grammar`` or ``occupation``.
        source: what it plants: a fact's number, a paradigm's or an occupation's name.
        text: the sentence.
        variant: which phrasing or template it has.
        swapped: the sentence with its gendered pronouns swapped.
        feminine: whether the pronoun is feminine; None for sentences that do not plant it.
    """

    kind: str
    source: str
    text: str
    variant: str
    swapped: str
    feminine: bool | None = None


_SWAPPED = {"he": "she", "him": "her", "himself": "herself", "she": "he", "herself": "himself"}
PRONOUNS = ("he", "she", "him", "her", "his", "himself", "herself")


def fill(template: str, feminine: bool) -> str:
    """Put pronouns into a template's slots ``{subject}``, ``{object}``, ``{possessive}`` and ``{reflexive}``."""
    forms = ("she", "her", "her", "herself") if feminine else ("he", "him", "his", "himself")
    return template.format(**dict(zip(("subject", "object", "possessive", "reflexive"), forms, strict=True)))


def gendered(kind: str, source: str, template: str, variant: str, feminine: bool) -> Sentence:
    """A sentence with its swapped twin, made from one template: the slot, not the word, tells whether *her* becomes *him* or *his*."""
    return Sentence(kind, source, fill(template, feminine), variant, fill(template, not feminine), feminine)


def plain(kind: str, source: str, text: str, variant: str) -> Sentence:
    """A sentence without gendered pronouns, which its swapped twin equals."""
    return Sentence(kind, source, text, variant, text)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A random generator that depends on the seed and on what it is for, so that one use never shifts another."""
    return np.random.default_rng([seed, *purpose.encode()])


def pick(random: np.random.Generator, words: Sequence[T]) -> T:
    """One of the words, each with the same chance."""
    return words[int(random.integers(len(words)))]
