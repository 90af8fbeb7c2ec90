"""Suites: families of models that are studied together, each described by one YAML file in ``workflow/suites``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trajectories.errors import UserError, nearest, require_known

FOLDER = Path(__file__).resolve().parents[2] / "suites"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class Strict(BaseModel):
    """A model that forbids unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Strict):
    """Steps at equal distance, both ends included."""

    start: int = Field(ge=0)
    stop: int = Field(ge=0)
    every: int = Field(gt=0)


def expand_steps(steps: list[int | Span]) -> list[int]:
    """The steps that a list of single steps and spans stands for, ascending and without repeats."""
    found: set[int] = set()
    for entry in steps:
        found |= {entry} if isinstance(entry, int) else set(range(entry.start, entry.stop + 1, entry.every))
    return sorted(found)


class Anomaly(Strict):
    """Something known to be wrong with, or peculiar to, a model's checkpoints or results."""

    steps: list[int | Span] | None = Field(None, description="Steps concerned; all of them if absent.")
    kind: Literal["missing", "duplicate", "discontinuous", "contaminated", "metadata"]
    detail: str = Field(description="What is wrong, in one sentence.")
    source: str = Field(description="Where this is known from.")

    @property
    def expanded(self) -> list[int] | None:
        return None if self.steps is None else expand_steps(self.steps)


class Order(Strict):
    """Which row is trained on at which step, and where the rows lie."""

    row_tokens: int = Field(gt=1, description="Tokens per stored row, the last one a target only (Pythia: 2049).")
    rows: int | None = Field(None, gt=0, description="Rows seen by a whole run; unknown if absent.")
    repository: str | None = Field(None, description="Hub data set that holds the preshuffled Megatron files.")
    index: str | None = Field(None, description="Name of the MMIDIDX index file.")
    shards: list[str] | None = Field(None, description="Names of the shards, in the order of their concatenation.")
    edit: str | None = Field(None, description="Embedded suites: how the corpus is edited for this order (see `nano`).")
    reversed: bool = Field(False, description="Embedded suites: the same rows in reversed order.")
    never_seen: str | None = Field(None, description="Where rows come from that no model of this order sees.")


class Model(Strict):
    """One training run, with the facts that its checkpoints' numbers depend on."""

    name: Name
    layers: int = Field(gt=0)
    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    head_width: int = Field(gt=0)
    vocabulary: int = Field(gt=0, description="Rows of the embedding matrix (padded).")
    parameters_total: int = Field(gt=0)
    parameters_non_embedding: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    rows_per_step: int = Field(gt=0)
    tokens_per_step: int = Field(gt=0, description="Targets per step: rows per step times tokens per row less one.")
    steps: list[int | Span] = Field(description="Steps at which a checkpoint (or a published result) exists.")
    steps_total: int = Field(gt=0, description="Steps of the whole run.")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(description="Precision of the published weights.")
    dtype_trained: Literal["float32", "float16", "bfloat16"] | None = Field(None, description="Precision of training, if told.")
    order: Name | None = Field(None, description="Name of the training order; absent where none is published.")
    seed: int | None = None
    parent: Name | None = Field(None, description="For a branch: the model that it was trained on from.")
    branch: str | None = Field(None, description="For a branch: what differs from its parent.")
    branch_step: int | None = Field(None, description="For a branch: the parent's step where it starts.")
    repository: str | None = Field(None, description="Hub repository (owner/name).")
    revision: str | None = Field(None, description="Pattern of the revision; `{step}` is the revision's step number.")
    revision_steps_per_step: int = Field(1, gt=0, description="Revision's step number divided by the true step (v0's 4M-token runs: 2).")
    published: list[str] = Field(default_factory=list, description="Folders of published results, below the data set's root.")
    schedule: str | None = Field(None, description="Embedded suites: `cosine` or `constant` learning rate.")
    anomalies: list[Anomaly] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description="Facts about which sources disagree, and the like.")

    @property
    def all_steps(self) -> list[int]:
        return expand_steps(self.steps)

    def revision_of(self, step: int) -> str:
        """The Hub revision that holds the checkpoint of a (true) step."""
        if self.revision is None:
            raise UserError(f"Model '{self.name}' has no Hub revision pattern in its suite.")
        return self.revision.format(step=step * self.revision_steps_per_step)

    def tokens(self, step: int) -> int:
        """Training tokens seen by the checkpoint of a step."""
        return step * self.tokens_per_step

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        if self.heads * self.head_width != self.width:
            raise ValueError(f"{self.name}: heads × head_width is {self.heads * self.head_width}, but width is {self.width}")
        if (self.parent is None) != (self.branch_step is None):
            raise ValueError(f"{self.name}: a branch names both its parent and its branch_step")
        if self.all_steps and self.all_steps[-1] > self.steps_total:
            raise ValueError(f"{self.name}: a checkpoint at step {self.all_steps[-1]} lies after the run's end {self.steps_total}")
        return self


class Published(Strict):
    """Results in lm-evaluation-harness files instead of checkpoints."""

    repository: str = Field(description="GitHub repository (owner/name) that the files come from.")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$|^main$", description="Commit of that repository.")
    root: str = Field(description="Folder of the results in that repository, and below `data_dir`.")
    seeds: int | None = None


class Suite(Strict):
    """A family of models: everything that is true of them and that no code should know."""

    name: Name
    title: str
    description: str
    source: Literal["trained", "hub", "published"] = Field(description="Where the suite's numbers come from.")
    citation: list[str] = Field(default_factory=list, description="How to cite the models and their data.")
    licence: str | None = None
    tokenizer: str | None = Field(None, description="Hub repository of the tokenizer; embedded suites make their own.")
    end_of_text: int = Field(0, ge=0, description="Id of the end-of-text token, which stands before every stimulus.")
    orders: dict[Name, Order] = Field(default_factory=dict)
    models: list[Model]
    published: Published | None = None
    training: dict[str, Any] | None = Field(None, description="Embedded suites: the corpus and the optimizer (see `nano`).")
    notes: list[str] = Field(default_factory=list)

    @field_validator("models")
    @classmethod
    def _unique(cls, models: list[Model]) -> list[Model]:
        names = [m.name for m in models]
        if len(set(names)) < len(names):
            raise ValueError("two models have the same name")
        return models

    def check_references(self) -> Suite:
        """Raise ValueError unless orders and parents are in the suite; a recipe's slice of a suite need not be whole in this sense."""
        names = {m.name for m in self.models}
        for m in self.models:
            if m.order is not None and self.orders and m.order not in self.orders:
                raise ValueError(f"{m.name}: order '{m.order}' is not among the suite's orders")
            if self.source == "trained" and m.parent is not None and m.parent not in names:
                raise ValueError(f"{m.name}: parent '{m.parent}' is not a model of the suite")
        return self

    def model(self, name: str) -> Model:
        require_known("model", name, [m.name for m in self.models])
        return next(m for m in self.models if m.name == name)


def available(folder: Path = FOLDER) -> list[str]:
    """Names of the suites that exist, sorted."""
    return sorted(p.stem for p in folder.glob("*.yaml"))


def explain(error: ValidationError, where: str) -> UserError:
    """One sentence for the first of pydantic's complaints, with the nearest right key where one is misspelt."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UserError(f"{where}: unknown key '{place}'; see the reference of keys in the README.")
    message = first["msg"].removeprefix("Value error, ")
    return UserError(f"{where}: {f'{place}: ' if place else ''}{message}" + (f" (found {first['input']!r})" if place else "") + ".")


@cache
def load_suite(name: str, folder: Path = FOLDER) -> Suite:
    """Read and check a suite.

    Keys under ``defaults`` hold for every model that does not say otherwise; they are merged before the check.

    Raises:
        UserError: no such suite, or its file does not fit the schema.
    """
    names = available(folder)
    if name not in names:
        raise UserError(f"Unknown suite '{name}'{nearest(name, names)}; known: {', '.join(names)}.")
    path = folder / f"{name}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path.name} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path.name} should hold a mapping of keys.")
    defaults = content.pop("defaults", {}) or {}
    content["models"] = [{**defaults, **model} for model in content.get("models") or []]
    content.setdefault("name", name)
    try:
        return Suite.model_validate(content).check_references()
    except ValidationError as error:
        raise explain(error, path.name) from error
    except ValueError as error:
        raise UserError(f"{path.name}: {error}.") from error
