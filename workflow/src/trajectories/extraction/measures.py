"""Measures: what can be asked of a checkpoint, and how scores of single tokens become the columns of an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from trajectories.errors import UserError, require_known

OPTIONS: dict[str, dict[str, Any]] = {
    "logprob": {"token_logprobs": False},
    "greedy": {},
    "generate": {},
    "hidden": {"positions": "last", "layers": "all", "rows": "all"},
    "lens": {"layers": "all", "rows": "all"},
}
"""Measures by name, with their options and defaults."""


@dataclass(frozen=True)
class Hidden:
    """Which hidden states are wanted.

    Attributes:
        positions: ``"last"``, a list of positions (negative ones from the end), or the name of a column that holds them.
        layers: ``"all"``, a list, or how many, spread evenly from the first to the last; 0 is the embedding's output, ``i`` the residual
            stream after layer ``i``, and the last one has passed the final layer norm (the numbering of transformers' ``hidden_states``).
        rows: ``"all"`` or the name of a column of bool: the items of which they are wanted.
    """

    positions: Any
    layers: Any
    rows: str


@dataclass(frozen=True)
class Lens:
    """Of which layers and items the logit lens is wanted; ``layers`` and ``rows`` as for :class:`Hidden`."""

    layers: Any
    rows: str


@dataclass(frozen=True)
class Plan:
    """What one table of stimuli asks for."""

    logprob: bool = False
    token_logprobs: bool = False
    greedy: bool = False
    generate: bool = False
    hidden: Hidden | None = None
    lens: Lens | None = None

    @property
    def scores(self) -> bool:
        """Whether the span's tokens are scored at all."""
        return self.logprob or self.greedy or self.generate


def plan(request: Sequence[dict[str, Any]], where: str) -> Plan:
    """Check a request (``[{"name": …, "options": {…}}, …]``, as it stands in the stimuli's metadata).

    Raises:
        UserError: an unknown measure or option, an option's value of the wrong kind, or a measure that is asked for twice (its columns
            would overwrite each other).
    """
    asked: dict[str, dict[str, Any]] = {}
    for entry in request:
        name, options = entry["name"], entry.get("options") or {}
        require_known(f"measure in {where}", name, OPTIONS)
        for option in options:
            require_known(f"option of measure '{name}' in {where}", option, OPTIONS[name])
        if name in asked:
            raise UserError(f"{where}: measure '{name}' is asked for twice; ask once, with the options of both.")
        asked[name] = OPTIONS[name] | options
        _well_formed(name, asked[name], where)
    if not asked:
        raise UserError(f"{where}: the stimuli ask for no measure; make them again.")
    return Plan(
        logprob="logprob" in asked,
        token_logprobs=bool(asked.get("logprob", {}).get("token_logprobs")),
        greedy="greedy" in asked,
        generate="generate" in asked,
        hidden=Hidden(**asked["hidden"]) if "hidden" in asked else None,
        lens=Lens(**asked["lens"]) if "lens" in asked else None,
    )


def layers_of(layers: int, wanted: Any) -> list[int]:
    """The numbers of the wanted layers (as in :class:`Hidden`) in a model with so many; they must be among its own."""
    every = range(layers + 1)
    if wanted == "all":
        return list(every)
    if isinstance(wanted, int):
        return [int(layer) for layer in np.unique(np.linspace(0, layers, min(wanted, len(every))).round())]
    return [every[layer] for layer in wanted]


def stored(dtype: str) -> np.dtype[Any]:
    """The type of hidden states on the disk: that of a model which computes in float16, where nothing is lost, and float32 for others."""
    return np.dtype(np.float16 if dtype == "float16" else np.float32)


def _well_formed(name: str, options: dict[str, Any], where: str) -> None:
    """Raise UserError unless layers, positions and rows are of a kind that can be read."""

    def integers(value: Any) -> bool:
        return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(v, int) and not isinstance(v, bool) for v in value)

    def several(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value > 1

    kinds = {
        "layers": ("'all', a list of integers or a number above 1", lambda v: v == "all" or integers(v) or several(v)),
        "positions": ("'last', a list of integers or the name of a column", lambda v: isinstance(v, str) or integers(v)),
        "rows": ("'all' or the name of a column", lambda v: isinstance(v, str)),
    }
    for option, (kind, fits) in kinds.items():
        if option in options and not fits(options[option]):
            raise UserError(f"{where}: option '{option}' of measure '{name}' should be {kind}, found {options[option]!r}.")


@dataclass
class Scores:
    """Scores of all spans' tokens, one after the other: item ``i`` owns ``[offsets[i], offsets[i + 1])``.

    Attributes:
        offsets: int64 [items + 1].
        logprob: float32, log-probability (nats) of each token given all before it.
        predicted: int32, id of the largest logit, the lowest id where several are equal.
        correct: bool, whether that is the token.
        margin: float32, largest less second-largest logit.
    """

    offsets: np.ndarray
    logprob: np.ndarray
    predicted: np.ndarray
    correct: np.ndarray
    margin: np.ndarray

    @classmethod
    def empty(cls, span: np.ndarray) -> Scores:
        """Scores still to be filled in, of spans of these lengths."""
        offsets = np.concatenate([[0], np.cumsum(span, dtype=np.int64)])
        n = int(offsets[-1])
        return cls(offsets, np.full(n, np.nan, np.float32), np.full(n, -1, np.int32), np.zeros(n, bool), np.full(n, np.nan, np.float32))

    @property
    def span(self) -> np.ndarray:
        """Tokens of each span, int64 [items]."""
        return np.diff(self.offsets)

    @property
    def place(self) -> np.ndarray:
        """Place of each token within its span, counted from 0."""
        return np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1], self.span)

    def matched(self) -> np.ndarray:
        """How many tokens of each span greedy decoding gets right before its first error, int64 [items]."""
        if not len(self.span):
            return np.zeros(0, np.int64)
        wrong_at = np.where(self.correct, np.iinfo(np.int64).max, self.place)
        return np.minimum(np.minimum.reduceat(wrong_at, self.offsets[:-1]), self.span)

    def min_margin(self) -> np.ndarray:
        """Smallest margin of each span up to and with the first error, on which :meth:`matched` rests; float32 [items]."""
        if not len(self.span):
            return np.zeros(0, np.float32)
        counts = self.place <= np.repeat(self.matched(), self.span)
        return np.minimum.reduceat(np.where(counts, self.margin, np.float32(np.inf)), self.offsets[:-1])

    def logprob_sum(self) -> np.ndarray:
        """Sum of each span's log-probabilities in float64, nats [items]."""
        if not len(self.span):
            return np.zeros(0)
        return np.add.reduceat(self.logprob.astype(np.float64), self.offsets[:-1])


def columns(plan: Plan, item_id: Sequence[str], scores: Scores | None, hits: np.ndarray | None) -> pa.Table:
    """The table of an experiment's measurements.

    Args:
        plan: the measures.
        item_id: names of the items.
        scores: of the spans' tokens, where the plan asks for any.
        hits: bool over all spans' tokens, where it asks for ``generate``.

    Returns:
        ``item_id``, then, as far as asked for, ``logprob`` (float64), ``n_tokens`` (int32), ``token_logprobs`` (list of float32);
        ``matched`` (int32), ``memorized`` (bool), ``min_margin`` (float32); ``hits`` (list of bool), ``score`` (float64).
    """
    found: dict[str, pa.Array] = {"item_id": pa.array(item_id, pa.string())}
    if scores is not None:
        span, lists = scores.span, pa.array(scores.offsets.astype(np.int32))
        if plan.logprob:
            found["logprob"] = pa.array(scores.logprob_sum())
            found["n_tokens"] = pa.array(span.astype(np.int32))
        if plan.token_logprobs:
            found["token_logprobs"] = pa.ListArray.from_arrays(lists, pa.array(scores.logprob))
        if plan.greedy:
            matched = scores.matched()
            found["matched"] = pa.array(matched.astype(np.int32))
            found["memorized"] = pa.array(matched == span)
            found["min_margin"] = pa.array(scores.min_margin())
        if plan.generate and hits is not None:
            found["hits"] = pa.ListArray.from_arrays(lists, pa.array(hits))
            total = np.add.reduceat(hits.astype(np.float64), scores.offsets[:-1]) if len(span) else np.zeros(0)
            found["score"] = pa.array(total / np.maximum(span, 1))
    return pa.table(found)
