"""Rows of the training order as stimuli: their first tokens are given, the next ones are scored."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.errors import UserError
from trajectories.experiments.memorization.predictors import counts, distinct_share, repeats, zlib_bits
from trajectories.experiments.memorization.sample import either, inclusion, occurrences, sample_rows
from trajectories.experiments.memorization.settings import StimuliSettings
from trajectories.stimuli import EXPOSURES, Measure, Stimuli, StimuliContext


def stimuli(context: StimuliContext) -> Stimuli:
    """A stratified sample of rows, and the planted canaries where there are any, with every exposure that the orders show.

    A row is shown once per pair of ``k`` and ``offset``; the spans of all lengths ``l`` begin at the same place, so one item serves them.
    The table's own columns: ``kind`` (``row``, ``canary`` or ``never``), ``unit`` (number of the row or canary, whatever the window),
    ``source`` (order that the row was sampled from), ``k``, ``offset``, ``lengths`` (list of ``l``), ``primary`` (whether ``k`` and
    ``offset`` are the first of their lists), ``weight`` (rows of its order that the item stands for: one divided by the probability of
    being drawn, be it by the stratified sample or as a case; 1 for canaries and never-seen rows),
    ``copy_group`` (items that share their first ``l`` scored tokens), ``copies_known`` (whether that order was searched whole for
    copies), ``zlib_bits``, ``distinct``, ``repeating``, ``counting`` (predictors of easy text over the whole window), and
    ``canary_id``. An exposure is a row that holds the first ``l`` scored tokens in one piece, wherever in the row; orders that are too
    long to be searched give only the sampled rows. The exposures' own column ``own`` tells the sampled row itself from its copies; in an
    order that numbers the rows otherwise, every row that holds the scored tokens at the item's place may be it. Where a row stands in
    training is told by the exposures alone; names and sequence of the items are shuffled.

    Raises:
        UserError: a window does not fit the orders' rows, or no order can be read.
    """
    settings = context.settings
    if not context.orders:
        raise UserError(f"No training order of suite '{context.suite.name}' can be read; run 'trajectories order' first.")
    unseen = {order.never_seen for order in context.suite.orders.values() if order.never_seen is not None}
    scanned: list[str] = []
    unscanned: list[str] = []
    for name, reader in context.orders.items():
        if name in unseen:
            continue
        if max(settings.offset) + settings.longest > reader.row_tokens:
            raise UserError(
                f"memorization.stimuli: offset {max(settings.offset)} + k {max(settings.k)} + l {max(settings.l)} exceeds the "
                f"{reader.row_tokens} tokens of a row of order '{name}'; lower one of them."
            )
        (scanned if len(reader) * reader.row_tokens <= settings.scan_tokens else unscanned).append(name)
    # orders that are searched whole share one sample, since an order finds the others' rows in itself
    drawn = [_draw(context, name) for name in [*scanned[:1], *unscanned]]
    drawn += [_never_seen(context, name) for name in sorted(unseen & set(context.orders))]
    if settings.canaries and context.has_truth:
        drawn.append(_canaries(context))
    units = pd.concat(drawn, ignore_index=True)
    units = units.iloc[context.generator("memorization sequence").permutation(len(units))].reset_index(drop=True)
    units["unit"] = np.arange(len(units))
    items = pd.concat([_windowed(units, k, offset, settings) for offset in settings.offset for k in settings.k], ignore_index=True)
    spans = np.stack([t[k : k + settings.l[0]] for t, k in zip(items["input_ids"], items["k"], strict=True)])
    exposures = _exposures(context, items, spans, scanned, unscanned)
    # text of the held-out rows that stands in an order after all is not unseen
    seen = (items["kind"] == "never") & items["item_id"].isin(exposures["item_id"])
    exposures = exposures[~exposures["item_id"].isin(items.loc[seen, "item_id"])].reset_index(drop=True)
    items, spans = items[~seen].reset_index(drop=True), spans[~seen.to_numpy()]
    table = _described(context, items, spans).assign(copies_known=(items["kind"] != "row") | items["source"].isin(scanned))
    measures = [Measure("logprob", {"token_logprobs": True} if len(settings.l) > 1 else {}), Measure("greedy")]
    measures += [Measure("generate")] if settings.score else []
    return Stimuli(table, measures, exposures, _notes(context, table, scanned, unscanned))


def _windowed(units: pd.DataFrame, k: int, offset: int, settings: StimuliSettings) -> pd.DataFrame:
    """The items that show every unit through one window; canaries begin where they begin, and are shown at the first offset alone."""
    primary = k == settings.k[0] and offset == settings.offset[0]
    chosen = units if offset == settings.offset[0] else units[units["kind"] != "canary"]
    begin = np.where(chosen["kind"] == "canary", 0, offset)
    ids = [tokens[b : b + k + max(settings.l)] for tokens, b in zip(chosen["tokens"], begin, strict=True)]
    fitting = [len(tokens) == k + max(settings.l) for tokens in ids]
    found = chosen.drop(columns="tokens").assign(input_ids=pd.Series(ids, index=chosen.index, dtype=object), k=k, offset=offset)[fitting]
    suffix = "" if primary else f".k{k}.o{offset}"
    return found.assign(primary=primary, item_id=[f"{r.kind}-{r.unit:06d}{suffix}" for r in found.itertuples()])


def _rows_per_step(context: StimuliContext, order: str) -> int:
    reader = context.orders[order]
    return int(context.rows_per_step.get(order, reader.rows_per_step))


def _draw(context: StimuliContext, order: str) -> pd.DataFrame:
    """Sampled rows of one order and the cases drawn from its table: ``kind, source, row, tokens, canary_id, weight``."""
    settings, reader = context.settings, context.orders[order]
    per_step, excluded = _rows_per_step(context, order), _rows_with_planted_text(context, order)
    design = (len(reader), per_step, settings.rows, settings.strata)
    rows = sample_rows(*design, context.generator(f"memorization rows {order}"), excluded)
    listed = context.memorized(order) if settings.cases else None
    listed = None if listed is None else _drawable(listed, len(reader), per_step, excluded)
    if listed is not None and len(listed):
        cases = context.generator(f"memorization cases {order}").choice(listed, min(settings.cases, len(listed)), replace=False)
        rows = np.union1d(rows, cases)
    chance = inclusion(rows, *design, excluded)
    if listed is not None and len(listed):
        chance = either(chance, np.isin(rows, listed) * min(settings.cases / len(listed), 1.0))
    return pd.DataFrame(
        {"kind": "row", "source": order, "row": rows, "tokens": list(reader[rows]), "canary_id": None, "weight": 1 / chance}
    )


def _drawable(listed: np.ndarray, n_rows: int, rows_per_step: int, excluded: set[int]) -> np.ndarray:
    """Those of the listed rows that the sample could hold too, each once."""
    listed = np.unique(np.asarray(listed, np.int64))
    inside = (listed >= 0) & (listed < n_rows // rows_per_step * rows_per_step)
    return listed[inside & ~np.isin(listed, np.fromiter(excluded, np.int64))]


def _never_seen(context: StimuliContext, order: str) -> pd.DataFrame:
    """Rows of an order that no model is trained on, spread evenly over it."""
    reader = context.orders[order]
    rows = np.unique(np.linspace(0, len(reader) - 1, min(context.settings.never_seen, len(reader))).round().astype(int))
    return pd.DataFrame({"kind": "never", "source": order, "row": -1, "tokens": list(reader[rows]), "canary_id": None, "weight": 1.0})


def _rows_with_planted_text(context: StimuliContext, order: str) -> set[int]:
    """Rows of an order that are not natural text alone: those whose window holds a part of a canary or of a planted sentence."""
    settings, reader = context.settings, context.orders[order]
    if not context.has_truth:
        return set()
    documents = context.truth("documents")
    planted = documents[documents["kind"] != "text"]
    ends = planted["offset"] + planted["length"]
    inside = (planted["offset"] < max(settings.offset) + settings.longest) & (ends > min(settings.offset))
    return set(reader.position(planted.loc[inside, "row"].to_numpy()).tolist())


def _canaries(context: StimuliContext) -> pd.DataFrame:
    truth = context.truth("canaries")
    ids = [np.asarray(tokens, np.uint16) for tokens in truth["input_ids"]]
    return pd.DataFrame(
        {"kind": "canary", "source": None, "row": -1, "tokens": ids, "canary_id": truth["canary_id"].to_numpy(), "weight": 1.0}
    )


def _exposures(context: StimuliContext, items: pd.DataFrame, spans: np.ndarray, scanned: list[str], unscanned: list[str]) -> pd.DataFrame:
    parts = []
    known = items[["item_id", "source", "row"]].assign(place=items["offset"] + items["k"], group=_groups(spans))
    for order in scanned:
        found = occurrences(context.orders[order], spans)
        held = known.iloc[found["span"]].reset_index(drop=True)
        aligned = held["place"] == found["offset"]
        parts.append(held[["item_id"]].assign(order=order, row=found["row"], aligned=aligned, own=aligned & (held["row"] == found["row"])))
    for order in unscanned:
        there = known.loc[known["source"] == order, ["group", "row", "place"]]
        held = known.merge(there, on="group", suffixes=("", "_there"))
        aligned = held["place"] == held["place_there"]
        own = aligned & (held["row"] == held["row_there"])
        parts.append(held[["item_id"]].assign(order=order, row=held["row_there"], aligned=aligned, own=own))
    exposures = pd.concat(parts, ignore_index=True).groupby(["item_id", "order", "row"], as_index=False)[["aligned", "own"]].any()
    # an order that numbers the rows otherwise shows the item where the same tokens stand at the same place
    elsewhere = ~exposures.groupby(["item_id", "order"])["own"].transform("any")
    exposures["own"] |= exposures["aligned"] & elsewhere
    per_step = exposures["order"].map({order: _rows_per_step(context, order) for order in context.orders}).astype("int64")
    exposures["step"] = exposures["row"].astype("int64") // per_step
    return exposures.sort_values(["order", "row", "item_id"], ignore_index=True)[[*EXPOSURES, "own"]]


def _groups(spans: np.ndarray) -> np.ndarray:
    """A number for each item [n], the same for items with the same scored span."""
    return pd.factorize(pd.Series([span.tobytes() for span in spans], dtype=object))[0]


def _described(context: StimuliContext, items: pd.DataFrame, spans: np.ndarray) -> pd.DataFrame:
    """The stimuli's table, without anything that tells where a row stands."""
    settings = context.settings
    texts = context.tokenizer().decode_batch([t.tolist() for t in items["input_ids"]], skip_special_tokens=False)
    own = ["kind", "unit", "source", "k", "offset", "primary", "weight", "canary_id"]
    return pd.DataFrame(
        {
            "item_id": items["item_id"],
            "input_ids": [t.astype(np.int32) for t in items["input_ids"]],
            "start": items["k"],
            "end": items["k"] + max(settings.l),
            **{name: items[name] for name in own},
            "lengths": [list(settings.l)] * len(items),
            "copy_group": _groups(spans),
            "zlib_bits": [zlib_bits(text, len(t)) for text, t in zip(texts, items["input_ids"], strict=True)],
            "distinct": [float(distinct_share(t[None])[0]) for t in items["input_ids"]],
            "repeating": [bool(repeats(t[None])[0]) for t in items["input_ids"]],
            "counting": [counts(text) for text in texts],
        }
    )


def _notes(context: StimuliContext, table: pd.DataFrame, scanned: list[str], unscanned: list[str]) -> list[str]:
    settings = context.settings
    rows = table[(table["kind"] == "row") & table["primary"]]
    k, scored, offset = settings.k[0], settings.l[0], settings.offset[0]
    notes = [
        f"{len(rows):,} rows, evenly over {settings.strata} parts of the training order and over its batches; tokens {offset} to "
        f"{offset + k} of each are given, the next {scored} are scored."
    ]
    weight = rows["weight"].to_numpy()
    if len(weight) and np.ptp(weight) > 1e-9 * weight.max():
        notes.append(
            "Rows differ in their probability of being drawn and are weighted by its inverse; for a mean they are worth "
            f"{weight.sum() ** 2 / (weight @ weight):,.0f} equally likely ones."
        )
    if len(settings.k) * len(settings.l) * len(settings.offset) > 1:
        notes.append(
            f"The same rows are also shown through other windows (k of {settings.k}, l of {settings.l}, beginning at {settings.offset}); "
            "these describe, the first one decides."
        )
    if scanned:
        notes.append(
            f"Every row of {_listed(scanned)} was searched for exact copies of the {scored} scored tokens, at any place within a row; "
            "each row that holds them counts as an exposure. Copies that run over the end of a row are not counted."
        )
    if unscanned:
        notes.append(
            f"{_listed(unscanned)} is too long to be searched for copies (more than {settings.scan_tokens:,} tokens): only the sampled row "
            "itself, and copies among the sampled rows, are known."
        )
    unseen = table[(table["kind"] == "never") & table["primary"]]
    if len(unseen):
        notes.append(f"{len(unseen):,} rows are never seen in training: no order holds their {scored} scored tokens.")
    else:
        notes.append("No row is never seen; at each checkpoint the rows that are not yet seen stand in.")
    wide = context.has_truth and settings.canaries and not (table["kind"] == "canary").any()
    if wide:
        notes.append(f"The planted canaries are shorter than k + l = {settings.longest} tokens and are left out.")
    return notes


def _listed(names: list[str]) -> str:
    return ("order " if len(names) == 1 else "the orders ") + ", ".join(f"'{name}'" for name in names)
