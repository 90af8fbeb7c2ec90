"""A corpus of a few hundred rows, made once."""

from __future__ import annotations

from typing import Any

import pytest
from trajectories.nano.corpus import Corpus, build
from trajectories.nano.settings import Training


def plan(**changes: Any) -> Training:
    """A small corpus of everything, with some parts changed."""
    content: dict[str, Any] = {
        "seed": 3,
        "vocabulary": 800,
        "row_tokens": 97,
        "rows_per_step": 8,
        "steps": 60,
        "shard_bytes": 20003,
        "text": {"packages": ["pandas"], "most_files": 60},
        "canaries": {"counts": {1: 6, 4: 5, 16: 3}, "window": 20, "offset": "random"},
        "facts": {"subjects": 6, "frequencies": [0, 1, 5], "reversed_share": 0.5, "reversed_most": 3, "second": 4, "composed": 2},
        "grammar": {
            "sentences": {
                "agreement_simple": 300,
                "agreement_attractor": 200,
                "determiner_noun": 150,
                "anaphor_gender": 150,
                "npi_any": 90,
                "irregular_participle": 60,
            },
            "pairs_unseen": 40,
            "pairs_seen": 10,
        },
        "occupations": {"sentences": 20},
    }
    return Training.model_validate(content | changes)


@pytest.fixture(scope="session")
def training() -> Training:
    return plan()


@pytest.fixture(scope="session")
def corpus(training: Training) -> Corpus:
    return build(training)
