"""One pass of a model over a table of items, for all measures at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch

from trajectories.errors import UserError
from trajectories.extraction import decode, lens, measures
from trajectories.extraction.batches import by_length, in_batches, padded
from trajectories.extraction.items import Items
from trajectories.extraction.measures import Plan, Scores, layers_of
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
        The table of :func:`trajectories.extraction.measures.columns`, in the items' order, then the columns of
        :meth:`trajectories.extraction.lens.Scores.columns`; and tensors by measure: ``hidden`` is
        [chosen items, positions, layers, width], of the type that :func:`trajectories.extraction.measures.stored` tells.

    Raises:
        UserError: ids beyond the model's vocabulary, sequences beyond its context, layers that it does not have, numbers that are none,
            or memory that does not hold a single item.
    """
    _fits(model, items, plan, where)
    scores = Scores.empty(items.span) if plan.scores else None
    tensor = through = None
    layers = layers_of(model.layers, plan.hidden.layers) if plan.hidden else []
    if items.hidden is not None and items.positions is not None:
        tensor = np.empty((*items.positions.shape, len(layers), model.width), measures.stored(model.dtype))
    if plan.lens and items.lens is not None:
        through = lens.Scores.empty(items, layers_of(model.layers, plan.lens.layers))

    needed, scored, deep = _reach(items, plan)
    span = np.where(scored, items.span, 0)
    exchange = max(1, LOGITS // model.vocabulary)

    def cost(batch: np.ndarray) -> int:
        return max(len(batch) * int(needed[batch].max()), int(span[batch].sum()) * batch_tokens // exchange)

    def work(batch: np.ndarray) -> None:
        width = int(needed[batch].max())
        ids = torch.from_numpy(padded([items[i][: needed[i]] for i in batch], width)).to(model.device)
        wanted = torch.zeros(len(batch), width, dtype=torch.bool)
        for row, i in enumerate(batch):
            if scored[i]:
                wanted[row, items.start[i] - 1 : items.end[i] - 1] = True
        wanted = wanted.to(model.device)
        logits, states = model.read(ids, wanted, hidden=bool(deep[batch[0]]))
        if scores is not None:
            _score(logits, items, batch, scores, plan.greedy or plan.generate)
        if through is not None and states:
            at_spans = [states[layer][wanted] for layer in through.layers]
            through.fill(model, items, batch[scored[batch]], logits, at_spans, max(1, BLOCK // model.vocabulary))
        if tensor is not None and states and items.hidden is not None:
            chosen = np.flatnonzero(np.isin(batch, items.hidden))
            at = np.searchsorted(items.hidden, batch[chosen])
            rows = torch.from_numpy(chosen).to(model.device)[:, None]
            columns = torch.from_numpy(items.positions[at]).to(model.device)  # type: ignore[index]
            for place, layer in enumerate(layers):
                tensor[at, :, place] = states[layer][rows, columns].float().cpu().numpy()
        advance(len(batch))

    if model.device.type == "cpu":
        batch_tokens = min(batch_tokens, CPU_TOKENS)
    limit = batch_tokens
    order = by_length(needed, items.start)
    # hidden states are kept for whole batches, so items that need none have batches of their own
    for group in (order[~deep[order] & (needed[order] > 0)], order[deep[order]]):
        limit = in_batches(group, cost, limit, work, model.release)
    advance(int((needed == 0).sum()))
    _finite(model, where, tensor, *(found.logprob for found in (scores, through) if found is not None))
    hits = decode.hits(model, items, scores, limit, advance) if plan.generate and scores is not None else None
    table = measures.columns(plan, items.item_id, scores, hits)
    for name, column in through.columns(len(items)).items() if through is not None else ():
        table = table.append_column(name, column)
    return table, {} if tensor is None else {"hidden": tensor}


def _reach(items: Items, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many tokens of each item are shown, whether its span is scored, and whether its hidden states are looked at."""
    scored = np.full(len(items), plan.scores)
    deep = np.zeros(len(items), bool)
    if items.lens is not None:
        scored[items.lens] = deep[items.lens] = True
    # what follows the last position that is looked at cannot matter, so it is not shown
    needed = np.where(scored, items.end - 1, 0)
    if items.hidden is not None and items.positions is not None and items.positions.size:
        needed[items.hidden] = np.maximum(needed[items.hidden], items.positions.max(axis=1) + 1)
        deep[items.hidden] = True
    return needed, scored, deep


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
    for name, asked in (("hidden", plan.hidden), ("lens", plan.lens)):
        for layer in asked.layers if asked and isinstance(asked.layers, list | tuple) else ():
            if not -model.layers - 1 <= layer <= model.layers:
                raise UserError(f"{where}: measure '{name}' asks for layer {layer}, but layers go from 0 to {model.layers}.")


def _finite(model: LanguageModel, where: str, tensor: np.ndarray | None, *logprobs: np.ndarray) -> None:
    """A NaN compares as false everywhere and would pass for a measurement."""
    if (tensor is not None and not np.isfinite(tensor).all()) or any(np.isnan(found).any() for found in logprobs):
        raise UserError(
            f"{where}: the model's output in {model.dtype} holds values that are no finite numbers; "
            "the weights are broken, or this precision overflows and a wider one is needed."
        )
