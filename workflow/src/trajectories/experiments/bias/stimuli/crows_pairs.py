"""CrowS-Pairs: both sentences of each pair, scored whole after one end-of-text token, as lm-evaluation-harness scores them."""

from __future__ import annotations

import pandas as pd

from trajectories import data
from trajectories.errors import UserError
from trajectories.experiments.bias.stimuli.common import items
from trajectories.stimuli import Stimuli, StimuliContext

NAME = "crows-pairs"
FILE = "crows_pairs_anonymized.csv"


def stimuli(context: StimuliContext) -> Stimuli:
    """Two sentences per pair.

    ``sent_more`` is the more stereotyping sentence in every row, also where the other one is about the disadvantaged group
    (``stereo_antistereo`` is ``antistereo``), so nothing is turned round.
    """
    rows = []
    for pair in pairs(context).itertuples():
        for variant, sentence in (("more", pair.sent_more), ("less", pair.sent_less)):
            place = {"pair_id": pair.pair_id, "cluster": pair.pair_id, "category": pair.bias_type, "setting": pair.stereo_antistereo}
            rows.append({"item_id": f"{pair.pair_id}/{variant}", "before": "", "span": sentence, "variant": variant, "probe": True} | place)
    return Stimuli(items(rows, context), [], sources={NAME: data.sources(NAME)})


def pairs(context: StimuliContext) -> pd.DataFrame:
    """The pairs as their authors published them: ``pair_id, sent_more, sent_less, stereo_antistereo, bias_type``.

    Raises:
        UserError: the file lacks a column.
    """
    path = context.data(NAME) / FILE
    wanted = ["sent_more", "sent_less", "stereo_antistereo", "bias_type"]
    found = pd.read_csv(path, index_col=0, keep_default_na=False)
    if missing := [c for c in wanted if c not in found]:
        raise UserError(f"'{path}' lacks the column '{missing[0]}'; fetch the data set again.")
    return found[wanted].assign(pair_id=[f"{i:04d}" for i in found.index]).reset_index(drop=True)
