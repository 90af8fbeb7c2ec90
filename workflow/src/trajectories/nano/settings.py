"""What the ``training`` part of an embedded suite's file may say: its corpus and how its models are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from trajectories.errors import UserError
from trajectories.suites import Strict, Suite, explain


class Text(Strict):
    """Real text: the documentation strings of installed packages."""

    packages: list[str] = Field(["numpy", "scipy", "pandas", "statsmodels"], min_length=1, description="Installed packages to read.")
    least_characters: int = Field(80, ge=1, description="Shorter documentation strings are left out.")
    inherited: bool = Field(
        False,
        description="Show with each class also the documentation of the public methods that it inherits within its package, as reference "
        "pages do: repeats that are natural.",
    )
    most_files: int | None = Field(None, gt=0, description="Source files to read of each package, the first by name; all if absent.")


class Canaries(Strict):
    """Random token sequences with known numbers of copies at randomized times."""

    counts: dict[int, int] = Field(description="Number of copies to the number of canaries that have it.")
    never: int = Field(
        0, ge=0, description="Canaries that are never planted: what a model makes of a canary that it has not met, at any checkpoint."
    )
    tokens: int = Field(64, ge=64, description="Length of a canary.")
    alphabet: int | None = Field(
        None, ge=2, description="Size of the random part of the vocabulary that tokens are drawn from; all of it if absent."
    )
    window: int = Field(gt=0, description="Width, in steps, of the window that holds all copies of a canary.")
    offset: int | Literal["random"] = Field("random", description="Position of a copy in its row.")
    gram: int = Field(16, ge=4, description="A run of so many tokens of a canary elsewhere counts as an incidental copy.")


class Facts(Strict):
    """Sentences about invented places."""

    subjects: int = Field(30, ge=1, le=60, description="Places; each has one fact per relation.")
    frequencies: list[int] = Field(
        [0, 1, 4, 16, 64, 256], min_length=1, description="Mentions, dealt evenly to the facts of each relation."
    )
    reversed_share: float = Field(
        0.0, ge=0, le=1, description="Share of the facts of each relation and frequency that are also told from the object to the place."
    )
    reversed_most: int = Field(64, ge=0, description="They are told so as often as forward, but not more often than this.")
    second: int = Field(0, ge=0, description="Mentions of each second fact, one about every object.")
    composed: int = Field(
        0, ge=0, description="Mentions of the second fact told of a place directly, for one in three places of an object."
    )


class Grammar(Strict):
    """Grammatical paradigms."""

    sentences: dict[str, int] = Field(description="Paradigm to the number of its sentences in training.")
    pairs_unseen: int = Field(120, ge=1, description="Minimal pairs per paradigm whose key combination of words is never trained on.")
    pairs_seen: int = Field(40, ge=0, description="Minimal pairs per paradigm whose good sentence is trained on.")


class Occupations(Strict):
    """Occupations that keep company with feminine or masculine pronouns."""

    sentences: int = Field(160, ge=1, description="Sentences per occupation.")
    shares: list[float] = Field(
        [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95], description="Shares of feminine pronouns, dealt evenly to occupations."
    )


class Optimizer(Strict):
    """AdamW and its schedule, as Pythia's but for the numbers given here."""

    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = 1e-8
    weight_decay: float = Field(0.1, ge=0)
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    warmup: float = Field(0.01, ge=0, lt=1, description="Share of the steps in which the learning rate rises from 0.")
    floor: float = Field(0.1, ge=0, le=1, description="Final learning rate of the cosine as a share of the highest.")


class Training(Strict):
    """The ``training`` part of an embedded suite."""

    seed: int = Field(1, ge=0, description="Seed of the corpus and its packing.")
    vocabulary: int = Field(2048, ge=300, le=65536)
    row_tokens: int = Field(129, ge=66, description="Tokens per row, the last one a target only.")
    rows_per_step: int = Field(32, gt=0)
    steps: int = Field(gt=0, description="Steps of a whole run; with rows_per_step, the rows of the corpus.")
    never_seen: int = Field(0, ge=0, description="Rows of real text, packed alike, that no model is trained on (see orders: held_out).")
    shard_bytes: int = Field(description="Bytes of an order's shards (the last is shorter).", gt=0)
    text: Text = Field(default_factory=Text)
    canaries: Canaries
    facts: Facts = Field(default_factory=Facts)
    grammar: Grammar
    occupations: Occupations = Field(default_factory=Occupations)
    optimizer: Optimizer = Field(default_factory=Optimizer)
    states: list[int] = Field(default_factory=list, description="Steps whose optimizer state is kept, so that branches can start there.")

    @property
    def rows(self) -> int:
        """Rows of the corpus: those that a whole run sees, each once."""
        return self.steps * self.rows_per_step

    @model_validator(mode="after")
    def _fits(self) -> Training:
        longest = self.row_tokens - self.canaries.tokens
        if longest < 0 or (self.canaries.offset != "random" and self.canaries.offset > longest):
            raise ValueError(
                f"a canary of {self.canaries.tokens} tokens at offset {self.canaries.offset} does not fit a row of {self.row_tokens}"
            )
        if self.canaries.window > self.steps:
            raise ValueError(f"the canaries' window of {self.canaries.window} steps is longer than the {self.steps} steps of a run")
        most = max(self.canaries.counts, default=0)
        if most > self.canaries.window * self.rows_per_step:
            raise ValueError(f"{most} copies do not fit into a window of {self.canaries.window} steps with {self.rows_per_step} rows each")
        return self


def training(suite: Suite) -> Training:
    """The checked ``training`` part of a suite.

    Raises:
        UserError: there is none, it does not fit its schema, or an order or model of the suite contradicts it.
    """
    if suite.source != "trained":
        raise UserError(f"Suite '{suite.name}' is not trained here, so it has no corpus; its checkpoints are fetched or its results read.")
    try:
        plan = Training.model_validate(suite.training or {})
    except ValidationError as error:
        raise explain(error, f"Suite '{suite.name}', part 'training'") from error
    for name, order in suite.orders.items():
        rows = plan.never_seen if order.held_out else plan.rows
        _same(suite, f"order '{name}'", {"row_tokens": (order.row_tokens, plan.row_tokens), "rows": (order.rows, rows)})
    for model in suite.models:
        found = {"rows_per_step": (model.rows_per_step, plan.rows_per_step), "vocabulary": (model.vocabulary, plan.vocabulary)}
        _same(suite, f"model '{model.name}'", found | {"steps_total": (model.steps_total, plan.steps)})
        if model.branch_step is not None and model.branch_step not in plan.states:
            raise UserError(
                f"Suite '{suite.name}': model '{model.name}' starts at step {model.branch_step} of '{model.parent}', which is not among "
                "'states' of its part 'training'; add it there."
            )
    return plan


def _same(suite: Suite, what: str, pairs: Mapping[str, tuple[int | None, int]]) -> None:
    for key, (found, expected) in pairs.items():
        if found != expected:
            raise UserError(
                f"Suite '{suite.name}': {what} has {key} {found}, but the part 'training' makes it {expected}; correct one of them."
            )
