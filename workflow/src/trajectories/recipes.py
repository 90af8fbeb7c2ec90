"""Recipes: what a verb's result depends on besides its input files, as a small file named by its digest.

A recipe holds the slice of configuration and suite that one verb can see, and the digest of the code that it stands on. The rules take it
as an input, so an edit of code or configuration makes a new file and with it exactly the jobs behind it; undoing the edit finds the old
file again. A verb is given nothing but its recipe, so it cannot depend on a key that its digest leaves out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajectories import experiments, tables
from trajectories.code import code_digest
from trajectories.config import Resolved
from trajectories.errors import Damaged, UserError
from trajectories.layout import Layout
from trajectories.suites import Suite

_STIMULI, _ANALYSE, _FIGURES = "stimuli", "analyse", "figures"
_NAME = re.compile(r"(?P<targets>.+)-[0-9a-f]{16}\.json")

_MEASURED = ("extract", _ANALYSE, _FIGURES, "report")
"""Verbs for which a model's precision is the one it is measured in, whatever its weights are stored in."""


@dataclass(frozen=True)
class Settings:
    """What a verb sees of configuration and suite.

    Attributes:
        suite: the suite, without the models, orders and parts that do not matter to the verb.
        section: the part of the experiment's section that is named like the verb.
        seed: the configuration's seed, 0 where it does not matter.
        extra: what else the verb needs (steps by model, experiments, …), by name.
        code: digest of the code.
    """

    suite: Suite
    section: dict[str, Any]
    seed: int
    extra: dict[str, Any]
    code: str

    @classmethod
    def read(cls, path: Path) -> Settings:
        """The recipe in a file; raises :class:`UserError` if it is absent or damaged."""
        content = tables.read_json(path)
        try:
            return cls(Suite.model_validate(content["suite"]), content["section"], content["seed"], content["extra"], content["code"])
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(path, "it holds no recipe") from error


def _pruned(suite: Suite, models: list[str] | None = None, orders: list[str] | None = None, keep: Collection[str] = ()) -> dict[str, Any]:
    """The suite as JSON-able values with only the named models and orders; prose and other parts are kept only if named in ``keep``."""
    full = suite.model_dump(mode="json", exclude={"models"})
    chosen = [m.model_dump(mode="json") for m in suite.models if models is None or m.name in models]
    if "prose" not in keep:
        for m in chosen:
            m["anomalies"], m["notes"] = (m["anomalies"] if "anomalies" in keep else []), []
        full.update(title="", description="", citation=[], licence=None, notes=[])
    used = {m["order"] for m in chosen} if orders is None else set(orders)
    full.update(
        models=chosen,
        orders={k: v for k, v in full["orders"].items() if k in used},
        training=full["training"] if "training" in keep else None,
        published=full["published"] if "published" in keep else None,
    )
    return full


def content(  # noqa: PLR0912 (a branch per verb)
    resolved: Resolved, verb: str, experiment: str | None = None, model: str | None = None, order: str | None = None
) -> dict[str, Any]:
    """The recipe of a verb's run: the one place that says which keys matter to which verb.

    Args:
        resolved: configuration and suite.
        verb: a verb of the command.
        experiment, model, order: the targets, for verbs that have them.

    Returns:
        JSON-able; ``verb``, ``code``, ``suite``, ``section``, ``seed``, ``extra``.
    """
    suite, config = resolved.suite, resolved.config
    names = [m.name for m in resolved.models]
    steps = {name: resolved.steps(name) for name in names} if verb in (_ANALYSE, "report") else {}
    roots = [f"trajectories.verbs.{verb}"]
    if experiment is not None and verb in (_STIMULI, _ANALYSE, _FIGURES):
        roots.append(experiments.module(experiment, verb))
        roots.append(experiments.module(experiment, "Settings"))
    section = resolved.section(experiment).get(verb, {}) if experiment is not None else {}
    seed = 0
    extra: dict[str, Any] = {}
    if verb == "corpus":
        sliced = _pruned(suite, [], list(suite.orders), {"training"})
    elif verb == "order":
        sliced = _pruned(suite, [], [order or ""], {"training"} if suite.source == "trained" else ())
        if suite.source == "hub":
            extra = {"rows_per_step": _rows_per_step(suite).get(order or "")}
    elif verb == "train":
        sliced = _pruned(suite, [model or ""], None, {"training"})
    elif verb == "published":
        sliced = _pruned(suite, [model or ""], [], {"published"})
        order_of = suite.orders.get(suite.model(model or "").order or "")
        extra = {"data_dir": config.data_dir, "rows": order_of.rows if order_of else None}
    elif verb == "audit":
        sliced = _pruned(suite, [model] if model else names, [], {"anomalies", "published"})
    elif verb in ("fetch", "extract"):
        sliced = _pruned(suite, [model or ""], [])
        for m in sliced["models"]:
            m["steps"] = []  # one more checkpoint of a model changes nothing about the others
    elif verb == _STIMULI:
        sliced, seed = _pruned(suite, [], list(suite.orders)), config.seed
        extra = {"rows_per_step": _rows_per_step(suite)}
    elif verb == "count":
        sliced, seed = _pruned(suite, [], [order or ""]), config.seed
        extra = {"steps": suite.steps_of(order or ""), "tokens": config.count_tokens}
    elif verb == _ANALYSE:
        sliced, seed = _pruned(suite, names, None, {"published"}), config.seed
        extra = {"steps": steps, "include_anomalous": config.include_anomalous}
        extra["counted"] = resolved.counted(experiment) if experiment is not None else []
        extra["history"] = {name: suite.history(name) for name in names}
    elif verb == _FIGURES:
        sliced, extra = _pruned(suite, names, []), {"title": suite.title}
    elif verb == "report":
        sliced, seed = _pruned(suite, names, None, {"prose", "published"}), config.seed
        extra = {"steps": steps, "include_anomalous": config.include_anomalous}
        extra |= {"experiments": resolved.experiments, "left_out": resolved.left_out}
        extra["sections"] = {e: resolved.section(e) for e in resolved.experiments}
    else:
        raise ValueError(f"no recipe for verb '{verb}'")
    if verb in _MEASURED:
        for m in sliced["models"]:
            m["dtype"] = resolved.dtype(m["name"])
    return {"verb": verb, "code": code_digest(*roots), "suite": sliced, "section": section, "seed": seed, "extra": extra}


def _rows_per_step(suite: Suite) -> dict[str, int]:
    """Rows per step of each order, from the models that are trained on it."""
    return {m.order: m.rows_per_step for m in reversed(suite.models) if m.order is not None}


def write(resolved: Resolved, verb: str, experiment: str | None = None, model: str | None = None, order: str | None = None) -> Path:
    """Write the recipe if it is not there yet, and return its path under ``<results>/<suite>/recipes/``.

    The target is part of the name, so that two experiments never share a recipe file. An existing file is left untouched: its time of
    change says when this recipe was first wanted.
    """
    recipe = content(resolved, verb, experiment, model, order)
    parts = [verb, *(p for p in (experiment, model, order) if p)]
    path = Layout(resolved.root).recipe(f"{'.'.join(parts)}-{tables.digest(recipe)}")
    if not path.exists():
        tables.write_json(path, recipe)
    return path


def write_all(resolved: Resolved) -> None:
    """Write every recipe that a workflow on this suite can want.

    Snakemake remembers what a folder held when it first looked into it, so a recipe that is written while jobs are looked for can count as
    missing.
    """
    source, of_model = resolved.suite.source, {"trained": ["train"], "hub": ["fetch"], "published": ["published"]}
    measured = source != "published"
    for verb in ["corpus"] * (source == "trained") + ["audit", "report"]:
        write(resolved, verb)
    for order in resolved.suite.orders if measured else ():
        write(resolved, "order", order=order)
    for model in resolved.suite.models:
        for verb in [*of_model[source], "audit", *(["extract"] if measured else [])]:
            write(resolved, verb, model=model.name)
    for experiment in resolved.experiments:
        for verb in [*([_STIMULI] if measured else []), _ANALYSE, _FIGURES]:
            write(resolved, verb, experiment=experiment)
        for order in resolved.counted(experiment):
            write(resolved, "count", experiment=experiment, order=order)


def require_recipe(path: Path) -> None:
    """Raise UserError unless a file may be a recipe by its name and place: what is wrong with a recipe is removed."""
    if path.resolve().parent.name != "recipes" or _NAME.fullmatch(path.name) is None:
        raise UserError(f"'{path}' is no recipe; those lie in '<results>/<suite>/recipes'. A configuration goes to --config.")


def supersede(recipe: Path) -> None:
    """Forget the other recipes of the same verb and targets, since the outputs are now being made by this one.

    So a return to an earlier recipe after a run writes a new file, and its jobs run again even where Snakemake's own records are gone.
    """
    stem = _NAME.fullmatch(recipe.name)
    if stem is None:
        return
    for other in recipe.parent.glob("*.json"):
        found = _NAME.fullmatch(other.name)
        if other.name != recipe.name and found is not None and found["targets"] == stem["targets"]:
            other.unlink(missing_ok=True)


def prepare(resolved: Resolved) -> None:
    """Make the folder of recipes; raises :class:`UserError` before any work if results cannot be written."""
    folder = Layout(resolved.root).recipe("").parent
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Cannot write results to '{resolved.root}': {error.strerror}; name a folder that can be written to in the key 'results'."
        ) from error


def machine_options(resolved: Resolved) -> list[str]:
    """The command's options that change no result and therefore stand in no recipe."""
    config = resolved.config
    options = ["--device", config.device, "--batch-tokens", str(config.batch_tokens), "--experiments", ",".join(resolved.experiments)]
    if config.steps != "all":
        options += ["--steps", ",".join(map(str, config.steps))]
    if config.data_dir:
        options += [f"--data-dir={config.data_dir}"]  # one word, or a name that begins with a dash is taken for an option
    if not config.keep_checkpoints:
        options += ["--discard-checkpoints"]
    if config.weights_disk_gb is not None:
        options += ["--weights-disk-gb", repr(config.weights_disk_gb)]
    return options
