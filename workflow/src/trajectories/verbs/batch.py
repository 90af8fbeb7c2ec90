"""``trajectories batch``: show what a training step trained on, decoded; for people, no rule calls it.

Needs: an embedded suite's ``order/<order>/``; of a suite on the Hub nothing: only the rows that are shown are read, by range.
Makes: the file named by ``--output``; of a suite on the Hub what runs would fetch too: the tokenizer, below the results, and these rows, in
       the cache.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trajectories import tables
from trajectories.errors import UserError, require_known
from trajectories.layout import Layout
from trajectories.orders.reader import RowReader, open_order, reader
from trajectories.outside import visible
from trajectories.suites import Model, Suite
from trajectories.verbs.stimuli import read_tokenizer, tokenizer_file

if TYPE_CHECKING:
    import argparse

    from tokenizers import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """What one step trained some models on.

    Attributes:
        order: name of the order.
        first: number of its first row.
        size: rows.
        models: names of the models.
    """

    order: str
    first: int
    size: int
    models: tuple[str, ...]

    @property
    def text(self) -> str:
        """Where it is, in a few words."""
        several = "" if len(self.models) == 1 else f" and {len(self.models) - 1} more" if len(self.models) > 4 else ""
        named = self.models[:1] if several else self.models
        last = self.first + self.size - 1
        return f"order '{self.order}', rows {self.first} to {last}, trained on by {', '.join(named)}{several}"


def batches(suite: Suite, step: int) -> list[Batch]:
    """The different batches that a suite's models were trained on at a (0-based) step, in the sequence of the models.

    Step *s* trains on rows [r·s, r·(s+1)), r being the model's rows per step; a branch does so in its own order from its ``branch_step``
    on, and before in its parent's.
    """
    found: dict[tuple[str, int], list[str]] = {}
    names = {m.name for m in suite.models}
    for model in suite.models:
        trained: Model = model
        while trained.parent in names and step < (trained.branch_step or 0):
            trained = suite.model(str(trained.parent))
        if trained.order is not None and 0 <= step < model.steps_total:
            found.setdefault((trained.order, trained.rows_per_step), []).append(model.name)
    return [Batch(order, step * size, size, tuple(models)) for (order, size), models in found.items()]


def choose(suite: Suite, step: int, model: str | None = None, order: str | None = None) -> Batch:
    """The one batch of a step.

    Raises:
        UserError: no such model or order, none of the chosen ones trains at that step, or there are several different batches.
    """
    if model is not None:
        require_known(f"model of suite '{suite.name}'", model, [m.name for m in suite.models])
    if order is not None:
        require_known(f"order of suite '{suite.name}'", order, suite.orders)
    fit = [b for b in batches(suite, step) if (model is None or model in b.models) and (order is None or b.order == order)]
    if len(fit) == 1:
        return fit[0]
    if fit:
        raise UserError(
            f"Suite '{suite.name}' has {len(fit)} different batches at step {step} ({'; '.join(b.text for b in fit)}); "
            "choose one with --model or --order."
        )
    chosen = " and ".join([f"model '{model}'"] * (model is not None) + [f"order '{order}'"] * (order is not None)) or "any model"
    last = max((m.steps_total for m in suite.models if model in (None, m.name)), default=0) - 1
    if not 0 <= step <= last:
        raise UserError(
            f"No training at step {step} in suite '{suite.name}' for {chosen}: steps are 0 to {last}, the first batch is step 0."
        )
    raise UserError(f"Suite '{suite.name}' names no training order for {chosen} at step {step}.")


def selected(text: str | None, size: int) -> range:
    """The rows of a batch that ``--rows`` names, counted from 0 within it: ``3``, or ``0:4`` for the first four."""
    match = re.fullmatch(r"(\d+)|(\d*):(\d*)", text or ":")
    if match is not None:
        start = int(match[1] or match[2] or 0)
        stop = start + 1 if match[1] else int(match[3] or size)
        if start < stop <= size:
            return range(start, stop)
    raise UserError(f"--rows expects rows of the batch, 0 to {size - 1}, such as 3 or 0:4, found '{text}'.")


def open_rows(suite: Suite, layout: Layout, batch: Batch) -> RowReader:
    """The reader of a batch's order; one on the Hub that no run has made an index of is looked up there, and no index is written.

    Raises:
        UserError: the order has not been written, is not published, cannot be reached, or has fewer rows.
    """
    folder = layout.order(batch.order)
    if suite.source == "trained" or (folder / "order.json").is_file():
        found = open_order(folder)
    else:
        from trajectories.orders.remote import describe

        found = reader(describe(batch.order, suite.orders[batch.order], batch.size, {}), folder)
    if batch.first + batch.size > len(found):
        raise UserError(f"Order '{batch.order}' has {len(found)} rows, too few for rows {batch.first} to {batch.first + batch.size - 1}.")
    return found


def _decoded(tokens: np.ndarray, tokenizer: Tokenizer) -> list[str]:
    strange = int(np.sum(tokens >= tokenizer.get_vocab_size()))
    if strange:
        log.warning("%d tokens are not in the tokenizer's vocabulary and leave no text; does it belong to this order?", strange)
    return tokenizer.decode_batch(tokens.tolist(), skip_special_tokens=False)


def _write(path: Path, numbers: list[int], tokens: np.ndarray, texts: list[str]) -> None:
    with tables.replacing(path) as temporary, open(temporary, "wb") as file:
        if path.suffix == ".npy":
            np.save(file, tokens)
            return
        for number, ids, text in zip(numbers, tokens.tolist(), texts, strict=True):
            file.write(json.dumps({"row": number, "input_ids": ids, "text": text}, ensure_ascii=False).encode() + b"\n")


def run(suite: Suite, layout: Layout, data_dir: Path | None, options: argparse.Namespace) -> None:
    """Print a batch, or write it to a file.

    Args:
        suite: the suite.
        layout: where its results lie, should there be any.
        data_dir: local copies of public data sets, which may hold the tokenizer.
        options: ``step, model, order, rows, ids, output`` of the command.
    """
    output: Path | None = options.output
    if output is not None and output.suffix not in (".npy", ".jsonl"):
        raise UserError(f"--output expects a name that ends in .npy or .jsonl, found '{output}'.")
    batch = choose(suite, options.step, options.model, options.order)
    rows = selected(options.rows, batch.size)
    tokens = open_rows(suite, layout, batch)[batch.first + rows.start : batch.first + rows.stop]
    numbers = [batch.first + i for i in rows]
    wordless = options.ids if output is None else output.suffix == ".npy"
    texts = [] if wordless else _decoded(tokens, read_tokenizer(tokenizer_file(suite, layout, data_dir)))
    heading = f"Suite {suite.name}, step {options.step}: {batch.text} ({tokens.shape[1]} tokens a row)"
    if output is not None:
        _write(output, numbers, tokens, texts)
        print(f"{heading}\nWrote {len(numbers)} rows to '{output}'.")
        return
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(heading)
        for i, number in enumerate(numbers):
            content = " ".join(map(str, tokens[i].tolist())) if options.ids else visible(texts[i])
            # indented, so that no text can look like the heading of a row
            print(f"\nrow {number}\n" + "".join(f"  {line}\n" for line in content.split("\n")), end="")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
