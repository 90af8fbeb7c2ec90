"""Models that differ in nothing but the sequence of their rows, the course of their learning rate, and the seed: the arms of a trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trajectories.experiments.memorization.run import Run
from trajectories.suites import Model, Suite


@dataclass(frozen=True, eq=False)  # two arms are the same if they are one object
class Arm:
    """Runs of one order at one course of the learning rate, which differ in the seed.

    Attributes:
        order: name of the order.
        reversed: whether it shows another order's rows from the last to the first.
        schedule: the suite's name of the learning rate's course.
        runs: one per seed, each reduced to its last checkpoint or not.
    """

    order: str
    reversed: bool
    schedule: str
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """As claims show it in ``group``."""
        return f"{self.order}, {self.schedule}"

    @property
    def model(self) -> str:
        """The model that claims about the arm are filed under: its first."""
        return self.runs[0].model.name


@dataclass(frozen=True)
class Trial:
    """Arms whose models have the same size, length, and rows.

    Attributes:
        arms: at least two, the straight order before the reversed one, in the suite's sequence of models.
    """

    arms: tuple[Arm, ...]

    @property
    def schedules(self) -> list[str]:
        """The courses of the learning rate, each once."""
        return list(dict.fromkeys(arm.schedule for arm in self.arms))

    def both_orders(self, schedule: str) -> tuple[Arm, Arm] | None:
        """The straight and the reversed arm of a course of the learning rate, or None unless there are both."""
        straight = [arm for arm in self.arms if arm.schedule == schedule and not arm.reversed]
        turned = [arm for arm in self.arms if arm.schedule == schedule and arm.reversed]
        return (straight[0], turned[0]) if straight and turned else None


def base_order(suite: Suite, name: str) -> str:
    """The order whose rows an order shows from the last to the first, where the suite has it; else the order itself."""
    order = suite.orders.get(name)
    if order is None or not order.reversed:
        return name
    straight = order.model_copy(update={"reversed": False})
    return next((other for other, found in suite.orders.items() if found == straight), name)


def cells(suite: Suite) -> dict[tuple[object, ...], list[Model]]:
    """Models that a trial may compare, by what they share; branches and models without an order are in none."""
    found: dict[tuple[object, ...], list[Model]] = {}
    for model in suite.models:
        if model.parent is None and model.order is not None and model.schedule is not None:
            shape = (model.layers, model.width, model.heads, model.steps_total, model.rows_per_step, model.learning_rate)
            found.setdefault((base_order(suite, model.order), *shape), []).append(model)
    return {key: models for key, models in found.items() if len({(m.order, m.schedule) for m in models}) > 1}


def trials(runs: Sequence[Run], suite: Suite) -> Iterator[Trial]:
    """The trials among a suite's runs; none where models differ in neither the direction of their order nor the learning rate's course."""
    by_name = {run.model.name: run for run in runs}
    for models in cells(suite).values():
        chosen = [by_name[m.name] for m in models if m.name in by_name]
        last = max((run.final for run in chosen), default=0)
        chosen = [run for run in chosen if run.final == last]
        arms: dict[tuple[bool, str, str], list[Run]] = {}
        for run in chosen:
            order = run.model.order or ""
            key = (base_order(suite, order) != order, str(run.model.schedule), order)
            arms.setdefault(key, []).append(run)
        if len(arms) > 1:
            ordered = sorted(arms.items(), key=lambda entry: entry[0][0])
            yield Trial(tuple(Arm(order, turned, schedule, tuple(found)) for (turned, schedule, order), found in ordered))
