"""Which checkpoints of a run are out of line in time, told by a few of their tensors.

Training moves weights little by little, so of three checkpoints in a row a, b, c the middle one lies between the others. Its **bend**

    (|a - b| + |b - c|) / |a - c|

is 1 where weights drift straight, at most √2 where steps do not turn back on one another (then |a - c|² ≥ |a - b|² + |b - c|²), whatever
the distances in time and the learning rates are, and 2 for noise without memory, which is as far from its neighbours as these are from one
another (up to 2.41 where its size changes at once). Weights from k checkpoints away bend a diffusing run by √(2k), weights of another run
by far more. The same is looked at for up to ten checkpoints in a row, with the first and the last of them in place of b. They are out of
line if their bend exceeds :data:`BEND` times the larger of √2 and the median bend of the eight checkpoints around and, in runs of uneven
bends, that median by five of their robust standard deviations: at least 2, and 2.83 in noise without memory. The worst are left out and the
rest is compared anew. Where leaving out others nearby would do as well, those are accused that are fewest, and all that are as few.

Longer rows of wrong checkpoints, a wrong first or last one, and another run's weights from some step on bend nothing; they show as a
**jump**: the distance between two neighbours against that of the checkpoints around, the median of up to three intervals on each side, of
which the larger counts (a changed learning rate is no jump), each lengthened by as much as the interval itself is longer in time. One side
must have all three, so runs of fewer than five checkpoints have no jumps. Where it exceeds :data:`JUMP` the run is cut; pieces that follow
one another without a jump once what lies between them is left out are joined again, and all but the largest piece are out of line. A first
or last checkpoint has one neighbour only, and a jump is all that can be told of it: one that is a few checkpoints away from its place
passes.

Both are medians over the tensors of one part of the weights (matrices in one place of a file, or a file's vectors), and the largest of the
parts decides, so that one replaced shard shows. Distances as small as rounding tell nothing and are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

BEND = float(np.sqrt(2.0))
"""How many times the usual bend, or √2, is too much."""
NEARLY = 0.9
"""Share of the largest bend that passes, from which on a checkpoint may be accused in place of one that bends too much."""
LONGEST = 10
"""Checkpoints in a row whose bend is looked at (and no more than a third of the run)."""
JUMP = 4.0
"""How many times the usual distance is too much."""
_DIFFUSION = float(np.sqrt(2.0))
_AROUND = 4
_SIDE = 3
_SPREAD = 5 * 1.4826

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What was read of one checkpoint.

    Attributes:
        step: its training step.
        values: one array by slice, or None where it has no such tensor; the same slices for all checkpoints of a run.
        epsilon: distance between 1 and the next number of the stored type, which says what is rounding.
    """

    step: int
    values: Sequence[npt.NDArray[np.float32] | None]
    epsilon: float

    @property
    def finite(self) -> bool:
        """Whether no value is infinite or none."""
        return all(v is None or bool(np.isfinite(v).all()) for v in self.values)

    def digests(self, parts: Sequence[str], wanted: Sequence[bool]) -> dict[str, str]:
        """A hash of the wanted slices by part, for the parts that have one."""
        found: dict[str, Any] = {}
        for value, part, counts in zip(self.values, parts, wanted, strict=True):
            if counts and value is not None:
                found.setdefault(part, hashlib.sha256()).update(value.tobytes())
        return {part: total.hexdigest() for part, total in found.items()}


@dataclass
class _Run:
    """The checkpoints in time, and their distances."""

    samples: Sequence[Sample]
    parts: Sequence[str]
    names: list[str] = field(init=False)
    _places: list[npt.NDArray[np.intp]] = field(init=False)
    _norms: list[Vector] = field(init=False)
    _distances: dict[tuple[int, int], Vector] = field(init=False, default_factory=dict)
    _bends: dict[tuple[int, int, int, int], Vector] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.names = list(dict.fromkeys(self.parts))
        self._places = [np.array([i for i, part in enumerate(self.parts) if part == name]) for name in self.names]
        self._norms = [np.array([np.nan if v is None else np.linalg.norm(v.astype(float)) for v in s.values]) for s in self.samples]

    def distance(self, i: int, k: int) -> Vector:
        """Euclidean distance by slice; none where one of the two lacks it."""
        if (i, k) not in self._distances:
            pairs = zip(self.samples[i].values, self.samples[k].values, strict=True)
            self._distances[i, k] = np.array(
                [np.nan if v is None or w is None else np.linalg.norm(v.astype(float) - w.astype(float)) for v, w in pairs]
            )
        return self._distances[i, k]

    def rounding(self, *which: int) -> Vector:
        """The distance by slice that rounding alone may make: one unit in the last place of every number."""
        return np.asarray(np.max([self.samples[i].epsilon * self._norms[i] for i in which], axis=0))

    def gap(self, i: int, k: int) -> int:
        return self.samples[k].step - self.samples[i].step

    def by_part(self, values: Vector) -> Vector:
        """Median over the slices of each part that tell something; none where there is no such slice."""
        told = [values[own][np.isfinite(values[own])] for own in self._places]
        return np.array([np.median(t) if len(t) else np.nan for t in told])

    def bend(self, a: int, first: int, last: int, c: int) -> Vector:
        """The bend by part of the checkpoints from ``first`` to ``last``, between ``a`` and ``c``."""
        if (a, first, last, c) not in self._bends:
            least = self.rounding(a, first, last, c)
            there = self.distance(a, first) + self.distance(last, c)
            bent = np.divide(there, np.maximum(self.distance(a, c), least), out=np.full(len(there), np.nan), where=there > 2 * least)
            self._bends[a, first, last, c] = self.by_part(bent)
        return self._bends[a, first, last, c]

    def stalls(self, live: Sequence[int], k: int) -> bool:
        """Whether the ``k``-th and the next one of some checkpoints are as good as the same, against the distances on either side."""
        pairs = list(pairwise(live))
        near = [pairs[j] for j in (k - 1, k + 1) if 0 <= j < len(pairs)]
        least = self.rounding(*pairs[k])
        usual = np.min([self.distance(*pair) for pair in near], axis=0) if near else least
        share = np.divide(self.distance(*pairs[k]), usual, out=np.full(len(usual), np.nan), where=usual > least)
        return bool(np.any(self.by_part(share) < 1 / JUMP))

    def jump(self, a: int, b: int, left: Sequence[tuple[int, int]], right: Sequence[tuple[int, int]]) -> Vector:
        """The jump from ``a`` to ``b`` by part, given the intervals on either side."""
        least = self.rounding(a, b)
        if max(len(left), len(right)) < _SIDE:  # a cosine schedule alone makes a first interval several times as long as the last ones
            return np.full(len(self.names), np.nan)
        sides = []
        for side in (left, right):
            usual = [self.distance(i, k) * max(1.0, self.gap(a, b) / self.gap(i, k)) for i, k in side]
            if usual:
                sides.append(np.sort(usual, axis=0)[(len(usual) - 1) // 2])
        if not sides:
            return np.full(len(self.names), np.nan)
        moved = self.distance(a, b)
        usual_here = np.maximum(np.max(sides, axis=0), least)
        return self.by_part(np.divide(moved, usual_here, out=np.full(len(moved), np.nan), where=moved > least))


def _worst(values: Vector) -> tuple[float, int]:
    """The largest number and its place; ``(0.0, 0)`` if there is none."""
    return (0.0, 0) if np.isnan(values).all() else (float(np.nanmax(values)), int(np.nanargmax(values)))


def _limits(bends: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The largest bend that passes, by checkpoint (row) and part, from the others around it."""
    limits = np.empty_like(bends)
    for row in range(len(bends)):
        near = sorted((k for k in range(len(bends)) if k != row), key=lambda k: abs(k - row))[: 2 * _AROUND]
        logs = np.log(bends[near])
        for part in range(bends.shape[1]):
            told = logs[np.isfinite(logs[:, part]), part]
            middle = np.median(told) if len(told) else 0.0
            spread = np.median(np.abs(told - middle)) if len(told) else 0.0
            limits[row, part] = max(BEND * max(_DIFFUSION, np.exp(middle)), np.exp(middle + _SPREAD * spread))
    return limits


def _excess(run: _Run, live: Sequence[int], limits: npt.NDArray[np.float64], first: int, last: int) -> tuple[float, int]:
    """How many times the bend of ``live[first:last + 1]`` is what passes, and the part that shows it most."""
    usual = np.max([limits[live[k]] for k in range(first, last + 1)], axis=0)
    return _worst(run.bend(live[first - 1], live[first], live[last], live[last + 1]) / usual)


def _blocks(count: int, low: int = 0, high: int | None = None) -> list[tuple[int, int]]:
    """First and last place of everything that may be out of line among so many checkpoints, between two places."""
    longest = max(1, min(LONGEST, count // 3))
    stop = count - 1 if high is None else min(high, count - 1)
    return [(i, i + m) for i in range(max(1, low), stop) for m in range(longest) if i + m < stop]


def _bent(run: _Run, live: list[int]) -> dict[int, str]:
    """Checkpoints that bend the run too much, taken out of ``live`` one by one, the worst first."""
    found: dict[int, str] = {}
    while len(live) > 2:
        limits = np.full((len(run.samples), len(run.names)), np.nan)
        limits[live[1:-1]] = _limits(np.array([run.bend(a, b, b, c) for a, b, c in zip(live, live[1:], live[2:], strict=False)]))
        excess = {block: _excess(run, live, limits, *block)[0] for block in _blocks(len(live))}
        worst = max(excess, key=lambda block: excess[block])
        if excess[worst] <= 1:
            break
        gone = set()
        for first, last in _accused(run, live, limits, excess, worst):
            part = _excess(run, live, limits, first, last)[1]
            size = run.bend(live[first - 1], live[first], live[last], live[last + 1])[part]
            usual = max(limits[live[k]][part] for k in range(first, last + 1))
            a, c = run.samples[live[first - 1]].step, run.samples[live[last + 1]].step
            passes = f"(up to {usual:.1f} passes here)" if size > usual else "and without it those around are in line"
            detail = (
                f"out of line with its neighbours in time: the distances to steps {a} and {c} are together {size:.1f} times the distance "
                f"between those {passes}, in {run.names[part]}"
            )
            found |= {run.samples[i].step: detail for i in live[first : last + 1]}
            gone |= set(live[first : last + 1])
        live[:] = [i for i in live if i not in gone]
    return found


def _accused(
    run: _Run, live: Sequence[int], limits: npt.NDArray[np.float64], excess: dict[tuple[int, int], float], worst: tuple[int, int]
) -> list[tuple[int, int]]:
    """The shortest of what may be left out so that the worst is explained; those that bend too much themselves before others as short."""
    near = [block for block in excess if block[0] <= worst[1] + 1 and block[1] >= worst[0] - 1]
    for length in range(worst[1] - worst[0] + 2):
        for low, high in ((1.0, np.inf), (NEARLY, 1.0)):
            alike = [o for o in near if o[1] - o[0] == length and low < excess[o] <= high]
            if enough := [block for block in alike if _fits(run, live, limits, block, worst)]:
                return enough  # any of them may be the wrong one
    return [worst]


def _fits(run: _Run, live: Sequence[int], limits: npt.NDArray[np.float64], block: tuple[int, int], worst: tuple[int, int]) -> bool:
    """Whether nothing around the worst is out of line any more without the checkpoints of a block, and none remains twice."""
    first, last = block
    rest = [*live[:first], *live[last + 1 :]]
    around = _blocks(len(rest), min(first, worst[0]) - 2, max(last, worst[1]) + 3)
    return not run.stalls(rest, first - 1) and all(_excess(run, rest, limits, *block)[0] <= 1 for block in around)


def _seams(run: _Run, live: list[int]) -> dict[int, tuple[float, int]]:
    """Where the run is cut: number of the interval to the size of the jump and its part."""
    pairs = list(pairwise(live))
    seams: dict[int, tuple[float, int]] = {}
    while True:
        before = len(seams)
        whole = [k for k in range(len(pairs)) if k not in seams]
        for k in whole:
            left = [pairs[j] for j in whole if j < k][-_SIDE:]
            right = [pairs[j] for j in whole if j > k][:_SIDE]
            size, part = _worst(run.jump(*pairs[k], left, right))
            if size > JUMP:
                seams[k] = (size, part)
        if len(seams) == before:
            return seams


def _apart(run: _Run, live: list[int]) -> dict[int, str]:
    """Checkpoints outside the largest piece of the run between jumps."""
    seams = _seams(run, live)
    if not seams:
        return {}
    cuts = [0, *(k + 1 for k in sorted(seams)), len(live)]
    pieces = [live[i:k] for i, k in pairwise(cuts)]
    inner = [list(pairwise(piece)) for piece in pieces]
    cluster = list(range(len(pieces)))
    for i in range(len(pieces)):
        for k in range(i + 2, len(pieces)):
            left, right = list(chain(*inner[: i + 1]))[-_SIDE:], list(chain(*inner[k:]))[:_SIDE]
            sizes = run.jump(pieces[i][-1], pieces[k][0], left, right)
            if not np.isnan(sizes).all() and _worst(sizes)[0] <= JUMP:
                cluster = [cluster[i] if c == cluster[k] else c for c in cluster]
    sizes_of = {c: sum(len(piece) for piece, own in zip(pieces, cluster, strict=True) if own == c) for c in cluster}
    right_one = max(reversed(cluster), key=lambda c: sizes_of[c])  # of two as large the later one
    found: dict[int, str] = {}
    for number, piece in enumerate(pieces):
        if cluster[number] == right_one:
            continue
        beside = [cuts[number] - 1] if number else []
        beside += [cuts[number + 1] - 1] if number + 1 < len(pieces) else []
        k = max(beside, key=lambda j: seams[j][0])
        a, b = run.samples[live[k]].step, run.samples[live[k + 1]].step
        size, part = seams[k]
        detail = (
            f"not of one run with the rest: it breaks between steps {a} and {b}, whose distance is {size:.1f} times what is usual "
            f"around them (up to {JUMP:.1f} passes), in {run.names[part]}; this side of the break is the smaller one "
            f"({sizes_of[cluster[number]]} of {len(live)} checkpoints)"
        )
        found |= {run.samples[i].step: detail for i in piece}
    return found


def out_of_line(samples: Sequence[Sample], parts: Sequence[str]) -> dict[int, str]:
    """The checkpoints of one run that are out of line in time, with the evidence.

    Args:
        samples: of the checkpoints that are not known to be wrong by other means, in any order; at least three for anything to be told.
        parts: which part of the weights each slice is of, in a few words.

    Returns:
        Step to a phrase with the numbers that speak against it.
    """
    ordered = sorted(samples, key=lambda s: s.step)
    found = {s.step: "holds values that are not finite" for s in ordered if not s.finite}
    run = _Run([s for s in ordered if s.step not in found], parts)
    live = list(range(len(run.samples)))
    found |= _bent(run, live)
    found |= _apart(run, live)
    return dict(sorted(found.items()))
