"""The logit lens (nostalgebraist 2020): what a model would predict if its layers ended earlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from trajectories.extraction.items import Items
from trajectories.extraction.model import LanguageModel


@dataclass
class Scores:
    """Scores of the chosen items' spans at the chosen layers: chosen item ``i`` owns ``[offsets[i], offsets[i + 1])`` of the last axis.

    Attributes:
        layers: numbered as in :class:`trajectories.extraction.measures.Hidden`.
        item: int64, places of the chosen items among all.
        offsets: int64 [chosen items + 1].
        logprob: float32 [layers, tokens], log-probability (nats) of each token.
        rank: int32 [layers, tokens], how many tokens have a larger logit, or the same and a lower id.
    """

    layers: list[int]
    item: np.ndarray
    offsets: np.ndarray
    logprob: np.ndarray
    rank: np.ndarray

    @classmethod
    def empty(cls, items: Items, layers: list[int]) -> Scores:
        """Scores still to be filled in of the items that the lens is turned on."""
        chosen = np.zeros(0, np.int64) if items.lens is None else items.lens
        offsets = np.concatenate([[0], np.cumsum(items.span[chosen], dtype=np.int64)])
        shape = len(layers), int(offsets[-1])
        return cls(layers, chosen, offsets, np.full(shape, np.nan, np.float32), np.full(shape, -1, np.int32))

    def fill(
        self, model: LanguageModel, items: Items, batch: np.ndarray, logits: torch.Tensor, states: Sequence[torch.Tensor], block: int
    ) -> None:
        """Fill in the scores of a batch.

        Args:
            model: whose norm and head are applied.
            items: all items.
            batch: places of the items whose spans follow each other in ``logits`` and ``states``; those not chosen are passed over.
            logits: [tokens, vocabulary], the model's own, which are those of the last layer.
            states: by layer, [tokens, width].
            block: most tokens whose logits are held in float32 at a time.
        """
        span = items.span[batch]
        chosen = np.isin(batch, self.item)
        mine = batch[chosen]
        if not len(mine):
            return
        read = np.flatnonzero(np.repeat(chosen, span))
        target = np.concatenate([items[i][items.start[i] : items.end[i]] for i in mine]).astype(np.int64)
        place = np.concatenate([np.arange(self.offsets[k], self.offsets[k + 1]) for k in np.searchsorted(self.item, mine)])
        for begin in range(0, len(read), block):
            rows = torch.from_numpy(read[begin : begin + block]).to(logits.device)
            goal = torch.from_numpy(target[begin : begin + block]).to(logits.device)
            at = place[begin : begin + block]
            for row, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
                # the last layer's states have passed the final norm
                seen = logits[rows] if layer == model.layers else model.unembed(state[rows])
                self.logprob[row, at], self.rank[row, at] = of_targets(seen.float(), goal)

    def columns(self, items: int) -> dict[str, pa.Array]:
        """``lens_logprob`` (list of float32), summed over the span, and ``lens_rank`` (list of int32), the worst in it, by layer; null for
        items that were not chosen."""
        chosen = np.zeros(items, bool)
        chosen[self.item] = True
        found: dict[str, pa.Array] = {}
        if len(self.item):
            total = np.add.reduceat(self.logprob.astype(np.float64), self.offsets[:-1], axis=1).astype(np.float32)
            worst = np.maximum.reduceat(self.rank, self.offsets[:-1], axis=1)
        else:
            total, worst = np.zeros((len(self.layers), 0), np.float32), np.zeros((len(self.layers), 0), np.int32)
        offsets = pa.array(np.concatenate([[0], np.cumsum(chosen)]) * len(self.layers), pa.int32())
        for name, values in (("lens_logprob", total), ("lens_rank", worst)):
            found[name] = pa.ListArray.from_arrays(offsets, pa.array(values.T.ravel()), mask=pa.array(~chosen))
        return found


def of_targets(logits: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log-probability (float32, nats) and rank (int32, 0 for what argmax names: of equal logits the lowest id) of each target.

    Args:
        logits: float32 [tokens, vocabulary].
        target: int64 [tokens].
    """
    goal = target[:, None]
    own = logits.gather(1, goal)
    logprob = torch.log_softmax(logits, dim=-1).gather(1, goal)[:, 0]
    # comparisons written as float32 are counted three times as fast as bool, and exactly up to 2**24 of them
    compared = torch.empty_like(logits)
    rank = torch.gt(logits, own, out=compared).sum(1)
    tied = torch.ge(logits, own, out=compared).sum(1) > rank + 1
    if tied.any():
        lower = torch.arange(logits.shape[1], device=logits.device) < goal[tied]
        rank[tied] += ((logits[tied] == own[tied]) & lower).sum(1)
    return logprob.cpu().numpy(), rank.to(torch.int32).cpu().numpy()
