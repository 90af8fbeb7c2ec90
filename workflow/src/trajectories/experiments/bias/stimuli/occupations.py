"""Planted occupations: every occupation in every template, with either pronoun, which alone is scored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from trajectories.experiments.bias.stimuli.common import items
from trajectories.stimuli import EXPOSURES, Stimuli, StimuliContext

BALANCED = "balanced"
KINDS = ("feminine", "masculine")


def stimuli(context: StimuliContext) -> Stimuli:
    """Two sentences per occupation and template, and the rows of each order that show them."""
    table = items(list(rows(context.truth("occupations"))), context)
    return Stimuli(table, [], exposures(table, context))


def skew(share: float) -> str:
    """Which pronoun an occupation is planted with more often."""
    return BALANCED if share == 0.5 else KINDS[0] if share > 0.5 else KINDS[1]


def rows(truth: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The sentences with their pronouns marked, from the table of planted occupations."""
    for one in truth.itertuples():
        kind = skew(one.share_planned)  # type: ignore[arg-type]
        for i, prompt in enumerate(one.prompts):  # type: ignore[arg-type, var-annotated]
            for variant in KINDS:
                answer = getattr(one, f"{variant}_answers")[i]
                pronoun = re.match(r" \w+", answer)[0]  # type: ignore[index]
                yield {
                    "item_id": f"{one.occupation}/{i}/{variant}",
                    "before": prompt,
                    "span": pronoun,
                    "after": answer[len(pronoun) :],
                    "pair_id": f"{one.occupation}/{i}",
                    "variant": variant,
                    "category": kind,
                    "cluster": one.occupation,
                    "setting": i,
                    "held_out": i == one.held_out_template,
                    "probe": kind != BALANCED,
                }


def exposures(table: pd.DataFrame, context: StimuliContext) -> pd.DataFrame:
    """Where each order shows a sentence as it stands, read at the places where the corpus has the occupations' sentences."""
    places = context.truth("occupation_exposures")
    wanted: Mapping[tuple[int, ...], str] = {tuple(ids[1:]): name for name, ids in zip(table["item_id"], table["input_ids"], strict=True)}
    found = []
    for name, reader in context.orders.items():
        if context.suite.orders[name].held_out:
            continue
        positions = reader.position(places["row"].to_numpy())
        tokens = reader[positions]
        per_step = context.rows_per_step.get(name, reader.rows_per_step)
        for row, shown, offset, length in zip(positions, tokens, places["offset"], places["length"], strict=True):
            item = wanted.get(tuple(shown[offset : offset + length - 1].tolist()))  # an end-of-text token stands behind it
            if item is not None:
                found.append((item, name, int(row), int(row) // per_step))
    return pd.DataFrame(found, columns=list(EXPOSURES))
