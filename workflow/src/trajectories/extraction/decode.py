"""Free-running greedy decoding, on from what teacher forcing has already told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from trajectories.extraction.batches import in_batches
from trajectories.extraction.items import Items
from trajectories.extraction.measures import Scores
from trajectories.extraction.model import LanguageModel


def hits(
    model: LanguageModel, items: Items, scores: Scores, batch_tokens: int, advance: Callable[[int], None] = lambda n: None
) -> np.ndarray:
    """Which tokens of the spans free-running greedy decoding reproduces at their positions (Biderman et al. 2023, section 4).

    Up to its first error decoding sees the very tokens that teacher forcing sees, so those are known and are not decoded again: a batch
    holds items whose prompts have one length, hence no padding, and starts where the shortest known beginning among them ends. End-of-text
    is a token like any other: decoding does not stop there.

    Args:
        model: the language model.
        items: prompts ``[0, start)`` and spans ``[start, end)``.
        scores: teacher-forced scores of the spans.
        batch_tokens: most tokens in a batch.
        advance: called with the number of items done.

    Returns:
        bool over all spans' tokens, one span after the other.
    """
    found = scores.correct & (scores.place <= np.repeat(scores.matched(), scores.span))
    matched, span = scores.matched(), items.span
    # an error at the last place leaves nothing to decode
    open_ended = np.flatnonzero(matched + 1 < span)
    advance(len(items) - len(open_ended))

    def work(batch: np.ndarray) -> None:
        generated = _continue(model, items, scores, matched, batch)
        for i, tokens in zip(batch, generated, strict=True):
            begin = scores.offsets[i]
            found[begin : begin + span[i]] = tokens[: span[i]] == items[i][items.start[i] : items.end[i]]
        advance(len(batch))

    for start in np.unique(items.start[open_ended]):
        group = open_ended[items.start[open_ended] == start]
        order = group[np.lexsort((group, span[group], matched[group]))]
        in_batches(order, lambda batch: len(batch) * int(items.end[batch].max()), batch_tokens, work, model.release)
    return found


def _continue(model: LanguageModel, items: Items, scores: Scores, matched: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """The greedily decoded tokens of a batch whose prompts have one length, int64 [items, longest span]."""
    start, longest = int(items.start[batch[0]]), int(items.span[batch].max())
    known = matched[batch] + 1
    tokens = np.zeros((len(batch), start + longest), np.int64)
    for row, i in enumerate(batch):
        tokens[row, : start + matched[i]] = items[i][: start + matched[i]]
        tokens[row, start + matched[i]] = scores.predicted[scores.offsets[i] + matched[i]]
    done = start + int(known.min())
    fresh, cache = tokens[:, :done], None
    while done < start + longest:
        logits, cache = model.next(torch.from_numpy(fresh).to(model.device), cache)
        best = logits.float().argmax(-1).cpu().numpy()
        free = start + known <= done
        tokens[free, done] = best[free]
        fresh = tokens[:, done : done + 1]
        done += 1
    return tokens[:, start:]
