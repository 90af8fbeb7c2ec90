"""Suites: families of models that are studied together, each described by one YAML file in ``workflow/suites``.

A file may keep apart what its models share: ``defaults`` hold for every model, an entry of ``sizes`` for the models that name it by
``size``, and ``{name}`` in a repository or a folder stands for the model's name. A model's own keys come last; ``anomalies`` and ``notes``
add up.
"""

from __future__ import annotations

import os
import re
import reprlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trajectories import bounded_yaml
from trajectories.errors import UserError, nearest, require_known
from trajectories.outside import inside

FOLDER = Path(__file__).resolve().parents[2] / "suites"
VARIABLE = "TRAJECTORIES_SUITES"
"""Environment variable: further folders of suites (separated as in PATH), searched before the workflow's own."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]

REPOSITORY = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*/)?[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What a repository of the Hub may be called."""


def _inside(name: str) -> str:
    if name and not inside(name):
        raise ValueError("should be a path that stays below its folder, with / between its parts")
    return name


def _of_hub(name: str) -> str:
    if not REPOSITORY.fullmatch(name):
        raise ValueError("should be a repository's name, owner/name")
    return name


Below = Annotated[str, AfterValidator(_inside)]
"""A file or folder below another one."""
Repository = Annotated[str, AfterValidator(_of_hub)]
"""``owner/name``, or the bare name of an old one."""
MOST_STEPS = 100_000


class Strict(BaseModel):
    """A model that forbids unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Strict):
    """Steps at equal distance, both ends included."""

    start: int = Field(ge=0, description="First step.")
    stop: int = Field(ge=0, description="Last step, included if the distance meets it.")
    every: int = Field(gt=0, description="Distance between steps.")


def expand_steps(steps: list[int | Span]) -> list[int]:
    """The steps that a list of single steps and spans stands for, ascending and without repeats; ValueError for more than there can be."""
    if sum(1 if isinstance(entry, int) else max(0, entry.stop - entry.start) // entry.every + 1 for entry in steps) > MOST_STEPS:
        raise ValueError(f"more than {MOST_STEPS:,} steps")
    found: set[int] = set()
    for entry in steps:
        found |= {entry} if isinstance(entry, int) else set(range(entry.start, entry.stop + 1, entry.every))
    return sorted(found)


class Anomaly(Strict):
    """Something known to be wrong with, or peculiar to, a model's checkpoints or results."""

    steps: list[int | Span] | None = Field(None, description="Steps concerned; all of them if absent.")
    kind: Literal["missing", "duplicate", "discontinuous", "contaminated", "metadata"] = Field(
        description="`missing`: no weights; `duplicate`: another checkpoint's; `discontinuous`: partly so, or not a descendant of "
        "the step before; `contaminated`: results of other weights; `metadata`: what is written about it is wrong."
    )
    detail: str = Field(description="What is wrong, in one sentence.")
    source: str = Field(description="Where this is known from.")

    @model_validator(mode="after")
    def _few(self) -> Anomaly:
        expand_steps(self.steps or [])
        return self

    @property
    def expanded(self) -> list[int] | None:
        """The steps concerned, one by one; None if all are."""
        return None if self.steps is None else expand_steps(self.steps)


class MemorizedRows(Strict):
    """A public table of the rows of an order that a model can recite."""

    repository: Repository = Field(description="Hub data set (owner/name).")
    revision: str = Field("main", description="Its revision: a commit, tag or branch.")
    split: str = Field(description="Split of the data set that lists the rows in its column `index`.")


class Order(Strict):
    """Which row is trained on at which step, and where the rows lie."""

    row_tokens: int = Field(gt=1, description="Tokens per stored row, the last one a target only (Pythia: 2049).")
    rows: int | None = Field(None, gt=0, description="Rows seen by a whole run; unknown if absent.")
    repository: Repository | None = Field(None, description="Hub data set that holds the preshuffled Megatron files.")
    index: Below | None = Field(None, description="Name of the MMIDIDX index file of the preshuffled rows.")
    shards: list[Below] | None = Field(None, description="Names of the shards, in the order of their concatenation.")
    index_maps: list[Below] | None = Field(
        None,
        description="Where rows are not preshuffled: Megatron's maps of documents, samples and shuffling, into the unshuffled corpus.",
    )
    notes: list[str] = Field(default_factory=list, description="What is known of this order, and what is assumed.")
    edit: str | None = Field(None, description="Embedded suites: how the corpus is edited for this order (see `nano`).")
    reversed: bool = Field(False, description="Embedded suites: the same rows in reversed order.")
    held_out: bool = Field(
        False, description="Embedded suites: rows packed alike that no model is trained on, instead of the trained ones."
    )
    never_seen: Name | None = Field(None, description="Another order of the suite, whose rows no model of this order sees.")
    memorized: MemorizedRows | None = Field(None, description="Public table of rows of this order that a model can recite.")


class Model(Strict):
    """One training run, with the facts that its checkpoints' numbers depend on."""

    name: Name
    layers: int = Field(gt=0, description="Transformer blocks.")
    width: int = Field(gt=0, description="Width of the residual stream.")
    heads: int = Field(gt=0, description="Attention heads of a block.")
    head_width: int = Field(gt=0, description="Width of a head.")
    vocabulary: int = Field(gt=0, description="Rows of the embedding matrix (padded).")
    parameters_total: int = Field(gt=0, description="All parameters.")
    parameters_non_embedding: int = Field(gt=0, description="All but the two embedding matrices (input and output).")
    learning_rate: float = Field(gt=0, description="Peak of the schedule.")
    rows_per_step: int = Field(gt=0, description="Rows (sequences) of one optimizer step.")
    tokens_per_step: int = Field(gt=0, description="Targets per step: rows per step times tokens per row less one.")
    steps: list[int | Span] = Field(description="Steps at which a checkpoint (or a published result) exists.")
    steps_total: int = Field(gt=0, description="Steps of the whole run.")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(description="Precision of the published weights.")
    dtype_trained: Literal["float32", "float16", "bfloat16"] | None = Field(None, description="Precision of training, if told.")
    order: Name | None = Field(None, description="Name of the training order; absent where none is published.")
    seed: int | None = Field(None, description="Seed of the weights' initialization, and of the data order unless `data_seed` differs.")
    data_seed: int | None = Field(None, description="Seed of the data order where it is not `seed`.")
    parent: Name | None = Field(None, description="For a branch: the model that it was trained on from.")
    branch: str | None = Field(None, description="For a branch: what differs from its parent.")
    branch_step: int | None = Field(None, description="For a branch: the parent's step where it starts.")
    repository: Repository | None = Field(None, description="Hub repository (owner/name).")
    revision: str | None = Field(None, description="Pattern of the revision; `{step}` is the revision's step number.")
    revisions: dict[int, str] = Field(default_factory=dict, description="Revisions by (true) step that do not follow the pattern.")
    revision_steps_per_step: int = Field(1, gt=0, description="Revision's step number divided by the true step (v0's 4M-token runs: 2).")
    published: list[Below] = Field(
        default_factory=list,
        description="Folders (or patterns of files) of published results, below the published root; `*` matches within a name. Of the "
        "format `memorized-rows`: the split of the last step; a dot and the step behind it make an earlier one's.",
    )
    schedule: str | None = Field(None, description="Embedded suites: `cosine` or `constant` learning rate.")
    anomalies: list[Anomaly] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description="Facts about which sources disagree, and the like.")

    @field_validator("revision")
    @classmethod
    def _names_the_step(cls, value: str | None) -> str | None:
        if value is not None and "{step}" not in value:
            raise ValueError("should hold '{step}', or every step would be the same revision; single ones stand in 'revisions'")
        return value

    @property
    def all_steps(self) -> list[int]:
        """The (true) steps of the model's checkpoints or results, ascending."""
        return expand_steps(self.steps)

    def revision_of(self, step: int) -> str:
        """The Hub revision that holds the checkpoint of a (true) step; raises :class:`UserError` where the suite names none."""
        if step in self.revisions:
            return self.revisions[step]
        if self.revision is None:
            raise UserError(f"Model '{self.name}' has no Hub revision pattern in its suite.")
        # not str.format, whose patterns can look into objects and fill the memory
        return self.revision.replace("{step}", str(step * self.revision_steps_per_step))

    def tokens(self, step: int) -> int:
        """Training tokens seen by the checkpoint of a step."""
        return step * self.tokens_per_step

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        if self.heads * self.head_width != self.width:
            raise ValueError(f"{self.name}: heads × head_width is {self.heads * self.head_width}, but width is {self.width}")
        if self.parameters_total - self.parameters_non_embedding != 2 * self.vocabulary * self.width:
            raise ValueError(
                f"{self.name}: parameters_total less parameters_non_embedding should be that of two matrices of vocabulary × width, "
                f"{2 * self.vocabulary * self.width}, and is {self.parameters_total - self.parameters_non_embedding}"
            )
        if self.tokens_per_step % self.rows_per_step:
            raise ValueError(f"{self.name}: tokens_per_step is no multiple of rows_per_step")
        if (self.parent is None) != (self.branch_step is None):
            raise ValueError(f"{self.name}: a branch names both its parent and its branch_step")
        if self.all_steps and self.all_steps[-1] > self.steps_total:
            raise ValueError(f"{self.name}: a checkpoint at step {self.all_steps[-1]} lies after the run's end {self.steps_total}")
        return self


class Published(Strict):
    """Published results instead of checkpoints."""

    format: Literal["harness", "memorized-rows"] = Field(
        "harness",
        description="`harness`: lm-evaluation-harness files in a GitHub repository; `memorized-rows`: a Hub data set whose splits list the "
        "training rows that a checkpoint can recite.",
    )
    repository: Repository = Field(
        pattern=r"^[\w.-]+/[\w.-]+$", description="Repository (owner/name) that the files come from, on GitHub or on the Hub by `format`."
    )
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="Commit of that repository.")
    root: Below = Field(
        "", description="Folder of the results in that repository; below `data_dir` it is `<name of the repository>/<root>`."
    )
    tasks: list[str] = Field(default_factory=list, description="Tasks that the files hold results of; `*` stands for any ending.")
    items: dict[str, int] = Field(
        default_factory=dict,
        description="Items of a task, by a pattern of its name (`*`), where neither the files nor a standard error tell them.",
    )
    digest: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="SHA-256 over the lines `<sha256>  <path>` of all downloaded files, sorted by path."
    )

    @model_validator(mode="after")
    def _whole(self) -> Published:
        if self.format == "harness" and not {"root", "tasks"} <= self.model_fields_set:
            raise ValueError("results of the harness need a root and tasks")
        return self


class Suite(Strict):
    """A family of models: everything that is true of them and that no code should know."""

    name: Name = Field(description="Name of the suite: that of its file.")
    title: str = Field(description="Title of the report.")
    description: str = Field(description="What the suite is, in a sentence or two.")
    source: Literal["trained", "hub", "published"] = Field(description="Where the suite's numbers come from.")
    citation: list[str] = Field(default_factory=list, description="How to cite the models and their data.")
    licence: str | None = Field(None, description="Licence of the models.")
    tokenizer: Repository | None = Field(None, description="Hub repository of the tokenizer; embedded suites make their own.")
    tokenizer_copy: Below | None = Field(None, description="Where a local copy of the tokenizer's file lies below `data_dir`.")
    end_of_text: int = Field(0, ge=0, description="Id of the end-of-text token, which stands before every stimulus.")
    orders: dict[Name, Order] = Field(default_factory=dict, description="Training orders by name.")
    models: list[Model] = Field(description="The models, in the order in which tables and figures show them.")
    published: Published | None = Field(None, description="Where published results come from (source `published`).")
    training: dict[str, Any] | None = Field(None, description="Embedded suites: the corpus and the optimizer (see `nano`).")
    notes: list[str] = Field(default_factory=list, description="What a reader of the results should know.")

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
        for key, order in self.orders.items():
            if order.never_seen is not None and order.never_seen not in self.orders:
                raise ValueError(f"{key}: never_seen names '{order.never_seen}', which is not among the suite's orders")
            if any(m.order == order.never_seen for m in self.models if order.never_seen is not None):
                raise ValueError(f"{key}: a model is trained on '{order.never_seen}', whose rows should never be seen")
        for m in self.models:
            if m.order is not None and self.orders and m.order not in self.orders:
                raise ValueError(f"{m.name}: order '{m.order}' is not among the suite's orders")
            trained = self.orders.get(m.order or "")
            if trained is not None and m.tokens_per_step != m.rows_per_step * (trained.row_tokens - 1):
                raise ValueError(f"{m.name}: tokens_per_step is not rows_per_step × (row_tokens - 1) of its order '{m.order}'")
            if self.source == "trained" and m.parent is not None and m.parent not in names:
                raise ValueError(f"{m.name}: parent '{m.parent}' is not a model of the suite")
        return self

    def history(self, name: str) -> list[tuple[str, int]]:
        """What a model was trained on: ``(order, first step)`` by step, each until the next one begins.

        A branch has seen its parent's order up to its ``branch_step``. Empty where no order is published; a parent that is no model of this
        suite counts as trained on the branch's order.
        """
        model = self.model(name)
        known = model.parent is not None and any(m.name == model.parent for m in self.models)
        before = [entry for entry in self.history(model.parent) if entry[1] < (model.branch_step or 0)] if known and model.parent else []
        if model.order is None:
            return before
        return [*before, (model.order, model.branch_step or 0)] if before else [(model.order, 0)]

    def steps_of(self, order: str) -> list[int]:
        """The steps at which a model that is trained on an order has a checkpoint, and those at which a branch leaves or enters it."""
        found: set[int] = set()
        for model in self.models:
            spans = self.history(model.name)
            for i, (name, start) in enumerate(spans):
                if name == order:
                    end = spans[i + 1][1] if i + 1 < len(spans) else model.steps_total
                    found |= {start, *(step for step in model.all_steps if start <= step <= end)}
                    found |= {end} if i + 1 < len(spans) else set()
        return sorted(found)

    def readable_orders(self) -> list[str]:
        """The orders whose rows can be read: an embedded suite's, and those that the Hub holds as Megatron files."""
        return [name for name, order in self.orders.items() if self.source == "trained" or (order.repository and order.index)]

    def model(self, name: str) -> Model:
        """The model of that name; raises :class:`UserError` with the nearest one if there is none."""
        require_known("model", name, [m.name for m in self.models])
        return next(m for m in self.models if m.name == name)


def folders() -> list[Path]:
    """Where suites are looked for: the folders named in :data:`VARIABLE`, then the workflow's own."""
    return [*(Path(f) for f in os.environ.get(VARIABLE, "").split(os.pathsep) if f), FOLDER]


def available() -> list[str]:
    """Names of the suites that exist, sorted."""
    return sorted({p.stem for folder in folders() for p in folder.glob("*.yaml")})


def explain(error: ValidationError, where: str) -> UserError:
    """One sentence for the first of pydantic's complaints: the place, what is wrong with it, and what was found."""
    first = next((e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0])
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("list[", "literal[", "function-")))
    if first["type"] == "extra_forbidden":
        return UserError(f"{where}: unknown key '{place}'; see the reference of keys in the README.")
    if first["type"] == "missing":
        return UserError(f"{where}: the key '{place}' is missing.")
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    shown = f" (found {_brief(first['input'])})" if place and not isinstance(first["input"], dict) else ""
    return UserError(f"{where}: {f'{place}: ' if place else ''}{message[:1].lower() + message[1:] if place else message}{shown}.")


def yaml_problem(error: yaml.YAMLError) -> str:
    """What a YAML parser complains of, and in which line, without line breaks."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{problem} (line {mark.line + 1})" if mark else problem


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 200


def _brief(value: Any) -> str:
    """A value in at most 60 characters, however large it is."""
    found = _REPR.repr(value)
    return found if len(found) <= 60 else found[:57] + "…"


_LISTS = ("anomalies", "notes")


def _merged(model: dict[str, Any], defaults: dict[str, Any], sizes: dict[str, Any], where: str) -> dict[str, Any]:
    """A model's keys over those of its size over the suite's defaults."""
    model = dict(model)
    size = model.pop("size", None)
    if size is not None:
        require_known(f"size in {where}", str(size), [str(s) for s in sizes])
    parts = [defaults, next((v for k, v in sizes.items() if str(k) == str(size)), {}), model]
    merged = {key: value for part in parts for key, value in part.items()}
    for key in _LISTS:
        merged[key] = [entry for part in parts for entry in part.get(key) or []]
    name = str(model.get("name", ""))
    if isinstance(merged.get("repository"), str):
        merged["repository"] = merged["repository"].replace("{name}", name)
    if isinstance(merged.get("published"), list):
        merged["published"] = [str(entry).replace("{name}", name) for entry in merged["published"]]
    return merged


def _fields(of: type[BaseModel], *more: str) -> list[str]:
    return [*of.model_fields, *more]


def _known_keys(content: dict[str, Any], where: str) -> None:
    """Refuse a misspelt key before pydantic does, with the nearest right one."""
    parts = [("", content, _fields(Suite, "defaults", "sizes"))]
    parts += [(f"models.{i}.", m, _fields(Model, "size")) for i, m in enumerate(content.get("models") or [])]
    parts += [("defaults.", content.get("defaults") or {}, _fields(Model))]
    parts += [(f"sizes.{k}.", m, _fields(Model)) for k, m in (content.get("sizes") or {}).items()]
    parts += [(f"orders.{k}.", o, _fields(Order)) for k, o in (content.get("orders") or {}).items()]
    parts += [("published.", content.get("published") or {}, _fields(Published))]
    for place, part, fields in parts:
        if not isinstance(part, dict):
            raise UserError(f"{where}: '{place.rstrip('.')}' should be a mapping of keys, found {_brief(part)}.")
        for key in part:
            if key not in fields:
                raise UserError(f"{where}: unknown key '{place}{key}'{nearest(str(key), fields)}.")


def parse(text: str, name: str, where: str) -> Suite:
    """The suite that a YAML text describes.

    Args:
        text: content of a suite's file.
        name: the suite's name.
        where: how a complaint names the text.

    Raises:
        UserError: the text is no YAML, or does not fit the schema.
    """
    try:
        content = bounded_yaml.load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{where} is no valid YAML: {yaml_problem(error)}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{where} should hold a mapping of keys.")
    for key, kind in {"models": list, "defaults": dict, "sizes": dict, "orders": dict}.items():
        if not isinstance(content.get(key) or kind(), kind):
            raise UserError(f"{where}: '{key}' should be a {'list' if kind is list else 'mapping'}, found {_brief(content[key])}.")
    _known_keys(content, where)
    defaults, sizes = content.pop("defaults", None) or {}, content.pop("sizes", None) or {}
    content["models"] = [_merged(model, defaults, sizes, where) for model in content.get("models") or []]
    if content.setdefault("name", name) != name:
        raise UserError(f"{where} calls itself '{content['name']}', but its file is called '{name}'; make them equal.")
    try:
        return Suite.model_validate(content).check_references()
    except ValidationError as error:
        raise explain(error, where) from error
    except ValueError as error:
        raise UserError(f"{where}: {error}.") from error


@cache
def _read(path: Path, modified_ns: int) -> Suite:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The suite's file '{path}' cannot be read ({error}).") from error
    return parse(text, path.stem, path.name)


def load_suite(name: str) -> Suite:
    """Read and check the suite of that name, from the first of :func:`folders` that has it.

    Raises:
        UserError: no such suite (says the nearest one), or its file does not fit the schema.
    """
    for folder in folders():
        for path in folder.glob("*.yaml"):
            if path.stem == name:
                return _read(path, path.stat().st_mtime_ns)
    names = available()
    raise UserError(f"Unknown suite '{name}'{nearest(name, names)}; known: {', '.join(names)}.")
