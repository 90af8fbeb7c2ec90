"""Numbers and findings as people read them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from trajectories.analysis import CLAIMS
from trajectories.scales import is_log, unlogged


def finite(value: Any) -> bool:
    """Whether a value from a table is a finite number."""
    try:
        return bool(math.isfinite(value))
    except TypeError:
        return False


def number(value: Any, digits: int = 3) -> str:
    """A number in as few digits as tell it (``0.0312``, ``1.82``, ``1.2e-05``), or an en dash where there is none."""
    if not finite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value):,}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def count(value: Any) -> str:
    """A whole number with thousands separated, or an en dash where there is none."""
    return f"{int(value):,}" if finite(value) else "–"


def size(value: Any) -> str:
    """A large count in words of magnitude: ``1.3 million``, ``299.9 billion``."""
    if not finite(value):
        return "–"
    for limit, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= limit:
            return f"{value / limit:.4g} {name}"
    return count(value)


def p_value(value: Any) -> str:
    """A p value: three decimals, or that it is smaller."""
    if not finite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"


def plural(n: int, word: str) -> str:
    """``1 model``, ``2 models``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def steps(values: Iterable[int], every: Sequence[int] = ()) -> str:
    """Steps in few words: runs that are consecutive among ``every`` (default: the values themselves) become ``first–last``."""
    wanted = sorted({int(v) for v in values})
    grid = sorted({int(v) for v in every} | set(wanted)) if len(every) else wanted
    place = {step: i for i, step in enumerate(grid)}
    runs: list[list[int]] = []
    for step in wanted:
        if every and runs and place[step] == place[runs[-1][-1]] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    parts = [f"{r[0]:,}–{r[-1]:,}" if len(r) > 2 else ", ".join(f"{s:,}" for s in r) for r in runs]
    return ", ".join(parts)


def scale_name(row: dict[str, Any]) -> str:
    """What an estimate is called once off the logarithmic scale, and the level of its interval: ``odds ratio (90 % interval)``."""
    scale = str(row["scale"])
    name = unlogged(scale) if is_log(scale) else scale
    return f"{name} ({100 * row['conf_level']:.3g}\u00a0% interval)" if finite(row["conf_level"]) else f"{name} (interval)"


def effect(row: dict[str, Any]) -> str:
    """An estimate with its interval, off the logarithmic scale: ``1.82 (1.54 to 2.14)``."""
    log = is_log(str(row["scale"]))
    if not finite(row["estimate"]):
        return "no estimate"
    low, high = row["ci_low"], row["ci_high"]
    text = _on_scale(row["estimate"], log)
    if not (finite(low) and finite(high)):
        return f"{text}, without a finite interval"
    return f"{text} ({_on_scale(low, log)} to {_on_scale(high, log)})"


def margin(row: dict[str, Any]) -> str:
    """A claim's smallest effect of interest, off the logarithmic scale: ``odds ratio of 1.25 (or its inverse, 0.8)``."""
    scale = str(row["scale"])
    if is_log(scale):
        return f"{unlogged(scale)} of {_on_scale(row['margin'], True)} (in the other direction: {_on_scale(-row['margin'], True)})"
    return f"{scale} of {_on_scale(row['margin'], False)}"


def _on_scale(value: float, log: bool) -> str:
    if not log:
        return number(value)
    return number(math.exp(value)) if value < 30 else "above 10 trillion"


def common_sentences(texts: Sequence[str]) -> list[str]:
    """The sentences that all of several texts hold, in their order; none where there is only one text."""
    split = [re.split(r"(?<=[.!?])\s+", text.strip()) for text in texts]
    if len(split) < 2:
        return []
    return [sentence for sentence in split[0] if sentence and all(sentence in other for other in split[1:])]


def without(text: str, sentences: Sequence[str]) -> str:
    """A text less some of its sentences."""
    return " ".join(s for s in re.split(r"(?<=[.!?])\s+", text.strip()) if s not in sentences)


def sample(row: dict[str, Any]) -> str:
    """What an estimate rests on: ``1,000 units in 50 clusters, 120 events``."""
    parts = [f"n = {count(row['n'])}"] if finite(row["n"]) else []
    parts += [f"{count(row['n_clusters'])} clusters"] if finite(row["n_clusters"]) else []
    parts += [f"{count(row['n_events'])} events"] if finite(row["n_events"]) else []
    return ", ".join(parts)


def plain(value: Any) -> Any:
    """A table's value as JSON takes it: no NaN, no infinity, no numpy type."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries of plain values (see :func:`plain`)."""
    columns = [str(c) for c in table.columns]
    rows = zip(*(table[c].tolist() for c in columns), strict=True) if columns else ()
    return [dict(zip(columns, (plain(v) for v in row), strict=True)) for row in rows]


def claims_json(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """All claims as a list of objects with the columns of :data:`trajectories.analysis.CLAIMS`; what is not a finite number is null."""
    return records(claims[CLAIMS.names])


def for_script(value: Any) -> str:
    """JSON that stands safely inside a ``<script>`` element, whatever the strings in it say."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=False)
    for character in ("&", "<", ">", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
