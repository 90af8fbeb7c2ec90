"""Effects of the place in several runs at once: averages over runs, contrasts of arms, and what they are worth.

A *block* is one sample of units measured in every run of an arm. An effect is a weighted sum of the blocks' coefficients of the place: one
block for an arm, two with opposite signs for a contrast. All blocks are fitted together, so units (canaries, batches) that stand in several
of them are one cluster; the variance between runs is added (:mod:`trajectories.statistics.replicates`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize
from scipy.linalg import block_diag
from scipy.special import expit
from scipy.stats import norm

from trajectories.experiments.memorization.regressions import LOGPROB, MEMORIZED
from trajectories.findings import Simulation
from trajectories.statistics.claims import MIN_EVENTS, Result
from trajectories.statistics.order_regression import Fit, firth_logistic, linear
from trajectories.statistics.replicates import over_replicates

PLACE = "position"
PRODUCT = "place × log2 exposures"
"""Name of the column that lets the effect of the place depend on the copies; centred, so that the place's own is an average."""
_ROUNDS = 30


@dataclass(frozen=True)
class Block:
    """One sample of units, measured in every run of an arm.

    Attributes:
        y: outcome [n, runs].
        x: columns [n, k] with an intercept and the place, and their names.
        names: of the columns.
        labels: cluster of each unit [n]; the same number is the same cluster in every block.
        within: whether the unit of the log-probability is its standard deviation given the columns (see :func:`unit`).
        never: where the mean outcome of never-planted canaries at each unit's checkpoint has been subtracted from ``y``: what each of them
            was given there, averaged over runs [never planted, n]; the same canaries in the same sequence in every block.
    """

    y: np.ndarray
    x: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    within: bool = False
    never: np.ndarray | None = None

    @property
    def place(self) -> np.ndarray:
        """[n]."""
        return self.x[:, self.names.index(PLACE)]

    def taken(self, units: np.ndarray, labels: np.ndarray) -> Block:
        """Some of the units, any number of times, with new labels; columns that those before them determine are left out."""
        x = self.x[units]
        left = np.abs(np.diag(np.linalg.qr(x, mode="r")))
        kept = np.flatnonzero(left > 1e-8 * np.linalg.norm(x, axis=0))
        never = None if self.never is None else self.never[:, units]
        return replace(self, y=self.y[units], x=x[:, kept], names=tuple(self.names[i] for i in kept), labels=labels, never=never)


def unit(blocks: Sequence[Block]) -> float:
    """The standard deviation of the outcome over units, in quadratic mean over all runs.

    For blocks ``within`` it is that of the residuals, given the columns. Where the design spreads an outcome (canaries with 1 and with 128
    copies), the standard deviation over all units would measure the design, and a margin that belongs to a logistic model with covariates
    would not mean what its scale says: that model's latent variable has its standard deviation given the covariates (Chinn 2000).
    """
    return float(np.sqrt(np.mean([_variance(block) for block in blocks]))) or 1.0


def _variance(block: Block) -> float:
    if not block.within:
        return float(block.y.var(axis=0, ddof=1).mean())
    coefficients, _, rank, _ = np.linalg.lstsq(block.x, block.y, rcond=None)
    residuals = block.y - block.x @ coefficients
    return float((residuals**2).sum(axis=0).mean() / max(len(residuals) - rank, 1))


def slopes(outcome: str, block: Block) -> np.ndarray:
    """The coefficient of the place in each run by itself [runs]; NaN where it cannot be fitted."""
    if outcome == MEMORIZED:
        fits = [firth_logistic(y, block.x, block.labels, block.names) for y in block.y.T]
        return np.array([fit.result(PLACE).estimate if fit.problem is None else np.nan for fit in fits])
    return np.linalg.lstsq(block.x, block.y, rcond=None)[0][block.names.index(PLACE)]


def fitted(outcome: str, blocks: Sequence[Block]) -> Fit:
    """All blocks at once, each with coefficients of its own, called ``<number>:<column>``."""
    if outcome == MEMORIZED:
        blocks = [_long(block) for block in blocks]
    y = np.concatenate([block.y.mean(axis=1) for block in blocks])
    names = tuple(f"{i}:{name}" for i, block in enumerate(blocks) for name in block.names)
    labels = np.unique(np.concatenate([block.labels for block in blocks]), return_inverse=True)[1]
    return (firth_logistic if outcome == MEMORIZED else linear)(y, block_diag(*[b.x for b in blocks]), labels, names)


def _long(block: Block) -> Block:
    """A unit's line in each run one below the other, with an intercept for every run; the mean of outcomes would be no outcome."""
    runs = block.y.shape[1]
    own = np.kron(np.eye(runs)[:, 1:], np.ones((len(block.x), 1)))
    names = (*block.names, *(f"run {r}" for r in range(1, runs)))
    return Block(block.y.T.reshape(-1, 1), np.column_stack([np.tile(block.x, (runs, 1)), own]), names, np.tile(block.labels, runs))


def effect(outcome: str, blocks: Sequence[Block], weights: Sequence[float] = (1.0,), scale: float | None = None) -> Result:
    """A weighted sum of the blocks' effects of the place.

    Args:
        outcome: ``memorized`` gives log odds; anything else a difference of means.
        blocks: see :class:`Block`.
        weights: of the blocks.
        scale: what the difference of means is divided by; by default :func:`unit` for ``logprob``, else 1.

    Returns:
        ``n`` counts units times runs. A binary outcome needs 20 clusters with and 20 without an event, whatever the number of runs.
    """
    if scale is None:
        scale = unit(blocks) if outcome == LOGPROB else 1.0
    result = fitted(outcome, blocks).combined({f"{i}:{PLACE}": w for i, w in enumerate(weights)}, scale)
    if outcome == MEMORIZED and result.problem is None:
        few = _rare(blocks)
        result = replace(result, problem=few) if few else result
    result = replace(result, n=sum(block.y.size for block in blocks))
    if all(block.never is not None for block in blocks):
        result = over_replicates(result, [(1.0, _through(blocks, weights) / scale)], "never-planted canaries")
    return over_replicates(result, [(w, slopes(outcome, block) / scale) for w, block in zip(weights, blocks, strict=True)])


def _through(blocks: Sequence[Block], weights: Sequence[float]) -> np.ndarray:
    """What each never-planted canary contributes to the weighted sum of slopes, through the mean that was subtracted [never planted]."""
    parts = [
        w * block.never @ np.linalg.pinv(block.x)[block.names.index(PLACE)]
        for w, block in zip(weights, blocks, strict=True)
        if block.never is not None
    ]
    return np.sum(parts, axis=0)


def by_mix(block: Block, copies: np.ndarray) -> list[tuple[str, Result]]:
    """The effect of the place on the log-probability among canaries with few and with many copies, in the whole block's unit.

    Args:
        block: of canaries.
        copies: of each [n].

    Returns:
        Half of the canaries each, divided at the median number of copies; nothing where they have one number of copies.
    """
    cut = np.quantile(copies, 0.5, method="lower")
    if not (copies > cut).any():
        cut = np.max(copies[copies < cut], initial=0)
    few = copies <= cut
    if not few.any() or few.all():
        return []
    parts = ((f"at most {cut:g} copies", few), (f"more than {cut:g} copies", ~few))
    scale = unit([block])
    own = np.array([name != PRODUCT for name in block.names])  # it is centred over all canaries, not over one half
    block = replace(block, x=block.x[:, own], names=tuple(name for name in block.names if name != PRODUCT))
    taken = [(name, block.taken(np.flatnonzero(mine), block.labels[mine])) for name, mine in parts]
    return [(name, effect(LOGPROB, [part], scale=scale)) for name, part in taken if len(part.y) > part.x.shape[1] + 1]


def mix(parts: Sequence[tuple[str, Result]]) -> str:
    """The caveat that an average slope belongs to this mix of copies, with the slopes of :func:`by_mix`."""
    if not parts:
        return ""
    each = " and ".join(f"{r.estimate:.2f} ({r.ci_low:.2f} to {r.ci_high:.2f}) among those with {name}" for name, r in parts)
    return f"The slope is an average over the canaries planted and depends on the mix of their copies: it is {each}."


def _rare(blocks: Sequence[Block]) -> str | None:
    for block in blocks:
        events, others = (len(np.unique(block.labels[(block.y == value).any(axis=1)])) for value in (1, 0))
        if min(events, others) < MIN_EVENTS:
            what = "an event in any run" if events < others else "a run without an event"
            return f"only {min(events, others)} clusters have {what}, and a verdict needs {MIN_EVENTS}"
    return None


def simulation(outcome: str, blocks: Sequence[Block], weights: Sequence[float] = (1.0,), correlation: float = 0.0) -> Simulation:
    """The simulated analysis of an effect: (generator, true effect on the claim's scale) → result.

    Clusters are drawn with replacement, jointly for all blocks; so are the never-planted canaries whose mean has been subtracted.
    Differences of means: units keep their real residuals in all runs. Binary
    outcomes are drawn from the fitted odds, with a normal latent variable that a cluster shares. Every run's slope deviates from the true
    one by a normal draw with the standard deviation of the real runs' slopes.

    Args:
        correlation: binary outcomes: within-cluster correlation of the latent variable.
    """
    every = np.unique(np.concatenate([block.labels for block in blocks]))
    members = [[np.flatnonzero(block.labels == c) for c in every] for block in blocks]
    own = [slopes(outcome, block) for block in blocks]
    spread = [float(np.nanstd(s, ddof=1)) if np.isfinite(s).sum() > 1 else 0.0 for s in own]
    share = np.array(weights) / np.square(weights).sum()
    planted = (_odds if outcome == MEMORIZED else _means)(outcome, blocks, own, share)

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        picked = generator.integers(0, len(every), len(every))
        drawn = []
        controls: np.ndarray | None = None
        for i, block in enumerate(blocks):
            units = np.concatenate([members[i][c] for c in picked])
            labels = np.repeat(np.arange(len(picked)), [len(members[i][c]) for c in picked])
            deviation = generator.normal(0.0, spread[i], size=block.y.shape[1:])
            y = planted(i, truth, deviation)
            if outcome == MEMORIZED:
                p = y[units]
                shared = generator.standard_normal(len(picked))[labels][:, None]
                latent = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * generator.standard_normal(p.shape)
                drawn.append(replace(block.taken(units, labels), y=(norm.cdf(latent) < p).astype(float)))
            else:
                never = block.never
                if never is not None:
                    controls = generator.integers(0, len(never), len(never)) if controls is None else controls
                    y = y - (never[controls].mean(axis=0) - never.mean(axis=0))[:, None]
                    never = never[controls]
                drawn.append(replace(block, y=y, never=never).taken(units, labels))
        return effect(outcome, drawn, weights)

    return simulate


_Planted = Callable[[int, float, np.ndarray], np.ndarray]


def _means(outcome: str, blocks: Sequence[Block], own: Sequence[np.ndarray], share: np.ndarray) -> _Planted:
    flat = [block.y - np.outer(block.place, slope) for block, slope in zip(blocks, own, strict=True)]
    known: dict[float, float] = {}

    def planted(i: int, truth: float, deviation: np.ndarray) -> np.ndarray:
        if truth not in known:  # the slope is a multiple of the outcome's own spread, which it widens
            size = 1.0
            for _ in range(_ROUNDS if outcome == LOGPROB else 1):
                shifted = [replace(b, y=f + truth * size * w * b.place[:, None]) for b, f, w in zip(blocks, flat, share, strict=True)]
                size = unit(shifted) if outcome == LOGPROB else 1.0
            known[truth] = truth * size
        return flat[i] + np.outer(blocks[i].place, known[truth] * share[i] + deviation)

    return planted


def _odds(outcome: str, blocks: Sequence[Block], own: Sequence[np.ndarray], share: np.ndarray) -> _Planted:
    fit = fitted(outcome, blocks)
    base, start = [], 0
    for block in blocks:  # the linear predictor without the place, [n, runs]
        long = _long(block)
        coefficients = fit.coefficients[start : start + long.x.shape[1]].copy()
        coefficients[long.names.index(PLACE)] = 0.0
        base.append((long.x @ coefficients).reshape(block.y.shape[1], -1).T)
        start += long.x.shape[1]
    known: dict[tuple[int, float], float] = {}

    def planted(i: int, truth: float, deviation: np.ndarray) -> np.ndarray:
        place, slope = blocks[i].place[:, None], truth * share[i]
        if (i, truth) not in known:  # the event rate stays that of the real sample
            rate = float(blocks[i].y.mean())
            known[i, truth] = float(optimize.brentq(lambda a: expit(base[i] + a + slope * place).mean() - rate, -1000, 1000))
        # a run's deviation turns its line about the middle of the places, so that its event rate stays as well
        return expit(base[i] + known[i, truth] + slope * place + deviation * (place - place.mean()))

    return planted
