"""Which answers models choose, from the log-probabilities of the candidates of every prompt.

A prompt is answered rightly if the right candidate is the likeliest of its candidates. *Raw* ranks them by their summed log-probability,
which is the probability that the model says just this, but favours answers that are common or short whatever the subject. *Adjusted* ranks
them by how much likelier they are after this prompt than after the other prompts of the same relation and phrasing (less the median over
these), so that what does not depend on the subject (an answer's commonness, its length) cancels and chance is one in the number of
candidates. Claims use the adjusted ranks: Holtzman et al. (2021), *Surface Form Competition*, EMNLP, give the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.suites import Model

PARTS = ("facts", "pararel")
"""Parts of the stimuli that are prompts about facts."""
_PROMPT = ["fact_id", "relation", "subject", "object", "form", "phrasing", "frequency", "told"]
_FORWARD = ("seen", "paraphrase")


@dataclass(frozen=True, eq=False)
class Asked:
    """The prompts with their candidates.

    Attributes:
        items: the stimuli of the parts about facts, a prompt's candidates side by side.
        prompts: ``pair_id``, then fact_id, relation, subject, object, form, phrasing, frequency, told, and ``chance`` (one in the number of
            candidates).
        starts: int [prompts], where a prompt's items begin.
        right: int [prompts], the item of the right candidate.
        alike: int [items], the same for a candidate in the prompts of one relation and phrasing.
        once: bool [items], false for a candidate after a text that it has already been met after: facts of one object share the text that
            asks from it, and a candidate met after it twice would be held to itself.
    """

    items: pd.DataFrame
    prompts: pd.DataFrame
    starts: np.ndarray
    right: np.ndarray
    alike: np.ndarray
    once: np.ndarray

    @classmethod
    def of(cls, items: pd.DataFrame) -> Asked:
        """The prompts of a table of stimuli."""
        order = np.argsort(pd.factorize(items["pair_id"])[0], kind="stable")
        items = items.iloc[order].reset_index(drop=True)
        number = pd.factorize(items["pair_id"])[0]
        starts = np.flatnonzero(np.diff(number, prepend=-1))
        prompts = items.loc[starts, ["pair_id", *_PROMPT]].reset_index(drop=True)
        prompts["chance"] = 1 / np.diff(starts, append=len(items))
        asked = items["form"].where(~items["form"].isin(_FORWARD), "forward")
        alike = items.groupby([items["relation"], asked, items["phrasing"], items["candidate"]], sort=False).ngroup().to_numpy()
        text = items["subject"].where(items["form"] != "reversed", items["fact_id"].map(_objects(items)))
        once = ~pd.DataFrame({"alike": alike, "text": text}).duplicated().to_numpy()
        right = np.flatnonzero(items["correct"].to_numpy(bool))
        if len(right) != len(starts) or np.any(number[right] != np.arange(len(starts))):
            raise ValueError("every prompt needs one right candidate")
        return cls(items, prompts, starts, right, alike, once)

    def adjusted(self, logprob: np.ndarray) -> np.ndarray:
        """Log-probabilities less their median over the prompts that ask alike; ``[items, ...]``."""
        flat = pd.DataFrame(logprob.reshape(len(logprob), -1))
        usual = flat[self.once].groupby(self.alike[self.once]).median()
        return (flat.to_numpy() - usual.to_numpy()[self.alike]).reshape(logprob.shape)

    def answered(self, values: np.ndarray) -> np.ndarray:
        """Whether the right candidate has the highest value of its prompt, alone: bool ``[prompts, ...]`` of ``[items, ...]``."""
        return self.rank(values) == 1

    def rank(self, values: np.ndarray) -> np.ndarray:
        """Rank of the right candidate within its prompt, 1 the best; a tie counts against it. ``[prompts, ...]`` of ``[items, ...]``."""
        own = np.repeat(values[self.right], np.diff(self.starts, append=len(values)), axis=0)
        return np.add.reduceat(~(values < own), self.starts, axis=0)

    def chosen(self, values: np.ndarray) -> np.ndarray:
        """The item with the highest value of each prompt, int [prompts]."""
        best = np.maximum.reduceat(values, self.starts)
        hit = np.flatnonzero(values == np.repeat(best, np.diff(self.starts, append=len(values))))
        number = np.searchsorted(self.starts, hit, side="right") - 1
        return hit[np.unique(number, return_index=True)[1]]

    def among(self, mask: np.ndarray) -> Asked:
        """Those prompts only (bool [prompts])."""
        return Asked.of(self.items[np.repeat(mask, np.diff(self.starts, append=len(self.items)))])


@dataclass(frozen=True, eq=False)
class Record:
    """What one model answers over training.

    Attributes:
        model: the model.
        steps, tokens: [steps], ascending.
        asked: the prompts.
        raw, adjusted: bool [steps, prompts], whether the right candidate is chosen.
        rank: int [steps, prompts], rank of the right candidate among the adjusted.
        chosen: [steps, prompts], the candidate chosen by the adjusted values.
        greedy: bool [steps, prompts], whether greedy decoding over the whole vocabulary gives the right answer.
        layered: the prompts whose layers were looked at, or None.
        lens: bool [steps, layers, layered prompts]: the right candidate is chosen (adjusted) when a layer is read by the logit lens; the
            last layer is the output itself.
    """

    model: Model
    steps: np.ndarray
    tokens: np.ndarray
    asked: Asked
    raw: np.ndarray
    adjusted: np.ndarray
    rank: np.ndarray
    chosen: np.ndarray
    greedy: np.ndarray
    layered: Asked | None
    lens: np.ndarray | None

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name

    @property
    def final(self) -> int:
        """The last step."""
        return int(self.steps[-1])

    def last(self) -> Record:
        """The same record with its last checkpoint alone."""
        names = ("steps", "tokens", "raw", "adjusted", "rank", "chosen", "greedy", "lens")
        # copies, since a view would hold all checkpoints in memory
        ends: dict[str, Any] = {name: None if getattr(self, name) is None else getattr(self, name)[-1:].copy() for name in names}
        return replace(self, **ends)

    @cached_property
    def doublings(self) -> np.ndarray:
        """log2 of the steps begun (the step plus one), [steps]: a difference of 1 is twice the training."""
        return np.log2(self.steps + 1.0)


def _objects(items: pd.DataFrame) -> dict[str, str]:
    """Object of each fact, as its prompt in the form seen in training tells."""
    seen = items[items["form"] == "seen"].drop_duplicates("fact_id")
    return dict(zip(seen["fact_id"], seen["object"].astype(str), strict=True))


def asked(context: AnalysisContext) -> Asked | None:
    """The suite's prompts about facts, or None where there are none."""
    if context.stimuli is None or "pair_id" not in context.stimuli:
        return None
    items = context.stimuli[context.stimuli["part"].isin(PARTS)]
    return Asked.of(items.astype({"correct": bool})) if len(items) else None


def records(context: AnalysisContext, name: str | None = None) -> Iterator[Record]:
    """What each model (or the one named) answers, one model at a time; a model without a checkpoint is left out."""
    found = asked(context)
    if found is None:
        return
    read = found.items["lens"].to_numpy(bool)[found.right] if "lens" in found.items else np.zeros(len(found.right), bool)
    layered = found.among(read) if read.any() else None
    for model in context.suite.models if name is None else [context.model(name)]:
        rows = context.checkpoints[context.checkpoints["model"] == model.name]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ("raw", "adjusted", "rank", "chosen", "greedy", "lens")}
        for _, _, measured in context.measurements(model.name):
            table = measured.set_index("item_id").loc[found.items["item_id"]]
            logprob = table["logprob"].to_numpy(float)
            adjusted = found.adjusted(logprob)
            parts["raw"].append(found.answered(logprob))
            parts["rank"].append(found.rank(adjusted))
            parts["adjusted"].append(parts["rank"][-1] == 1)
            parts["chosen"].append(found.items["candidate"].to_numpy()[found.chosen(adjusted)])
            parts["greedy"].append((table["matched"] == table["n_tokens"]).to_numpy()[found.right])
            if layered is not None and "lens_logprob" in table:
                layers = np.stack(table.loc[layered.items["item_id"], "lens_logprob"].to_numpy()).astype(float)  # type: ignore[arg-type]
                parts["lens"].append(layered.answered(layered.adjusted(layers)).T)
        if parts["raw"]:
            arrays = {name: np.stack(values) if values else None for name, values in parts.items()}
            yield Record(model, rows["step"].to_numpy(), rows["tokens"].to_numpy(), found, layered=layered, **arrays)  # type: ignore[arg-type]


def accuracies(context: AnalysisContext, name: str | None = None, form: str | None = None) -> pd.DataFrame:
    """What each model (or the one named) answers at each checkpoint, prompt by prompt of all forms (or the one named).

    Returns:
        ``model, step, pair_id, fact_id, relation, subject, object, form, phrasing, frequency`` (how often training tells the fact in the
        usual direction, -1 if not known), ``told`` (how often it holds just this statement), ``chance``, ``raw`` and ``adjusted`` (whether
        the right candidate is chosen, see this module), ``rank`` (adjusted) and ``greedy`` (whether greedy decoding gives the answer).
    """
    parts = []
    for one in records(context, name):
        own = np.flatnonzero(one.asked.prompts["form"] == form) if form is not None else np.arange(len(one.asked.prompts))
        prompts = one.asked.prompts.iloc[own]
        for i, step in enumerate(one.steps):
            answers = {part: getattr(one, part)[i, own] for part in ("raw", "adjusted", "rank", "greedy")}
            parts.append(prompts.assign(model=one.name, step=int(step), **answers))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
