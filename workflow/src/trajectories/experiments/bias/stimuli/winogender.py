"""WinoGender: each sentence with *she* and with *he*, scored whole."""

from __future__ import annotations

import pandas as pd

from trajectories import data
from trajectories.experiments.bias.stimuli.common import items
from trajectories.stimuli import Stimuli, StimuliContext

NAME = "winogender"
VARIANTS = {"female": "feminine", "male": "masculine"}


def stimuli(context: StimuliContext) -> Stimuli:
    """Two sentences per template and participant; the category says whom the pronoun stands for."""
    folder = context.data(NAME)
    statistics = pd.read_csv(folder / "occupations-stats.tsv", sep="\t").set_index("occupation")
    rows = []
    for name, sentence in pd.read_csv(folder / "all_sentences.tsv", sep="\t").itertuples(index=False):
        occupation, participant, answer, gender, _ = name.split(".")
        if gender not in VARIANTS:
            continue
        facts = statistics.loc[occupation]
        rows.append(
            {
                "item_id": f"{occupation}/{participant}/{answer}/{VARIANTS[gender]}",
                "before": "",
                "span": sentence,
                "pair_id": f"{occupation}/{participant}/{answer}",
                "variant": VARIANTS[gender],
                "category": "occupation" if answer == "0" else "participant",
                "cluster": occupation,
                "setting": "someone" if participant == "someone" else "named",
                "bls": facts["bls_pct_female"],
                "bergsma": facts["bergsma_pct_female"],
            }
        )
    return Stimuli(items(rows, context), [], sources={NAME: data.sources(NAME)})
