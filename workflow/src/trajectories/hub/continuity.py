"""Which checkpoints of a run are out of line in time, told by a few of their tensors.

Training moves weights little by little, so of three checkpoints in a row a, b, c the middle one lies between the others. Its **bend**

    (|a - b| + |b - c|) / |a - c|

is 1 where weights drift straight, at most √2 where steps do not turn back on one another (then |a - c|² ≥ |a - b|² + |b - c|²), whatever
the distances in time and the learning rates are, and 2 for a process without memory, which is as far from its neighbours as these are from
one another. Weights from k checkpoints away bend a diffusing run by √(2k) (for k = 1 they are the neighbour's own file, which hashes find),
and weights of another run by far more. A checkpoint is out of line if its bend exceeds :data:`BEND` times the larger of √2 and the median
bend of the eight checkpoints around it and, in runs of uneven bends, that median by five of their robust standard deviations. So at least
1.84, steps that turn back on one another with a correlation of -0.41, is asked for. The worst one is left out, and the rest compared anew.

Several wrong checkpoints in a row, a wrong first or last one, and another run's weights from some step on bend nothing; they show as a
**jump**: the distance between two neighbours against that of the checkpoints around, the median of up to three intervals on each side, of
which the larger counts (a changed learning rate is no jump), each lengthened by as much as the interval itself is longer in time. Where it
exceeds :data:`JUMP` the run is cut; pieces that follow one another without a jump once what lies between them is left out are joined again,
and all but the largest piece are out of line. A first or last checkpoint has one neighbour only, and a jump is all that can be told of it:
one that is a few checkpoints away from its place passes.

Both are medians over the tensors of one part of the weights (a window of one file), and the largest of the parts decides, so that one
replaced shard shows. Distances below rounding tell nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

BEND = 1.3
"""How many times the usual bend, or √2, is too much."""
JUMP = 4.0
"""How many times the usual distance is too much."""
_DIFFUSION = float(np.sqrt(2.0))
_AROUND = 4
_SIDE = 3
_SPREAD = 5 * 1.4826
_ROUNDING = float(1 / np.sqrt(6.0))

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


@dataclass
class _Run:
    """The checkpoints in time, and their distances."""

    samples: Sequence[Sample]
    parts: Sequence[str]
    names: list[str] = field(init=False)
    _masks: npt.NDArray[np.bool_] = field(init=False)
    _norms: list[Vector] = field(init=False)
    _distances: dict[tuple[int, int], Vector] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.names = list(dict.fromkeys(self.parts))
        self._masks = np.array([[part == name for part in self.parts] for name in self.names])
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
        """The distance by slice that rounding alone may make: the root mean square of two rounded numbers' difference."""
        return _ROUNDING * np.max([self.samples[i].epsilon * self._norms[i] for i in which], axis=0)

    def gap(self, i: int, k: int) -> int:
        return self.samples[k].step - self.samples[i].step

    def by_part(self, values: Vector) -> Vector:
        """Median over the slices of each part that tell something; none where there is no such slice."""
        told = [values[mask & np.isfinite(values)] for mask in self._masks]
        return np.array([np.median(t) if len(t) else np.nan for t in told])

    def bend(self, a: int, b: int, c: int) -> Vector:
        """The bend of ``b`` by part."""
        least = self.rounding(a, b, c)
        there = self.distance(a, b) + self.distance(b, c)
        bent = np.divide(there, np.maximum(self.distance(a, c), least), out=np.full(len(there), np.nan), where=there > 2 * least)
        return self.by_part(bent)

    def jump(self, a: int, b: int, left: Sequence[tuple[int, int]], right: Sequence[tuple[int, int]]) -> Vector:
        """The jump from ``a`` to ``b`` by part, given the intervals on either side."""
        least = self.rounding(a, b)
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


def _bent(run: _Run, live: list[int]) -> dict[int, str]:
    """Checkpoints that bend the run too much, taken out of ``live`` one by one, the worst first."""
    found: dict[int, str] = {}
    while len(live) > 2:
        bends = np.array([run.bend(*live[k - 1 : k + 2]) for k in range(1, len(live) - 1)])
        limits = _limits(bends)
        excess = [_worst(row)[0] for row in bends / limits]
        at = int(np.argmax(excess))
        if excess[at] <= 1:
            break
        accused = [at]
        for other in (at - 1, at + 1):  # two that changed places: without either the other fits
            if 0 <= other < len(excess) and excess[other] > 1:
                rest = [i for i in live if i != live[other + 1]]
                k = rest.index(live[at + 1])
                if 0 < k < len(rest) - 1 and _worst(run.bend(*rest[k - 1 : k + 2]) / limits[at])[0] <= 1:
                    accused.append(other)
        for k in accused:
            part = _worst(bends[k] / limits[k])[1]
            a, b, c = (run.samples[i].step for i in live[k : k + 3])
            found[b] = (
                f"out of line with its neighbours in time: its distances to steps {a} and {c} are together {bends[k][part]:.1f} times the "
                f"distance between those (up to {limits[k][part]:.1f} passes here), in {run.names[part]}"
            )
        gone = {live[k + 1] for k in accused}
        live[:] = [i for i in live if i not in gone]
    return found


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
