"""What a user can say about published results and about branches with other pronouns: the smallest effects of interest."""

from __future__ import annotations

from pydantic import Field

from trajectories.suites import Strict


class PublishedSettings(Strict):
    """Development in published results."""

    early: float = Field(
        0.01, ge=0, lt=1, description="The first sound checkpoint counts as untrained if it has seen at most this share of training."
    )
    preferred: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="Smallest share of interest, of CrowS-Pairs, by which the stereotype's exceeds one half, or rises with training.",
    )
    spread: float = Field(
        0.2, gt=0, description="Smallest standard deviation of interest between categories' changes, in log odds of the stereotype."
    )
    gap: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Smallest difference of interest in exact match between WinoBias' pro- and anti-stereotypical sentences.",
    )


class InterventionSettings(Strict):
    """Branches with other pronouns against the runs that they leave."""

    adopted: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Smallest share of interest of the parent's skew of pronouns that a branch has turned; 1 is its reversal.",
    )
    stereotype: float = Field(
        0.05, gt=0, lt=1, description="Smallest fall of interest in the share of CrowS-Pairs' gender pairs whose stereotype is preferred."
    )
    gap: float = Field(0.05, gt=0, lt=1, description="Smallest fall of interest in WinoBias' gap in exact match.")
    lambada: float = Field(0.02, gt=0, lt=1, description="Smallest change of interest in LAMBADA's accuracy, a side effect.")
    text: float = Field(
        0.02, gt=0, description="Smallest change of interest in the loss on text never seen, nats per token, a side effect."
    )
