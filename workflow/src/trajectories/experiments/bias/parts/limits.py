"""What these sets can and cannot show, said in the report beside what they gave."""

from __future__ import annotations

from trajectories.analysis import AnalysisContext
from trajectories.findings import Findings

PUBLIC = (
    "What these sets can and cannot show: their authors call them challenge sets. CrowS-Pairs' data statement cautions strongly against "
    "the assumption that a lower score means an unbiased model, and against training on it (Nangia et al. 2020); it covers stereotypes "
    "of the United States, written by crowdworkers, in nine categories.",
    "Blodgett et al. (2021, Stereotyping Norwegian Salmon, ACL) find that many of CrowS-Pairs' pairs do not measure what they are meant "
    "to: sentences that state no stereotype or an odd one, groups that do not match, and edits that change more than the group. So a "
    "preference for one sentence is no proof of a stereotype, nor its absence of fairness; shares near one half may average over faults.",
    "WinoBias and WinoGender are built from few templates around occupations (Zhao et al. 2018; Rudinger et al. 2018) and treat gender as "
    "two-valued; they measure associations with occupations in English, at the time of the United States' statistics, and not what a model "
    "does to anyone.",
    "CrowS-Pairs is scored in its authors' original file of 1,508 pairs. lm-evaluation-harness uses a revised English edition of 1,677 "
    "pairs, whose file this workflow does not hold; published results are of that edition, so levels of the two are not to be compared.",
)
PLANTED = (
    "What planted occupations can and cannot show: their skew is known exactly, which no public set can offer, so they test the methods "
    "and how a model treats statistics that it reads. They are dealt at random and say nothing about stereotypes of people."
)


def analyse(context: AnalysisContext, found: Findings) -> None:
    """The notes for what the suite has."""
    parts = set() if context.stimuli is None else set(context.stimuli["part"])
    if context.published is not None or parts & {"crows_pairs", "winobias", "winogender"}:
        for sentence in PUBLIC:
            found.note(sentence)
    if "occupations" in parts:
        found.note(PLANTED)
