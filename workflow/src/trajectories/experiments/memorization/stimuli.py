"""Rows of the training order as stimuli: their first tokens are given, the next ones are scored."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.errors import UserError
from trajectories.experiments.memorization.predictors import counts, distinct_share, repeats, zlib_bits
from trajectories.experiments.memorization.sample import occurrences, sample_rows
from trajectories.stimuli import EXPOSURES, Measure, Stimuli, StimuliContext


def stimuli(context: StimuliContext) -> Stimuli:
    """A stratified sample of rows, and the planted canaries where there are any, with every exposure that the orders show.

    The table's own columns: ``kind`` (``row`` or ``canary``), ``source`` (order that the row was sampled from), ``copy_group`` (items that
    share their scored span), ``copies_known`` (whether that order was searched whole for copies), ``zlib_bits``, ``distinct``,
    ``repeating``, ``counting`` (predictors of easy text over the whole window), and ``canary_id``. An exposure is a row that holds the
    scored span in one piece, wherever in the row; orders that are too long to be searched give only the sampled rows. Where a row stands
    in training is told by the exposures alone; names and sequence of the items are shuffled.

    Raises:
        UserError: the window does not fit the orders' rows, or no order can be read.
    """
    settings = context.settings
    if not context.orders:
        raise UserError(f"No training order of suite '{context.suite.name}' can be read; run 'trajectories order' first.")
    window = settings.k + settings.l
    scanned: list[str] = []
    unscanned: list[str] = []
    for name, reader in context.orders.items():
        if settings.offset + window > reader.row_tokens:
            raise UserError(
                f"memorization.stimuli: offset {settings.offset} + k {settings.k} + l {settings.l} exceeds the {reader.row_tokens} tokens "
                f"of a row of order '{name}'; lower one of them."
            )
        (scanned if len(reader) * reader.row_tokens <= settings.scan_tokens else unscanned).append(name)
    # orders that are searched whole share one sample, since an order finds the others' rows in itself
    drawn = [_draw(context, name) for name in [*scanned[:1], *unscanned]]
    if settings.canaries and context.has_truth:
        drawn.append(_canaries(context, window))
    items = pd.concat(drawn, ignore_index=True)
    items = items.iloc[context.generator("memorization sequence").permutation(len(items))].reset_index(drop=True)
    items["item_id"] = [f"{kind}-{i:06d}" for i, kind in enumerate(items["kind"])]
    tokens = np.stack(items["input_ids"].tolist()) if len(items) else np.empty((0, window), np.uint16)
    exposures = _exposures(context, items, tokens[:, settings.k :], scanned, unscanned)
    table = _described(context, items, tokens).assign(copies_known=(items["kind"] != "row") | items["source"].isin(scanned))
    return Stimuli(table, [Measure("logprob"), Measure("greedy")], exposures, _notes(context, table, scanned, unscanned))


def _rows_per_step(context: StimuliContext, order: str) -> int:
    reader = context.orders[order]
    return int(context.rows_per_step.get(order, reader.rows_per_step))


def _draw(context: StimuliContext, order: str) -> pd.DataFrame:
    """Sampled rows of one order: ``kind, source, row, input_ids, canary_id``."""
    settings, reader = context.settings, context.orders[order]
    rows = sample_rows(
        len(reader),
        _rows_per_step(context, order),
        settings.rows,
        settings.strata,
        context.generator(f"memorization rows {order}"),
        _rows_with_canaries(context, order),
    )
    window = reader[rows][:, settings.offset : settings.offset + settings.k + settings.l]
    return pd.DataFrame({"kind": "row", "source": order, "row": rows, "input_ids": list(window), "canary_id": None})


def _rows_with_canaries(context: StimuliContext, order: str) -> set[int]:
    """Rows of an order whose window holds a part of a planted canary."""
    settings, reader = context.settings, context.orders[order]
    if not context.has_truth:
        return set()
    copies = context.truth("canary_exposures").merge(context.truth("canaries")[["canary_id", "input_ids"]], on="canary_id")
    ends = copies["offset"] + copies["input_ids"].map(len)
    inside = (copies["offset"] < settings.offset + settings.k + settings.l) & (ends > settings.offset)
    return set(reader.position(copies.loc[inside, "row"].to_numpy()).tolist())


def _canaries(context: StimuliContext, window: int) -> pd.DataFrame:
    truth = context.truth("canaries")
    whole = truth[truth["input_ids"].map(len) >= window]
    ids = [np.asarray(tokens[:window], np.uint16) for tokens in whole["input_ids"]]
    return pd.DataFrame({"kind": "canary", "source": None, "row": -1, "input_ids": ids, "canary_id": whole["canary_id"].to_numpy()})


def _exposures(context: StimuliContext, items: pd.DataFrame, spans: np.ndarray, scanned: list[str], unscanned: list[str]) -> pd.DataFrame:
    parts = []
    for order in scanned:
        found = occurrences(context.orders[order], spans)
        parts.append(pd.DataFrame({"item_id": items["item_id"].to_numpy()[found["span"]], "order": order, "row": found["row"]}))
    grouped = items[["item_id", "source", "row"]].assign(group=_groups(spans))
    for order in unscanned:
        own = grouped.loc[grouped["source"] == order, ["group", "row"]]
        parts.append(grouped[["item_id", "group"]].merge(own, on="group")[["item_id", "row"]].assign(order=order))
    exposures = pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)
    per_step = exposures["order"].map({order: _rows_per_step(context, order) for order in context.orders}).astype("int64")
    exposures["step"] = exposures["row"].astype("int64") // per_step
    return exposures.sort_values(["order", "row", "item_id"], ignore_index=True)[list(EXPOSURES)]


def _groups(spans: np.ndarray) -> np.ndarray:
    """A number for each item [n], the same for items with the same scored span."""
    return pd.factorize(pd.Series([span.tobytes() for span in spans], dtype=object))[0]


def _described(context: StimuliContext, items: pd.DataFrame, tokens: np.ndarray) -> pd.DataFrame:
    """The stimuli's table, without anything that tells where a row stands."""
    settings = context.settings
    texts = context.tokenizer().decode_batch([t.tolist() for t in tokens], skip_special_tokens=False)
    return pd.DataFrame(
        {
            "item_id": items["item_id"],
            "input_ids": [t.astype(np.int32) for t in tokens],
            "start": settings.k,
            "end": settings.k + settings.l,
            "kind": items["kind"],
            "source": items["source"],
            "copy_group": _groups(tokens[:, settings.k :]),
            "zlib_bits": [zlib_bits(text, settings.k + settings.l) for text in texts],
            "distinct": distinct_share(tokens),
            "repeating": repeats(tokens),
            "counting": [counts(text) for text in texts],
            "canary_id": items["canary_id"],
        }
    )


def _notes(context: StimuliContext, table: pd.DataFrame, scanned: list[str], unscanned: list[str]) -> list[str]:
    settings = context.settings
    rows = table[table["kind"] == "row"]
    notes = [
        f"{len(rows):,} rows, evenly over {settings.strata} parts of the training order and over its batches; tokens {settings.offset} to "
        f"{settings.offset + settings.k} of each are given, the next {settings.l} are scored."
    ]
    if scanned:
        notes.append(
            f"Every row of {_listed(scanned)} was searched for exact copies of the scored {settings.l} tokens, at any place within a row; "
            "each row that holds them counts as an exposure. Copies that run over the end of a row are not counted."
        )
    if unscanned:
        notes.append(
            f"{_listed(unscanned)} is too long to be searched for copies (more than {settings.scan_tokens:,} tokens): only the sampled row "
            "itself, and copies among the sampled rows, are known."
        )
    if all(order.never_seen is None or order.never_seen.startswith("none") for order in context.suite.orders.values()):
        notes.append("No row is never seen; at each checkpoint the rows that are not yet seen stand in.")
    wide = context.has_truth and settings.canaries and not (table["kind"] == "canary").any()
    if wide:
        notes.append(f"The planted canaries are shorter than k + l = {settings.k + settings.l} tokens and are left out.")
    return notes


def _listed(names: list[str]) -> str:
    return ("order " if len(names) == 1 else "the orders ") + ", ".join(f"'{name}'" for name in names)
