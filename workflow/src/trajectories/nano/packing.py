"""Packs documents into rows of equal length, so that it is known of every token of the corpus where it comes from.

Three kinds of rows: *canary* rows hold one canary each, *planted* rows hold whole planted sentences, *text* rows hold real text alone. Real
text is one stream of documents, each followed by an end-of-text token; it fills whatever the others leave free, so a row may begin and end
in the middle of a document, as Pythia's do. A planted sentence is never cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.errors import UserError
from trajectories.nano.planted import Sentence

END_OF_TEXT = 0


@dataclass
class Packed:
    """The rows of a corpus in the standard order.

    Attributes:
        rows: uint16 [rows, row_tokens].
        documents: ``row, offset, length, kind, source, variant``: which tokens of a row belong to which document (its end-of-text token
            included), ``kind`` being ``text``, ``canary``, ``fact``, ``grammar`` or ``occupation``; sorted by row and offset. The
            end-of-text tokens around a canary are entries of their own, with the variants ``start`` and ``end``.
        pronouns: ``row, offset, token, swapped``: the gendered pronouns of the planted text and what stands there in the swapped order.
    """

    rows: np.ndarray
    documents: pd.DataFrame
    pronouns: pd.DataFrame


class _Rows:
    """Rows that are filled bit by bit, with a record of what was put where."""

    def __init__(self, rows: int, row_tokens: int):
        self.tokens = np.zeros((rows, row_tokens), np.uint16)
        self.free = np.ones((rows, row_tokens), bool)
        self.documents: list[tuple[int, int, int, str, str, str]] = []
        self.pronouns: list[tuple[int, int, int, int]] = []

    def put(self, row: int, offset: int, ids: np.ndarray, kind: str, source: str, variant: str = "") -> None:
        self.tokens[row, offset : offset + len(ids)] = ids
        self.free[row, offset : offset + len(ids)] = False
        self.documents.append((row, offset, len(ids), kind, source, variant))


def pack(
    rows: int,
    row_tokens: int,
    stream: list[tuple[str, np.ndarray]],
    planted: list[tuple[Sentence, np.ndarray, np.ndarray]],
    canaries: dict[str, np.ndarray],
    copies: pd.DataFrame,
    random: np.random.Generator,
    trained: int,
) -> Packed:
    """Fill all rows.

    Args:
        rows, row_tokens: the shape of the corpus.
        stream: real documents: source and ids (without end-of-text), in sequence.
        planted: sentences with their ids and their swapped twins' ids (without end-of-text), all of one length per sentence.
        canaries: canary to ids.
        copies: ``canary_id, row, offset`` of every copy.
        random: shuffles sentences and rows.
        trained: the first so many rows may hold planted text; the others hold real text alone.

    Raises:
        UserError: the planted text leaves no room, or the real text does not fill what is left.
    """
    made = _Rows(rows, row_tokens)
    for canary, row, offset in copies.itertuples(index=False):
        made.put(row, offset, canaries[canary], "canary", canary)
        end = offset + len(canaries[canary])
        if end < row_tokens:  # what follows is another document
            made.put(row, end, np.zeros(1, np.uint16), "canary", canary, "end")
        if offset > 0:
            made.put(row, offset - 1, np.zeros(1, np.uint16), "canary", canary, "start")
    _sentences(made, planted, random.permutation(np.setdiff1d(np.arange(trained), copies["row"].to_numpy())), random)
    _text(made, stream, random)
    documents = pd.DataFrame(made.documents, columns=["row", "offset", "length", "kind", "source", "variant"])
    pronouns = pd.DataFrame(made.pronouns, columns=["row", "offset", "token", "swapped"]).sort_values(["row", "offset"], ignore_index=True)
    return Packed(made.tokens, documents.sort_values(["row", "offset"], ignore_index=True), pronouns)


def _sentences(made: _Rows, planted: list[tuple[Sentence, np.ndarray, np.ndarray]], rows: np.ndarray, random: np.random.Generator) -> None:
    width, used, offset = made.tokens.shape[1], 0, 0
    for number in random.permutation(len(planted)):
        sentence, ids, swapped = planted[number]
        if offset + len(ids) + 1 > width:
            used, offset = used + 1, 0
        if used >= len(rows):
            raise UserError("The planted sentences and canaries need more rows than the run has; plant less or raise 'steps' in the suite.")
        row = int(rows[used])
        made.put(row, offset, np.append(ids, END_OF_TEXT).astype(np.uint16), sentence.kind, sentence.source, sentence.variant)
        made.pronouns += [(row, offset + int(i), int(ids[i]), int(swapped[i])) for i in np.flatnonzero(ids != swapped)]
        offset += len(ids) + 1


def _text(made: _Rows, stream: list[tuple[str, np.ndarray]], random: np.random.Generator) -> None:
    """Cut the stream of real text into the free stretches of rows, the rows being visited in random sequence."""
    lengths = np.array([len(ids) + 1 for _, ids in stream])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.zeros(starts[-1], np.uint16)
    for (_, ids), start in zip(stream, starts, strict=False):
        tokens[start : start + len(ids)] = ids
    needed = int(made.free.sum())
    if len(tokens) < needed:
        raise UserError(
            f"The real text has {len(tokens)} tokens, but {needed} are needed; name more 'packages' or lower 'steps' in the suite."
        )
    at = 0
    for row in random.permutation(len(made.tokens)):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], made.free[row], [False]]).astype(int)))
        for first, last in edges.reshape(-1, 2).tolist():
            made.tokens[row, first:last] = tokens[at : at + last - first]
            offset = first
            while offset < last:
                document = int(np.searchsorted(starts, at, side="right")) - 1
                length = min(last - offset, int(starts[document + 1]) - at)
                made.documents.append((int(row), offset, length, "text", stream[document][0], ""))
                offset, at = offset + length, at + length
