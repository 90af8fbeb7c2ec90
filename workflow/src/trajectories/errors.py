"""The one exception that is meant for a person to read."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path

from trajectories.outside import plain


class UserError(Exception):
    """What was expected, what was found, where, and what to do: one sentence, shown without a traceback."""

    def __init__(self, sentence: str):
        # whatever it quotes may come from outside
        super().__init__(plain(sentence).replace("\n", "\\n"))


class Damaged(UserError):
    """A result on disk that cannot be what was written: not whole, or with another hash than its manifest names.

    Args:
        path: the file.
        found: what is wrong with it, in a few words.
    """

    def __init__(self, path: Path, found: str):
        super().__init__(f"'{path}' is damaged ({found}); delete it and run again.")
        self.path, self.found = Path(path), found


def unreadable(path: Path, error: OSError) -> UserError:
    """What to raise where a result cannot be opened: one that is gone can be made anew, one that the system does not hand out must not be
    touched."""
    if isinstance(error, FileNotFoundError):
        return Damaged(path, "it is gone")
    return UserError(f"Cannot read '{path}': {error.strerror or error}; fix the disk or the folder, then run again.")


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that the disk is full; libraries in other languages say so in their text only."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


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
