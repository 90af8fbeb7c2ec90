"""Published benchmarks: accuracy of a run by task over training, and what is asked of such a course."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources

import numpy as np
import pandas as pd
from scipy import special

from trajectories.experiments.knowledge.hypotheses import declare
from trajectories.experiments.knowledge.sections import BenchmarkSettings
from trajectories.statistics.acquisition import Criterion
from trajectories.statistics.claims import Claim, Result

RISES, DECLINES, SOONER = "benchmarks-rise-late", "benchmark-declines-late", "larger-reaches-level-sooner"
MMLU = "MMLU"
LEAST_CHECKPOINTS, LEAST_TASKS = 4, 3
CAUTIOUS = "binomial error of unpaired items (cautious)"
POINTS, LOG_TOKENS = "accuracy per tenfold tokens", "log10 ratio of tokens"


def known() -> pd.DataFrame:
    """The benchmarks: ``task`` (a pattern), ``title``, ``chance`` (NaN where guessing has no level), ``decides`` (takes part in claims)."""
    return _csv("benchmarks.csv")


def titled(tasks: pd.Series) -> pd.DataFrame:
    """For each name of a task its ``title``, ``chance``, ``decides`` and ``category`` (of MMLU's subjects: Hendrycks et al. 2021)."""
    facts, subjects = known(), _csv("mmlu.csv").set_index("subject")["category"]
    rows = {}
    for task in tasks.unique():
        match = next((r for r in facts.itertuples() if fnmatchcase(task, str(r.task))), None)
        rows[task] = (
            (match.title, match.chance, match.decides, subjects.get(task.partition("-")[2])) if match else (None, math.nan, False, None)
        )
    return pd.DataFrame([rows[task] for task in tasks], columns=["title", "chance", "decides", "category"], index=tasks.index)


def _csv(name: str) -> pd.DataFrame:
    with resources.files(__package__).joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file)


@dataclass(frozen=True)
class Course:
    """Accuracy of one run on several tasks at the checkpoints that have all of them.

    Attributes:
        model: its name.
        steps: [c], ascending. tokens: [c], tokens seen, above 0.
        tasks: [t], titles.
        accuracy: [c, t]. items: [t]. chance: [t], NaN where guessing has no level.
    """

    model: str
    steps: np.ndarray
    tokens: np.ndarray
    tasks: list[str]
    accuracy: np.ndarray
    items: np.ndarray
    chance: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, tokens: pd.Series) -> Course:
        """From rows ``model, step, title, value, n, chance`` of one model and number of shots; ``tokens`` by step."""
        wide = table[table["step"].map(tokens) > 0].pivot(index="step", columns="title", values="value").sort_index()
        wide = wide.loc[:, wide.iloc[-1].notna()].dropna() if len(wide) else wide
        facts = table.drop_duplicates("title").set_index("title").reindex(wide.columns)
        steps = wide.index.to_numpy(dtype=np.int64)
        seen = tokens.reindex(steps).to_numpy(dtype=float)
        n, chance = facts["n"].to_numpy(dtype=float), facts["chance"].to_numpy(dtype=float)
        return cls(str(table["model"].iloc[0]), steps, seen, [str(c) for c in wide.columns], wide.to_numpy(dtype=float), n, chance)

    def late(self, window: float) -> np.ndarray:
        """bool [c]: the checkpoints of late training."""
        return self.tokens >= self.tokens[-1] / window * (1 - 1e-9)

    def slopes(self, window: float) -> tuple[np.ndarray, np.ndarray]:
        """Least-squares slope of each task's accuracy on log10 tokens in late training [t], and its residuals [late c, t]."""
        late = self.late(window)
        x = _centred(self.tokens[late])
        y = self.accuracy[late] - self.accuracy[late].mean(0)
        slope = x @ y / max(float(x @ x), 1e-300)
        return slope, y - np.outer(x, slope)


def claims(settings: BenchmarkSettings) -> dict[str, Claim]:
    """The claims on published benchmarks by id."""
    found = [
        declare(
            RISES,
            "Accuracy on benchmarks rises with the logarithm of the tokens seen up to the end of training.",
            f"From a {_nth(settings.window)} of the tokens on, the slope of accuracy per tenfold tokens, the mean over these tasks, "
            f"exceeds {settings.rise_margin:.3f}.",
            "Saturation: a model of that size has learnt by then what it can (Godey et al. 2024), and what it gains later on one task it "
            "loses on another.",
            "slope_accuracy",
            POINTS,
            settings.rise_margin,
        ),
        declare(
            DECLINES,
            "A benchmark that was learnt is lost again in part before training ends.",
            f"Mean accuracy in the last third of training is more than {settings.decline_margin:.3f} below that in the middle third.",
            "Wiggles: a high checkpoint among the earlier ones makes the later ones look low; whole thirds do not differ.",
            "accuracy",
            "change of accuracy",
            settings.decline_margin,
            sided="less",
            role="descriptive",
        ),
        declare(
            SOONER,
            "Larger models reach a level in fewer tokens.",
            "Halfway between chance and the smallest model's own final accuracy is reached in fewer tokens: the log10 ratio, the mean over "
            f"tasks, exceeds {settings.sooner_margin:.2f}.",
            "Both learn at one pace and the larger one only goes on for longer, so that early checkpoints of all sizes are alike.",
            "acquisition",
            LOG_TOKENS,
            settings.sooner_margin,
            role="descriptive",
        ),
    ]
    return {claim.id: claim for claim in found}


def _nth(window: float) -> str:
    return {10.0: "tenth", 100.0: "hundredth"}.get(window, f"{1 / window:.0%}")


def rise(course: Course, settings: BenchmarkSettings) -> Result:
    """Mean over tasks of the slope of accuracy on log10 tokens in late training; the tasks and the run are given, items are the sample.

    A slope is the mean of the later checkpoints less that of the earlier ones, each weighted by its distance from the middle, times a
    factor. Its error is taken as if the two means were of different items and of one checkpoint each. Answers to an item correlate
    positively over checkpoints, so this can only be too large, and nothing is assumed about how checkpoints depend on each other.
    """
    late, count = course.late(settings.window), len(course.tasks)
    facts: dict[str, object] = {
        "n": int(course.items.sum()),
        "method": "mean of the tasks' slopes, binomial error of unpaired items (cautious)",
    }
    if late.sum() < LEAST_CHECKPOINTS:
        return Result(math.nan, problem=f"late training has {late.sum()} checkpoints, fewer than {LEAST_CHECKPOINTS}", **facts)  # type: ignore[arg-type]
    x = _centred(course.tokens[late])
    weight, accuracy = x / (x @ x), course.accuracy[late]
    reach = np.abs(weight).sum() / 2
    variance = np.zeros(count)
    for side in (weight > 0, weight < 0):
        mean = np.abs(weight[side]) @ accuracy[side] / reach
        variance += mean * (1 - mean)
    stderr = float(np.sqrt((reach**2 * variance / course.items).sum()) / count)
    return Result(float((weight @ accuracy).mean()), stderr, **facts)  # type: ignore[arg-type]


def _centred(tokens: np.ndarray) -> np.ndarray:
    x = np.log10(tokens)
    return x - x.mean()


def over_tasks(values: np.ndarray, facts: dict[str, object]) -> Result:
    """Mean over tasks with Student's t."""
    count = len(values)
    if count < LEAST_TASKS:
        return Result(math.nan, problem=f"there are {count} tasks, fewer than {LEAST_TASKS}", **facts)  # type: ignore[arg-type]
    return Result(float(values.mean()), float(values.std(ddof=1) / math.sqrt(count)), count - 1, **facts)  # type: ignore[arg-type]


def thirds(course: Course) -> tuple[np.ndarray, np.ndarray]:
    """bool [c] each: the middle and the last third of training."""
    share = course.tokens / course.tokens[-1]
    return (share > 1 / 3) & (share <= 2 / 3), share > 2 / 3


def change(middle: float, last: float, items: float) -> Result:
    """Difference of two mean accuracies on the same items.

    The error is that of two samples of as many different items with a single checkpoint each. Items are the same and the means are over
    checkpoints, and both can only make it smaller, however checkpoints depend on each other.
    """
    stderr = math.sqrt(max(middle * (1 - middle) + last * (1 - last), 1e-12) / items)
    return Result(
        last - middle, stderr, n=int(items), method="difference of the thirds' means, binomial error of unpaired items (cautious)"
    )


def decline(course: Course, task: str) -> Result:
    """Change of mean accuracy on a task from the middle to the last third of training."""
    middle, last = thirds(course)
    column = course.tasks.index(task)
    if not (middle.any() and last.any()):
        return Result(math.nan, n=int(course.items[column]), problem="the middle or the last third of training has no checkpoint")
    one = course.accuracy[:, column]
    return change(float(one[middle].mean()), float(one[last].mean()), float(course.items[column]))


def reached(tokens: np.ndarray, accuracy: np.ndarray, level: float) -> tuple[float, bool]:
    """Tokens at which accuracy reaches a level for good, on a straight line in log tokens between two checkpoints.

    Returns:
        Tokens and whether they are known: the first checkpoint's, not known, if it is above; infinite if the last one is below.
    """
    below = np.flatnonzero(accuracy < level)
    if len(below) == 0:
        return float(tokens[0]), False
    before = int(below[-1])
    if before == len(tokens) - 1:
        return math.inf, True
    x, y = np.log10(tokens[before : before + 2]), accuracy[before : before + 2]
    return float(10 ** (x[0] + (level - y[0]) / (y[1] - y[0]) * (x[1] - x[0]))), True


def head_starts(course: Course, small: Course, settings: BenchmarkSettings) -> dict[str, float]:
    """By task that the smaller model learns: log10 of its tokens over the larger one's at the smaller one's halfway level.

    Tasks whose level one of the two has reached before its first checkpoint, or the smaller one does not keep, are left out; a larger one
    that does not keep it counts as reaching it at its last checkpoint. Where guessing has no level, chance is 0.
    """
    found = {}
    for i, task in enumerate(small.tasks):
        if task not in course.tasks:
            continue
        chance = 0.0 if math.isnan(small.chance[i]) else float(small.chance[i])
        criterion = Criterion("midway", chance, settings.least_gain)
        final = float(criterion.final_level(small.accuracy[:, i]))
        if final < chance + settings.least_gain:
            continue
        level = (final + chance) / 2
        slow, told = reached(small.tokens, small.accuracy[:, i], level)
        if not told or math.isinf(slow):
            continue
        fast, told = reached(course.tokens, course.accuracy[:, course.tasks.index(task)], level)
        if not told:
            continue
        found[task] = math.log10(slow / min(fast, float(course.tokens[-1])))
    return found


def answers(generator: np.random.Generator, levels: np.ndarray, items: int, stays: float = 0.8) -> np.ndarray:
    """Shares of right answers [c] by checkpoints whose true accuracies are ``levels``, on one sample of items of differing difficulty.

    What decides about an item is normal and correlates by ``stays`` between any two checkpoints.
    """
    luck = generator.standard_normal((len(levels), items), dtype=np.float32)
    ease = math.sqrt(stays) * generator.standard_normal(items, dtype=np.float32) + math.sqrt(1 - stays) * luck
    return (ease < special.ndtri(np.clip(levels, 0, 1)).astype(np.float32)[:, None]).mean(1)


def simulated_rise(generator: np.random.Generator, effect: float, course: Course, settings: BenchmarkSettings) -> Result:
    """The whole analysis on new items, answered by a run like the real one whose mean slope is ``effect``; its wiggles are kept."""
    slope, residual = course.slopes(settings.window)
    late = course.late(settings.window)
    levels = course.accuracy[late].mean(0) + np.outer(_centred(course.tokens[late]), slope - slope.mean() + effect) + residual
    drawn = np.stack([answers(generator, level, int(n)) for level, n in zip(levels.T, course.items, strict=True)], axis=1)
    kept = Course(course.model, course.steps[late], course.tokens[late], course.tasks, drawn, course.items, course.chance)
    return rise(kept, settings)


def simulated_decline(generator: np.random.Generator, effect: float, course: Course, task: str) -> Result:
    """The whole analysis on new items, answered by a run whose last third differs from its middle by ``effect``."""
    middle, last = thirds(course)
    column = course.tasks.index(task)
    items, base = int(course.items[column]), float(course.accuracy[middle, column].mean())
    drawn = answers(generator, np.repeat([base, base + effect], [middle.sum(), last.sum()]), items)
    return change(float(drawn[: middle.sum()].mean()), float(drawn[middle.sum() :].mean()), items)


def simulated_head_start(generator: np.random.Generator, effect: float, starts: np.ndarray) -> Result:
    """The decision on as many tasks, whose head starts spread as the real ones do around ``effect``."""
    return over_tasks(generator.normal(effect, starts.std(ddof=1), len(starts)), head_start_facts(len(starts)))


def head_start_facts(count: int) -> dict[str, object]:
    """What a result on head starts says of itself."""
    return {"n": count, "n_clusters": count, "method": "mean of the tasks' log10 ratios, Student's t over tasks"}
