"""One pass of a model over a table of items, for all measures at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch

from trajectories.errors import UserError
from trajectories.extraction import decode, measures
from trajectories.extraction.batches import by_length, in_batches, padded
from trajectories.extraction.items import Items
from trajectories.extraction.measures import Plan, Scores
from trajectories.extraction.model import LanguageModel

LOGITS = 2**27
"""Most logits of one batch (half a gigabyte in float32), whatever the budget of tokens: a head of 50,000 rows outweighs a small model."""

CPU_TOKENS = 4096
"""Most tokens of one batch on a CPU, where caches and not parallelism decide: larger ones are some 10 % slower."""

BLOCK = 2**23
"""Most logits that are turned into float32 log-probabilities at a time."""


def measure(
    model: LanguageModel, items: Items, plan: Plan, batch_tokens: int, where: str, advance: Callable[[int], None] = lambda n: None
) -> tuple[pa.Table, dict[str, np.ndarray]]:
    """Take the measures of ``plan`` from every item.

    Args:
        model: the language model.
        items: what is shown to it.
        plan: what is measured.
        batch_tokens: most tokens of one batch, padding included; halved when memory runs out.
        where: name of the stimuli, for errors.
        advance: called with the number of items done; ``generate`` counts every item a second time.

    Returns:
        The table of :func:`trajectories.extraction.measures.columns`, in the items' order, and tensors by measure: ``hidden`` is float32
        [items, positions, layers, width].

    Raises:
        UserError: ids beyond the model's vocabulary, sequences beyond its context, layers that it does not have, numbers that are none,
            or memory that does not hold a single item.
    """
    _fits(model, items, plan, where)
    scores = Scores.empty(items.span) if plan.scores else None
    layers = _layers(model, plan)
    tensor = None
    if plan.hidden and items.positions is not None:
        tensor = np.empty((len(items), items.positions.shape[1], len(layers), model.width), np.float32)

    # what follows the last position that is looked at cannot matter, so it is not shown
    needed = items.end - 1 if plan.scores else np.zeros(len(items), np.int64)
    if items.positions is not None and items.positions.size:
        needed = np.maximum(needed, items.positions.max(axis=1) + 1)
    scored = items.span if plan.scores else np.zeros(len(items), np.int64)
    exchange = max(1, LOGITS // model.vocabulary)

    def cost(batch: np.ndarray) -> int:
        return max(len(batch) * int(needed[batch].max()), int(scored[batch].sum()) * batch_tokens // exchange)

    def work(batch: np.ndarray) -> None:
        width = int(needed[batch].max())
        ids = torch.from_numpy(padded([items[i][: needed[i]] for i in batch], width)).to(model.device)
        wanted = torch.zeros(len(batch), width, dtype=torch.bool)
        if scores is not None:
            for row, i in enumerate(batch):
                wanted[row, items.start[i] - 1 : items.end[i] - 1] = True
        logits, states = model.read(ids, wanted.to(model.device), hidden=tensor is not None)
        if scores is not None:
            _score(logits, items, batch, scores, plan.greedy or plan.generate)
        if tensor is not None:
            rows = torch.arange(len(batch), device=model.device)[:, None]
            columns = torch.from_numpy(items.positions[batch]).to(model.device)  # type: ignore[index]
            for place, layer in enumerate(layers):
                tensor[batch, :, place] = states[layer][rows, columns].float().cpu().numpy()
        advance(len(batch))

    if model.device.type == "cpu":
        batch_tokens = min(batch_tokens, CPU_TOKENS)
    limit = in_batches(by_length(needed, items.start), cost, batch_tokens, work, model.release)
    _finite(scores, tensor, model, where)
    hits = decode.hits(model, items, scores, limit, advance) if plan.generate and scores is not None else None
    return measures.columns(plan, items.item_id, scores, hits), {} if tensor is None else {"hidden": tensor}


def _score(logits: torch.Tensor, items: Items, batch: np.ndarray, scores: Scores, best_too: bool) -> None:
    """Fill in the scores of a batch; log-softmax and argmax are taken in float32 whatever the logits' dtype."""
    target = np.concatenate([items[i][items.start[i] : items.end[i]] for i in batch]).astype(np.int64)
    place = np.concatenate([np.arange(scores.offsets[i], scores.offsets[i + 1]) for i in batch])
    block = max(1, BLOCK // logits.shape[-1])
    for begin in range(0, len(target), block):
        part = logits[begin : begin + block].float()
        goal = torch.from_numpy(target[begin : begin + block]).to(part.device)[:, None]
        at = place[begin : begin + block]
        scores.logprob[at] = torch.log_softmax(part, dim=-1).gather(1, goal)[:, 0].cpu().numpy()
        if best_too:
            # of equal values torch.max names the first, that is the lowest id; torch.topk leaves open which
            predicted = part.max(dim=-1).indices
            best = part.topk(2, dim=-1).values
            scores.predicted[at] = predicted.to(torch.int32).cpu().numpy()
            scores.correct[at] = (predicted == goal[:, 0]).cpu().numpy()
            scores.margin[at] = (best[:, 0] - best[:, 1]).cpu().numpy()


def _fits(model: LanguageModel, items: Items, plan: Plan, where: str) -> None:
    if len(items.ids) and (items.ids.max() >= model.vocabulary or items.ids.min() < 0):
        bad = int(items.ids.max() if items.ids.max() >= model.vocabulary else items.ids.min())
        raise UserError(
            f"{where}: token id {bad} is outside the model's vocabulary of {model.vocabulary}; "
            "make the stimuli with the tokenizer that the model was trained with."
        )
    longest = int(items.length.max()) if len(items) else 0
    # the last token is a target only, so a row of context + 1 tokens fits
    if model.context is not None and longest > model.context + 1:
        raise UserError(f"{where}: a sequence of {longest} tokens exceeds the model's context of {model.context}; shorten the stimuli.")
    if plan.hidden and plan.hidden.layers != "all":
        beyond = [layer for layer in plan.hidden.layers if not -model.layers - 1 <= layer <= model.layers]
        if beyond:
            raise UserError(f"{where}: hidden states of layer {beyond[0]} are asked for, but layers go from 0 to {model.layers}.")


def _layers(model: LanguageModel, plan: Plan) -> list[int]:
    if plan.hidden is None:
        return []
    every = range(model.layers + 1)
    return list(every) if plan.hidden.layers == "all" else [every[layer] for layer in plan.hidden.layers]


def _finite(scores: Scores | None, tensor: np.ndarray | None, model: LanguageModel, where: str) -> None:
    """A NaN compares as false everywhere and would pass for a measurement."""
    if (scores is not None and np.isnan(scores.logprob).any()) or (tensor is not None and not np.isfinite(tensor).all()):
        raise UserError(
            f"{where}: the model's output in {model.dtype} holds values that are no finite numbers; "
            "the weights are broken, or this precision overflows and a wider one is needed."
        )
