"""What the parts of the stimuli share: texts with a marked span become items with the columns of this experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trajectories.stimuli import StimuliContext

TEXT, FLAGS, NUMBERS = (
    ("pair_id", "variant", "category", "cluster", "setting", "answer"),
    ("held_out", "probe", "gendered"),
    ("bls", "bergsma"),
)
GENDERED = re.compile(r"\b(?:he|she|him|her|his|hers|himself|herself)\b", re.IGNORECASE)
COLUMNS = ["item_id", "input_ids", "start", "end", *TEXT, *FLAGS, *NUMBERS]
"""Columns of every part.

``pair_id`` joins sentences that differ in what is tested, ``variant`` says which one it is (``more`` and ``less`` stereotyping,
``feminine`` and ``masculine`` pronoun, ``pro`` and ``anti`` stereotyped); ``category`` is the kind of bias, ``cluster`` holds together
pairs that share an occupation, or a word in which their sentences differ; ``setting`` is the template, direction, or wording of the
prompt, ``answer`` what is scored after a prompt; ``held_out`` says that training never has the occupation in that template, ``probe`` that
hidden states are read, ``gendered`` that the text has a gendered pronoun; ``bls`` and ``bergsma`` are the percentages of women in an
occupation by labour statistics and by counting text.
"""


def items(rows: Sequence[Mapping[str, Any]], context: StimuliContext) -> pd.DataFrame:
    """Items with :data:`COLUMNS`, each after one end-of-text token.

    Args:
        rows: each has ``item_id``, ``before``, ``span`` and ``after`` (texts that together are shown, of which ``span`` is scored), and any
            of the other columns.
        context: has the tokenizer.
    """
    encoded = context.tokenizer().encode_batch([r["before"] + r["span"] + r.get("after", "") for r in rows], add_special_tokens=False)
    made = []
    for r, found in zip(rows, encoded, strict=True):
        first = len(r["before"])
        last = first + len(r["span"])
        scored = [i for i, (start, end) in enumerate(found.offsets) if end > first and start < last]
        place = {"item_id": r["item_id"], "input_ids": [context.suite.end_of_text, *found.ids]}
        place |= {"start": scored[0] + 1, "end": scored[-1] + 2}
        place |= {name: str(r.get(name, "")) for name in TEXT} | {name: bool(r.get(name, False)) for name in FLAGS}
        place["gendered"] = GENDERED.search(r["before"] + r["span"] + r.get("after", "")) is not None
        made.append(place | {name: float(r.get(name, "nan")) for name in NUMBERS})
    return pd.DataFrame(made, columns=COLUMNS)
