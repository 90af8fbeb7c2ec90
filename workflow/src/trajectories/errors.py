"""The one exception that is meant for a person to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from trajectories.outside import plain


class UserError(Exception):
    """What was expected, what was found, where, and what to do: one sentence, shown without a traceback."""

    def __init__(self, sentence: str):
        # whatever it quotes may come from outside
        super().__init__(plain(sentence).replace("\n", "\\n"))


def nearest(word: str, candidates: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the candidate most like ``word``, or an empty string if none is near."""
    found = difflib.get_close_matches(str(word), [str(c) for c in candidates], n=1, cutoff=0.6)
    return f" (did you mean '{found[0]}'?)" if found else ""


def require_known(kind: str, word: str, candidates: Iterable[str]) -> None:
    """Raise a :class:`UserError` that names the nearest candidate unless ``word`` is one of ``candidates``."""
    known = [str(c) for c in candidates]
    if str(word) not in known:
        shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
        raise UserError(f"Unknown {kind} '{word}'{nearest(word, known)}; known: {shown}.")
