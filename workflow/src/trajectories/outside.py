"""Text and names that come from outside: how they may be shown, and which of them may become paths."""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from pathlib import PurePosixPath

_CREDENTIALS = re.compile(r"(\w+://)[^\s/@'\"]*@")
_QUERY = re.compile(r"(\w+://[^\s?'\"<>]*)\?[^\s'\"<>]*")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=Bearer )\S+")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def plain(text: str) -> str:
    r"""Text as it may stand in a log, on a terminal or in an error.

    Addresses lose their credentials and their query (which on a stored file is the signature that opens it), tokens of the Hub are struck
    out, and control characters, which can move a terminal's cursor or hide what stands before them, are written as ``\x1b`` and the like.
    """
    text = _QUERY.sub(r"\1", _CREDENTIALS.sub(r"\1", str(text)))
    for token in filter(None, map(os.environ.get, _TOKEN_VARIABLES)):
        text = text.replace(token, "(token)")
    text = _TOKEN.sub("(token)", text)
    return visible(text)


def visible(text: str) -> str:
    r"""Text without anything that a terminal would obey: control characters are written as ``\x1b`` and the like."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    """A character, or its escape where it is a control, a change of direction or half a character; line breaks and tabs stay."""
    if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


class OneLine(logging.Formatter):
    """One line per message, in the form of :func:`plain`."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message with its line breaks as ``\\n``, which could pass for lines of another's."""
        return plain(super().formatMessage(record)).replace("\n", "\\n")


def inside(name: str) -> bool:
    """Whether a name with ``/`` between its parts stays below the folder that it is joined to, on any system, and is one line of text."""
    path = PurePosixPath(name)
    return name.isprintable() and "\\" not in name and not path.is_absolute() and bool(path.parts) and ".." not in path.parts
