"""Rows that no model is trained on, scored whole: what an intervention does to text that it has left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.experiments.bias.stimuli.common import COLUMNS, FLAGS, NUMBERS, TEXT
from trajectories.stimuli import Stimuli, StimuliContext

ROWS = 64


def stimuli(context: StimuliContext) -> Stimuli:
    """At most :data:`ROWS` rows of each order of never-seen rows that can be read, spread evenly over it; without items elsewhere."""
    made = []
    for name in sorted({o.never_seen for o in context.suite.orders.values() if o.never_seen is not None} & set(context.orders)):
        reader = context.orders[name]
        chosen = np.unique(np.linspace(0, len(reader) - 1, min(ROWS, len(reader))).astype(int))
        for row, tokens in zip(chosen.tolist(), reader[chosen], strict=True):
            place = {"item_id": f"{name}/{row}", "input_ids": [int(t) for t in tokens], "start": 1, "end": len(tokens)}
            place |= dict.fromkeys(TEXT, "") | dict.fromkeys(FLAGS, False) | dict.fromkeys(NUMBERS, float("nan"))
            made.append(place | {"pair_id": str(row), "cluster": str(row), "setting": name})
    return Stimuli(pd.DataFrame(made, columns=COLUMNS), [])
