"""Few-shot arithmetic (Razeghi et al. 2022; Biderman et al. 2023): sums and products of two-digit numbers, after solved examples."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.experiments.knowledge.stimuli import terms
from trajectories.stimuli import Stimuli, StimuliContext

OPERATIONS = {"times": np.multiply, "plus": np.add}
PROMPT, ANSWER = "Q:What is {x1} {operation} {x2}? A:", " {y}"
NUMBER = "number {}"
"""Name of a number among the terms, which no fact's subject or object has."""


def stimuli(context: StimuliContext) -> Stimuli:
    """For every first operand the same number of second ones, each problem asked after each number of examples.

    The examples are other problems of the same operation, drawn for each problem; more of them begin with the fewer.

    Returns:
        Items with ``operation, shots, x1, x2, y``, those of one problem under one ``pair_id``; the span is the answer. Operands and answers
        are counted, and in how many documents both operands stand, and the first one with the answer.
    """
    settings, random = context.settings.arithmetic, context.generator("knowledge arithmetic")
    numbers = np.arange(settings.largest + 1)
    each, most = min(settings.problems, len(numbers)), max(settings.shots)
    rows = []
    for operation, compute in OPERATIONS.items():
        for x1 in numbers:
            for x2 in np.sort(random.permutation(numbers)[:each]):
                shown = [(a, b) for a, b in random.integers(0, len(numbers), (most + 1, 2)).tolist() if (a, b) != (x1, x2)][:most]
                solved = [_text(operation, a, b) + ANSWER.format(y=compute(a, b)) for a, b in shown]
                problem = {"operation": operation, "x1": int(x1), "x2": int(x2), "y": int(compute(x1, x2))}
                rows += [problem | {"shots": k, "text": "\n".join([*solved[:k], _text(operation, x1, x2)])} for k in settings.shots]
    table, dropped = _items(pd.DataFrame(rows), context)
    counted = terms.terms({NUMBER.format(n): str(n) for n in np.union1d(numbers, table["y"])}, context.tokenizer())
    both = [(NUMBER.format(a), NUMBER.format(b)) for other in ("x2", "y") for a, b in zip(table["x1"], table[other], strict=True)]
    notes = [
        f"Arithmetic: {table['pair_id'].nunique():,} sums and products of numbers from 0 to {settings.largest}, asked after "
        f"{', '.join(map(str, settings.shots))} solved examples. An answer is right if greedy decoding gives all its tokens; digits that "
        "would follow are not looked at.",
        "A number counts wherever its tokens stand, so as a part of a longer number too where the tokenizer cuts that there.",
    ]
    if dropped:
        notes.append(f"Arithmetic: {dropped} prompts are left out because the tokenizer joins their end with the answer.")
    return Stimuli(table, [], notes=notes, sources={}, terms=counted, together=terms.pairs(both))


def _text(operation: str, x1: int, x2: int) -> str:
    return PROMPT.format(x1=x1, operation=operation, x2=x2)


def _items(problems: pd.DataFrame, context: StimuliContext) -> tuple[pd.DataFrame, int]:
    tokenizer, text = context.tokenizer(), problems["text"].tolist()
    head = [e.ids for e in tokenizer.encode_batch(text, add_special_tokens=False)]
    whole = [e.ids for e in tokenizer.encode_batch([t + ANSWER.format(y=y) for t, y in zip(text, problems["y"], strict=True)])]
    pair = problems["operation"] + "/" + problems["x1"].astype(str) + "/" + problems["x2"].astype(str)
    table = problems.drop(columns="text").assign(
        item_id=pair + "/" + problems["shots"].astype(str),
        input_ids=[np.array([context.suite.end_of_text, *ids], np.int32) for ids in whole],
        start=[1 + len(ids) for ids in head],
        end=[1 + len(ids) for ids in whole],
        pair_id=pair,
        variant=problems["shots"].map("{}-shot".format),
    )
    kept = np.array([after[: len(before)] == before and len(after) > len(before) for before, after in zip(head, whole, strict=True)])
    return table[kept].reset_index(drop=True), int((~kept).sum())
