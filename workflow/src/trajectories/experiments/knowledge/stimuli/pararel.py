"""ParaRel (Elazar et al. 2021): facts of Wikidata in several phrasings, for suites trained on real text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trajectories import data
from trajectories.errors import UserError
from trajectories.experiments.knowledge.stimuli.prompts import PARAPHRASE, REVERSED, SEEN, Prompt, items, rivals
from trajectories.experiments.knowledge.stimuli.terms import of_facts
from trajectories.stimuli import Stimuli, StimuliContext

LEAST_CANDIDATES = 4
SUBJECT, OBJECT = "[X]", "[Y]"


def stimuli(context: StimuliContext) -> Stimuli:
    """Sampled facts of sampled relations, each in several patterns that end with the object, and from the object where a pattern can.

    Raises:
        UserError: the data set lies elsewhere or is not as expected.
    """
    settings, folder = context.settings, Path(context.data("pararel"))
    random = context.generator("knowledge pararel")
    usable = {name: found for name in relations(folder) if (found := _relation(folder, name, settings, random)) is not None}
    names = sorted(random.permutation(list(usable))[: settings.relations].tolist(), key=lambda name: int(name[1:]))
    prompts: list[Prompt] = []
    probed = settings.probed // max(len(names), 1)
    for name in names:
        facts, forward, backward = usable[name]
        prompts += _prompts(name, facts, forward, backward, settings, probed, random)
    table, dropped = items(prompts, context)
    notes = [
        f"ParaRel: {table['fact_id'].nunique():,} facts of {len(names)} relations; the answers to choose from are {settings.candidates} "
        "objects of the relation, each the right one equally often. Subjects with several objects, and facts whose subject names the "
        "object, are left out.",
        "Which phrasing a real corpus holds is not known: LAMA's own pattern (the relation's first) stands for the form seen in training, "
        "ParaRel's others for paraphrases; a fact may well have been met in any of them, and from the object too.",
    ]
    if dropped:
        notes.append(f"ParaRel: {dropped} prompts are left out because the tokenizer joins their last word with an answer.")
    return Stimuli(table, [], notes=notes, sources={"pararel": data.sources("pararel")}, **of_facts(table, context.tokenizer()))


def relations(folder: Path) -> list[str]:
    """Relations that have both facts and patterns, by Wikidata's number of the property."""
    facts, patterns = ({p.stem for p in (folder / part).glob("*.jsonl")} for part in ("trex_lms_vocab", "pattern_data/graphs_json"))
    if not facts & patterns:
        raise UserError(f"'{folder}' holds no facts and patterns of ParaRel; point 'data_dir' at a folder that holds 'pararel/data'.")
    return sorted(facts & patterns, key=lambda name: int(name[1:]))


def patterns(lines: list[str]) -> tuple[list[str], list[str]]:
    """Patterns that end with the object (up to it), and those that begin with it and end with the subject (up to that); each once."""
    stripped = [line.rstrip(" .") for line in lines]
    forward = [p.removesuffix(OBJECT).rstrip() for p in stripped if p.endswith(OBJECT) and SUBJECT in p]
    backward = [p.removesuffix(SUBJECT).rstrip() for p in stripped if p.startswith(OBJECT) and p.endswith(SUBJECT)]
    return list(dict.fromkeys(forward)), list(dict.fromkeys(backward))


def _read(path: Path, *keys: str) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [{key: row[key] for key in keys} for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is not a file of ParaRel as expected ({error!r}); fetch it again.") from error


def _relation(folder: Path, name: str, settings: Any, random: np.random.Generator) -> tuple[pd.DataFrame, list[str], list[str]] | None:
    """Facts (``subject, object``), patterns forward and backward of a relation; None where it has too few."""
    lines = [row["pattern"] for row in _read(folder / "pattern_data/graphs_json" / f"{name}.jsonl", "pattern")]
    forward, backward = patterns(lines)
    rows = _read(folder / "trex_lms_vocab" / f"{name}.jsonl", "sub_label", "obj_label")
    facts = pd.DataFrame(rows).set_axis(["subject", "object"], axis="columns").drop_duplicates()
    facts = facts[~facts["subject"].duplicated(keep=False)]
    named = [o.lower() in s.lower() for s, o in zip(facts["subject"], facts["object"], strict=True)]
    facts = facts[~np.array(named, bool)]
    each = max(settings.facts // settings.candidates, 1)
    counts = facts["object"].value_counts().sort_index()
    objects = random.permutation(counts.index[counts >= each])[: settings.candidates]
    if len(forward) < 2 or len(objects) < LEAST_CANDIDATES:
        return None
    drawn = [random.permutation(facts.index[facts["object"] == o])[:each] for o in sorted(objects)]
    return facts.loc[np.concatenate(drawn)].reset_index(drop=True), forward, backward


def _prompts(
    name: str, facts: pd.DataFrame, forward: list[str], backward: list[str], settings: Any, probed: int, random: np.random.Generator
) -> list[Prompt]:
    chosen = [0, *sorted((1 + random.permutation(len(forward) - 1)[: settings.phrasings - 1]).tolist())]
    answers = {o: f" {o}" for o in sorted(facts["object"].unique())}
    kept = set(random.permutation(len(facts))[:probed].tolist())
    found = []
    for place, fact in enumerate(facts.itertuples()):
        who = (f"{name}/{fact.subject}", name, str(fact.subject))
        for phrasing in chosen:
            text = forward[phrasing].replace(SUBJECT, str(fact.subject))
            form = PARAPHRASE if phrasing else SEEN
            found.append(Prompt(*who, form, phrasing, text, answers, str(fact.object), probed=place in kept))
        if backward:
            others = {s: f" {s}" for s in rivals(random, facts, place, settings.candidates)}
            found.append(Prompt(*who, REVERSED, 0, backward[0].replace(OBJECT, str(fact.object)), others, str(fact.subject)))
    return found
