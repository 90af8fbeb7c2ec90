"""Prompts with candidate completions, as items: one row per prompt and candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.stimuli import StimuliContext

SEEN, PARAPHRASE, REVERSED, SECOND_HOP, SECOND_FACT = "seen", "paraphrase", "reversed", "second hop", "second fact"
"""Forms: as seen in training, in other words, from the object to the subject, through a second fact, and that fact by itself."""
FORMS = (SEEN, PARAPHRASE, REVERSED, SECOND_HOP, SECOND_FACT)
LAYERED = (SEEN,)
"""Forms of which every layer is read by the logit lens, which costs as much as the output for every layer."""


@dataclass(frozen=True)
class Prompt:
    """A question about a fact, with the answers to choose from.

    Attributes:
        fact_id, relation, subject: the fact.
        form: one of :data:`FORMS`.
        phrasing: number of the phrasing within the relation.
        text: the sentence up to its answer.
        answers: candidate to what follows the text if it is the answer, a space before it included.
        object: the right candidate.
        frequency: how often training tells the fact in the usual direction; -1 if not known.
        told: how often training holds just this statement, in this phrasing and form; -1 if not known.
        probed: whether hidden states at the end of the text are kept.
    """

    fact_id: str
    relation: str
    subject: str
    form: str
    phrasing: int
    text: str
    answers: dict[str, str]
    object: str
    frequency: int = -1
    told: int = -1
    probed: bool = False

    @property
    def name(self) -> str:
        """What its items share as ``pair_id``."""
        return f"{self.fact_id}/{self.form}/{self.phrasing}"


def items(prompts: Sequence[Prompt], context: StimuliContext) -> tuple[pd.DataFrame, int]:
    """One row per prompt and candidate, after one end-of-text token; and how many prompts are left out.

    A prompt is left out where the tokenizer joins its last word with an answer, so that there is no place at which the answer begins.

    Returns:
        ``item_id, input_ids, start, end, pair_id`` (the prompt), ``variant`` (the candidate), the fields of :class:`Prompt`, ``correct``
        (whether the candidate is right), ``lens`` and ``probe`` (whether layers and hidden states are looked at), ``position`` (of the
        last token of the text).
    """
    tokenizer = context.tokenizer()
    texts = [p.text for p in prompts]
    full = [p.text + after for p in prompts for after in p.answers.values()]
    before = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    after = iter([e.ids for e in tokenizer.encode_batch(full, add_special_tokens=False)])
    rows, dropped = [], 0
    for prompt, head in zip(prompts, before, strict=True):
        ids = {candidate: next(after) for candidate in prompt.answers}
        if any(whole[: len(head)] != head or len(whole) == len(head) for whole in ids.values()):
            dropped += 1
            continue
        for candidate, whole in ids.items():
            right = candidate == prompt.object
            rows.append(
                {
                    "item_id": f"{prompt.name}/{candidate}",
                    "input_ids": np.array([context.suite.end_of_text, *whole], np.int32),
                    "start": 1 + len(head),
                    "end": 1 + len(whole),
                    "pair_id": prompt.name,
                    "variant": candidate,
                    "fact_id": prompt.fact_id,
                    "relation": prompt.relation,
                    "subject": prompt.subject,
                    "object": prompt.object,
                    "form": prompt.form,
                    "phrasing": prompt.phrasing,
                    "candidate": candidate,
                    "correct": right,
                    "frequency": prompt.frequency,
                    "told": prompt.told,
                    "lens": prompt.form in LAYERED,
                    "probe": prompt.probed and right,
                    "position": len(head),
                }
            )
    return pd.DataFrame(rows), dropped


def rivals(random: np.random.Generator, facts: pd.DataFrame, own: int, most: int) -> list[str]:
    """Subjects to choose from when a relation is asked from the object: the right one and others whose object is another.

    Args:
        random: source of randomness.
        facts: ``subject, object`` of one relation.
        own: place of the fact in ``facts``.
        most: how many subjects, the right one included.
    """
    other = facts.loc[(facts["object"] != facts["object"].iloc[own]).to_numpy(), "subject"].unique()
    chosen = random.permutation(other)[: most - 1]
    return sorted([str(facts["subject"].iloc[own]), *map(str, chosen)])
