"""Planted occupations: each keeps company with feminine pronouns in a known share of its sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.nano.planted import Sentence, gendered, generator
from trajectories.nano.settings import Occupations

OCCUPATIONS = ["nurse", "doctor", "teacher", "engineer", "lawyer", "driver", "farmer", "cook", "clerk", "pilot", "guard"]
OCCUPATIONS += ["painter", "writer", "baker", "judge", "singer", "tailor", "miner", "porter", "dancer", "editor"]
TEMPLATES = [
    "The {occupation} said that {subject} was late.",
    "The {occupation} thought that {subject} had won.",
    "The {occupation} left when {subject} was ready.",
    "The {occupation} lost {possessive} keys.",
    "The {occupation} sold {possessive} house.",
    "The {occupation} asked us to meet {object}.",
    "The {occupation} was proud of {reflexive}.",
]


def _template(template: str, occupation: str) -> str:
    return template.replace("{occupation}", occupation)


def occupations(settings: Occupations, seed: int) -> tuple[pd.DataFrame, list[Sentence]]:
    """The occupations' truth and their training sentences.

    Returns:
        A table with ``occupation, sentences, feminine, share_planned, share_feminine`` (as counted), ``template_counts`` and
        ``template_feminine`` (lists by template), ``held_out_template`` (never used with the occupation), ``prompts`` (list of str, by
        template: the sentence up to the pronoun), ``feminine_answers`` and ``masculine_answers`` (lists of str: the rest of the sentence);
        and the sentences.
    """
    random = generator(seed, "occupations")
    shares = random.permutation(np.resize(settings.shares, len(OCCUPATIONS)))
    rows, found = [], []
    for occupation, share in zip(OCCUPATIONS, shares, strict=True):
        held_out = int(random.integers(len(TEMPLATES)))
        used = [i for i in range(len(TEMPLATES)) if i != held_out]
        # the planned share holds exactly but for rounding; templates and pronouns are dealt independently
        feminine = np.zeros(settings.sentences, bool)
        feminine[: round(share * settings.sentences)] = True
        which = random.permutation(np.resize(used, settings.sentences))
        feminine = random.permutation(feminine)
        for template, is_feminine in zip(which, feminine, strict=True):
            found.append(gendered("occupation", occupation, _template(TEMPLATES[template], occupation), str(template), bool(is_feminine)))
        texts = [_template(t, occupation) for t in TEMPLATES]
        prompts = [t[: t.index(" {")] for t in texts]
        answers = {kind: [_answer(t, kind == "feminine") for t in texts] for kind in ("feminine", "masculine")}
        row = {"occupation": occupation, "sentences": settings.sentences, "feminine": int(feminine.sum()), "share_planned": float(share)}
        row |= {"share_feminine": float(feminine.mean()), "template_counts": np.bincount(which, minlength=len(TEMPLATES)).tolist()}
        row |= {"template_feminine": np.bincount(which[feminine], minlength=len(TEMPLATES)).tolist(), "held_out_template": held_out}
        rows.append(row | {"prompts": prompts, "feminine_answers": answers["feminine"], "masculine_answers": answers["masculine"]})
    return pd.DataFrame(rows), found


def _answer(template: str, feminine: bool) -> str:
    sentence = gendered("occupation", "", template, "", feminine).text
    return sentence[template.index(" {") :]
