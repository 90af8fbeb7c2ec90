"""A few tensors of a checkpoint without the rest: the header of its safetensors files, then some windows of bytes.

A window is laid around a small tensor (a layer norm or a bias), so that it holds that one, its neighbours in the file and slices of the
matrices beside them: several tensors for one request. Nothing depends on their names. The windows are chosen once for a run, or twice where
the first choice was by a checkpoint of other shapes than most: three or more over the depth of the model and at least one in each file. The
same slices are read of every checkpoint.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trajectories.hub.continuity import Sample
from trajectories.outside import visible

Read = Callable[[str, Sequence[tuple[int, int]]], list[bytes]]
"""Reads the bytes [start, stop) of a checkpoint's file, for each of several ranges."""

WINDOW = 1 << 15
"""Bytes of a window, less where a checkpoint has so many files that its windows would exceed :data:`LARGEST_SAMPLE`."""
WINDOWS = 3
LARGEST_SAMPLE = 1 << 20
FIRST_GUESS = 1 << 16
"""Bytes that are read of the first header, whose length is not known yet."""
LARGEST_HEADER = 8 << 20
SHORTEST = 64
"""Elements: distances of fewer tell little."""
_TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_EPSILON = {"F64": 2.0**-52, "F32": 2.0**-23, "F16": 2.0**-10, "BF16": 2.0**-7}


class Unreadable(Exception):
    """A file that is no whole safetensors file; says which and why."""


Shapes = tuple[tuple[int, ...] | None, ...]
"""The shape that a checkpoint's tensor of each slice has, or None where it has no such tensor."""


class Unlike(Exception):
    """A checkpoint whose tensors have other shapes than those that the slices were chosen by; says which, and has all in ``shapes``."""

    def __init__(self, said: str, shapes: Shapes):
        super().__init__(said)
        self.shapes = shapes


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: its file, type, shape and bytes [start, stop) of the file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Slice:
    """Consecutive elements of a tensor, read in row-major order.

    Attributes:
        part: the window that they are of, in a few words.
        tensor: name.
        shape: of the whole tensor.
        first: number of the first element.
        count: how many.
    """

    part: str
    tensor: str
    shape: tuple[int, ...]
    first: int
    count: int


def header_length(name: str, head: bytes) -> int:
    """Bytes of a file up to its tensors; raises :class:`Unreadable` if they are more than :data:`LARGEST_HEADER` or not told."""
    length = 8 + struct.unpack("<Q", head[:8])[0] if len(head) >= 8 else 0
    if not 8 < length <= LARGEST_HEADER:
        raise Unreadable(f"{name} is no safetensors file (a header of {length} bytes)")
    return int(length)


def read_header(name: str, head: bytes, size: int) -> dict[str, Tensor]:
    """The tensors of a file by name, from its first bytes; raises :class:`Unreadable` if they do not describe a file of that size."""
    length = header_length(name, head)
    try:
        entries = json.loads(head[8:length])
        found = {
            key: Tensor(name, str(e["dtype"]), tuple(int(n) for n in e["shape"]), length + int(start), length + int(stop))
            for key, e in entries.items()
            if key != "__metadata__"
            for start, stop in [e["data_offsets"]]
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise Unreadable(f"{name} is no safetensors file (its header is damaged)") from error
    for key, t in found.items():
        whole = t.dtype not in _TYPES or (min(t.shape, default=1) >= 0 and t.stop - t.start == _TYPES[t.dtype] * math.prod(t.shape))
        if not (length <= t.start <= t.stop <= size and whole):
            raise Unreadable(f"{name} is no whole safetensors file (tensor '{_said(key)}' does not fit)")
    return found


def _said(name: str) -> str:
    """A tensor's name, which comes from outside, as it may stand in a message."""
    return visible(name)[:100]


def _overlap(part: str, tensors: Mapping[str, Tensor], start: int, stop: int) -> list[Slice]:
    """The elements that lie wholly in a window."""
    found = []
    for name, t in sorted(tensors.items(), key=lambda item: item[1].start):
        width = _TYPES[t.dtype]
        first = max(0, -(-(start - t.start) // width))
        last = min((t.stop - t.start) // width, (stop - t.start) // width)
        if last - first >= SHORTEST:
            found.append(Slice(part, name, t.shape, first, last - first))
    return found


def choose(tensors: Mapping[str, Tensor]) -> list[Slice]:
    """The slices to read of every checkpoint of a run, from the tensors of one.

    Args:
        tensors: by name, of all files of the checkpoint.

    Returns:
        Slices of at least :data:`WINDOWS` windows and of one in each file, where there are so many tensors of numbers with a fraction.
    """
    numbers = {n: t for n, t in tensors.items() if t.dtype in _TYPES and math.prod(t.shape) >= SHORTEST}
    files = sorted({t.file for t in numbers.values()})
    each = -(-WINDOWS // len(files)) if files else 0
    widest = min(WINDOW, LARGEST_SAMPLE // max(each * len(files), 1))
    chosen: list[Slice] = []
    for file in files:
        here = {n: t for n, t in numbers.items() if t.file == file}
        low, high = min(t.start for t in here.values()), max(t.stop for t in here.values())
        width = max(SHORTEST * 8, min(widest, (high - low) // (2 * each)))  # windows of a small file stay apart
        small = [t for t in here.values() if len(t.shape) == 1]
        for number in range(each):
            middle = low + (high - low) * (2 * number + 1) // (2 * each)
            near = min(small, key=lambda t: abs((t.start + t.stop) // 2 - middle), default=None)
            middle = (near.start + near.stop) // 2 if near is not None else middle
            start = max(low, min(middle - width // 2, high - width))
            slices = _overlap("", here, start, min(start + width, high))
            taken = {(s.tensor, s.first) for s in chosen}
            if slices and not any((s.tensor, s.first) in taken for s in slices):
                among = slices[len(slices) // 2].tensor if near is None else next(n for n, t in here.items() if t is near)
                of_file = f" ({file})" if len(files) > 1 else ""
                names = {True: f"matrices around {_said(among)}{of_file}", False: f"vectors{of_file}"}
                chosen += [Slice(names[len(s.shape) > 1], s.tensor, s.shape, s.first, s.count) for s in slices]
    return chosen


def _decode(data: bytes, dtype: str) -> npt.NDArray[np.float32]:
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        return np.frombuffer(data, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32)


class Probe:
    """Reads the same slices of every checkpoint of a run.

    Args:
        read: reads from the checkpoint that the slices are chosen by.
        sizes: bytes by name of its safetensors files.

    Raises:
        Unreadable: it is no whole checkpoint.
    """

    def __init__(self, read: Read, sizes: Mapping[str, int]):
        self._heads: dict[str, bytes] = {}
        self._sizes = dict(sizes)
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        tensors, heads = self._tensors(read, sizes, {n: read(n, [(0, min(FIRST_GUESS, size))])[0] for n, size in sizes.items()})
        self._heads = heads
        self._layout = tensors
        self.slices = choose(tensors)
        self._ranges = self._windows(tensors)

    @property
    def parts(self) -> list[str]:
        """The part of the weights that each slice is of."""
        return [s.part for s in self.slices]

    def sample(self, step: int, read: Read, sizes: Mapping[str, int]) -> Sample:
        """The slices of a checkpoint; where its files are laid out as the first one's, each costs a single call of ``read``.

        Raises:
            Unreadable: a file is no whole safetensors file.
            Unlike: a tensor has another shape than in the checkpoint that the slices were chosen by.
        """
        asked, heads, data = {}, {}, {}
        for name, size in sizes.items():
            known = size == self._sizes.get(name)
            asked[name] = self._ranges.get(name, []) if known else []
            ahead = min(len(self._heads.get(name, b"")) or FIRST_GUESS, size)
            heads[name], *data[name] = read(name, [(0, ahead), *asked[name]])
        if heads == self._heads:
            tensors = self._layout
        else:
            tensors, _ = self._tensors(read, sizes, heads)
            asked = self._windows(tensors)
            data = {name: read(name, windows) for name, windows in asked.items()}
        return self._sample(step, tensors, asked, data)

    def _tensors(self, read: Read, sizes: Mapping[str, int], heads: Mapping[str, bytes]) -> tuple[dict[str, Tensor], dict[str, bytes]]:
        """All tensors of a checkpoint, and its headers, of which ``heads`` are the beginnings."""
        found: dict[str, Tensor] = {}
        whole = {}
        for name, head in heads.items():
            length = header_length(name, head)
            if length > sizes[name]:
                raise Unreadable(f"{name} is no whole safetensors file ({sizes[name]} bytes, its header alone {length})")
            rest = read(name, [(len(head), length)])[0] if length > len(head) else b""
            whole[name] = (head + rest)[:length]
            found |= read_header(name, whole[name], sizes[name])
        return found, whole

    def _place(self, s: Slice, tensors: Mapping[str, Tensor]) -> tuple[str, int, int] | None:
        t = tensors.get(s.tensor)
        if t is None or t.dtype not in _TYPES:
            return None
        if t.shape != s.shape:
            shapes = tuple(tensors[o.tensor].shape if o.tensor in tensors else None for o in self.slices)
            raise Unlike(f"'{_said(s.tensor)}' has the shape {list(t.shape)}, elsewhere in the run {list(s.shape)}", shapes)
        start = t.start + s.first * _TYPES[t.dtype]
        return t.file, start, start + s.count * _TYPES[t.dtype]

    def _windows(self, tensors: Mapping[str, Tensor]) -> dict[str, list[tuple[int, int]]]:
        """The ranges to read by file; those that touch are one."""
        ranges: dict[str, list[tuple[int, int]]] = {}
        places = sorted(p for s in self.slices if (p := self._place(s, tensors)) is not None)
        for file, start, stop in places:
            own = ranges.setdefault(file, [])
            if own and start - own[-1][1] < SHORTEST * 8:
                own[-1] = (own[-1][0], max(stop, own[-1][1]))
            else:
                own.append((start, stop))
        return ranges

    def _sample(self, step: int, tensors: Mapping[str, Tensor], asked: Mapping[str, Any], data: Mapping[str, list[bytes]]) -> Sample:
        values: list[npt.NDArray[np.float32] | None] = []
        epsilon = 0.0
        for s in self.slices:
            place = self._place(s, tensors)
            if place is None:
                values.append(None)
                continue
            file, start, stop = place
            block = next(d[start - a : stop - a] for (a, b), d in zip(asked[file], data[file], strict=True) if a <= start and stop <= b)
            dtype = tensors[s.tensor].dtype
            values.append(_decode(block, dtype))
            epsilon = max(epsilon, _EPSILON[dtype])
        return Sample(step, values, epsilon)
