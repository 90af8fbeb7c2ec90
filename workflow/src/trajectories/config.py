"""The configuration: few keys, typed and described; unknown ones are refused with the nearest right one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, create_model, field_validator

from trajectories import experiments
from trajectories.errors import UserError, nearest, require_known
from trajectories.suites import Model, Strict, Suite, explain, load_suite, yaml_problem


class Base(Strict):
    """What to run."""

    suite: str = Field("nano", description="Suite to study: the name of a file in `workflow/suites`.")
    models: list[str] | Literal["all"] = Field("all", description="Models of the suite, or `all`.")
    steps: list[int] | Literal["all"] = Field(
        "all", description="Training steps to extract and analyse, or `all` checkpoints of each model."
    )
    experiments: list[str] = Field(description="Experiments to run; one that the suite cannot serve is left out and named in the report.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where extraction runs; changes speed, not which results are valid.")
    dtype: Literal["suite", "float32", "float16", "bfloat16"] = Field(
        "suite",
        description="Precision in which checkpoints are measured; `suite` is that of the suite's own weights. A GPU holds larger models in "
        "`bfloat16`; labels near a tie may then differ.",
    )
    data_dir: str | None = Field(
        None, description="Folder with local copies of the public data sets (its layout: see Suites); without this key they are downloaded."
    )
    results: str = Field("results", description="Folder of all outputs.")
    seed: int = Field(1, ge=0, description="Seed of sampling, bootstrap, permutations and simulations (not of training).")
    keep_checkpoints: bool = Field(True, description="Keep fetched weights; `false` removes a checkpoint's once everything is extracted.")
    weights_disk_gb: float | None = Field(
        None,
        gt=0,
        description="Most disk, in 10⁹ bytes, that fetched weights may take, parts of files included; with it a checkpoint's weights come "
        "when there is room for them, and go once everything is extracted.",
    )
    batch_tokens: int = Field(
        16384, gt=0, description="Most tokens, padding included, in one batch of extraction; halved when memory runs out."
    )
    count_tokens: int = Field(
        100_000_000,
        gt=0,
        description="Tokens of a training order that may be read to count an experiment's terms in it; a longer order is sampled at "
        "random, and counts are estimates with standard errors.",
    )
    include_anomalous: bool = Field(False, description="Analyse also the checkpoints that the audit found wrong.")

    @field_validator("results")
    @classmethod
    def _may_stand_in_rules(cls, value: str) -> str:
        if str(Path(value)).startswith("-") or not value.isprintable() or set("{}*") & set(value):
            raise ValueError("should not begin with a dash nor hold braces, asterisks or line breaks, which mean something to Snakemake")
        return value

    @field_validator("models", "steps", "experiments", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, (str, int)) and value != "all" and not isinstance(value, bool) else value


@cache
def schema() -> type[Base]:
    """The pydantic model of ``config.yaml``: :class:`Base` and one section per experiment that exists."""
    sections = {
        name: (
            experiments.part(name, "Settings"),
            Field(default_factory=experiments.part(name, "Settings"), description=f"Experiment `{name}`."),
        )
        for name in experiments.known()
    }
    return create_model("Config", __base__=Base, **sections)  # type: ignore[call-overload,no-any-return]


class Resolved:
    """A configuration that fits its suite: what to run, with every choice spelt out.

    Attributes:
        config: the validated configuration.
        suite: the whole suite.
        models: the chosen models.
        experiments: the experiments that will run.
        left_out: experiment to the reason why the suite cannot serve it.
    """

    def __init__(self, config: Base, suite: Suite):
        self.config = config
        self.suite = suite
        names = [m.name for m in suite.models]
        wanted = names if config.models == "all" else list(dict.fromkeys(config.models))
        for name in wanted:
            require_known(f"model of suite '{suite.name}'", name, names)
        self.models: list[Model] = [suite.model(name) for name in wanted]
        if not self.models:
            raise UserError("The key 'models' names no model; name at least one, or 'all'.")
        if config.steps != "all":
            if not config.steps:
                raise UserError("The key 'steps' names no step; name at least one, or 'all'.")
            every = sorted({s for m in self.models for s in m.all_steps})
            for step in config.steps:
                if step not in every:
                    near = min(every, key=lambda s: abs(s - step))
                    raise UserError(f"Unknown step {step}: no chosen model of suite '{suite.name}' has it; the nearest is {near}.")
        if config.data_dir is not None and not Path(config.data_dir).is_dir():
            raise UserError(f"The key 'data_dir' names '{config.data_dir}', which is no folder; correct it, or leave it out to download.")
        self.experiments: list[str] = []
        self.left_out: dict[str, str] = {}
        for name in dict.fromkeys(config.experiments):
            require_known("experiment", name, experiments.known())
            reason = experiments.part(name, "unavailable")(suite)
            if reason:
                self.left_out[name] = reason
            else:
                self.experiments.append(name)
        if not self.experiments:
            reasons = "; ".join(f"{k}: {v}" for k, v in self.left_out.items()) or "the key 'experiments' is empty"
            raise UserError(f"Nothing to run on suite '{suite.name}' ({reasons}).")

    def steps(self, model: str) -> list[int]:
        """The steps of a chosen model that are extracted and analysed, ascending."""
        found = self.suite.model(model).all_steps
        return found if self.config.steps == "all" else [s for s in found if s in set(self.config.steps)]

    def dtype(self, model: str) -> str:
        """The precision in which a model is measured."""
        own = self.suite.model(model).dtype
        return own if self.config.dtype == "suite" or self.suite.source == "published" else self.config.dtype

    def counted(self, experiment: str) -> list[str]:
        """The orders in which an experiment's terms are counted: those that chosen models were trained on and whose rows can be read."""
        if self.suite.source == "published" or not experiments.counts_terms(experiment):
            return []
        seen = {order for model in self.models for order, _ in self.suite.history(model.name)}
        return [order for order in self.suite.readable_orders() if order in seen]

    @property
    def root(self) -> Path:
        """Folder of the suite's results."""
        return Path(self.config.results) / self.suite.name

    def section(self, experiment: str) -> dict[str, Any]:
        """The experiment's section, complete, as JSON-able values."""
        return getattr(self.config, experiment).model_dump(mode="json")


def _check_keys(given: dict[str, Any], model: type, place: str = "") -> None:
    fields = model.model_fields  # type: ignore[attr-defined]
    for key, value in given.items():
        if key not in fields:
            section, *inner_keys = str(key).split(".")
            nested = ": {".join(inner_keys) + ": …" + "}" * len(inner_keys)
            hint = f'; it is given as {section}="{{{nested}"' if inner_keys and section in fields else nearest(key, fields)
            raise UserError(f"Configuration: unknown key '{place}{key}'{hint}.")
        inner = fields[key].annotation
        if isinstance(value, dict) and isinstance(inner, type) and hasattr(inner, "model_fields"):
            _check_keys(value, inner, f"{place}{key}.")


def validated(given: dict[str, Any]) -> Base:
    """Check a configuration against the schema, whatever its suite.

    Raises:
        UserError: an unknown key or a wrong type.
    """
    # a section whose keys are all commented out
    given = {key: {} if value is None and key in experiments.known() else value for key, value in given.items()}
    _check_keys(given, schema())
    try:
        return schema().model_validate(given)
    except ValidationError as error:
        raise explain(error, "Configuration") from error


def resolve(given: dict[str, Any]) -> Resolved:
    """Check a configuration against the schema and its suite.

    Args:
        given: keys as read from YAML, with Snakemake's ``--config`` already merged in.

    Raises:
        UserError: an unknown key, a wrong type, an unknown suite, model, step or experiment; says the nearest right one.
    """
    config = validated(given)
    return Resolved(config, load_suite(config.suite))


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises :class:`UserError` if it cannot be read as one."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"No configuration file '{path}'; run in the project's folder, or name one with --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The configuration file '{path}' cannot be read ({error}).") from error
    except yaml.YAMLError as error:
        raise UserError(f"'{path}' is no valid YAML: {yaml_problem(error)}.") from error
    if not isinstance(content, dict):
        raise UserError(f"'{path}' should hold a mapping of keys, found {'nothing' if content is None else type(content).__name__}.")
    return content
