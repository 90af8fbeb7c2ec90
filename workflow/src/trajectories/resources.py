"""What jobs ask for: memory, time and GPUs by the size of a model (``workflow/resources.yaml``), and more of it at each attempt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError

from trajectories.errors import UserError
from trajectories.suites import Strict, explain, yaml_problem

if TYPE_CHECKING:
    from trajectories.config import Resolved

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of one parameter."""


class Size(Strict):
    """What the extraction of one checkpoint asks for."""

    weights_gb: float = Field(gt=0, description="Up to so many GB (10^9 bytes) of weights.")
    mem_mb: int = Field(gt=0, description="Memory of the machine, MB.")
    runtime: int = Field(gt=0, description="Minutes for one experiment.")
    gpu: int = Field(ge=1, description="GPUs that share the model.")


class Table(Strict):
    """``workflow/resources.yaml``."""

    extract: list[Size] = Field(min_length=1, description="Rows in ascending size.")

    def of(self, parameters: int, dtype: str) -> Size:
        """The first row that holds a model of so many parameters in a precision; raises UserError for one that is too large for all."""
        weights = weights_gb(parameters, dtype)
        for row in self.extract:
            if weights <= row.weights_gb:
                return row
        raise UserError(
            f"workflow/resources.yaml ends at {self.extract[-1].weights_gb:g} GB of weights, and a model here has {weights:.0f} GB in "
            f"{dtype}; add a row."
        )


def weights_gb(parameters: int, dtype: str) -> float:
    """Size of a model's weights, GB (10^9 bytes)."""
    return parameters * BYTES[dtype] / 1e9


def read(path: Path) -> Table:
    """The table in a file; raises UserError if it is none, or its rows do not ascend."""
    try:
        table = Table.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise explain(error, path.name) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} cannot be read: {yaml_problem(error)}.") from error
    sizes = [row.weights_gb for row in table.extract]
    if sizes != sorted(set(sizes)):
        raise UserError(f"{path}: the rows must ascend in weights_gb.")
    return table


def asked(table: Table, resolved: Resolved) -> dict[str, Size]:
    """What the checkpoints of each chosen model ask for; nothing where results are published: no weights are then fetched or loaded."""
    if resolved.suite.source == "published":
        return {}
    return {model.name: table.of(model.parameters_total, resolved.dtype(model.name)) for model in resolved.models}


def growing(first: int) -> Callable[[Any, int], int]:
    """A resource of Snakemake: so much at the first attempt, twice as much at the second, and so on."""

    def of_attempt(wildcards: Any, attempt: int) -> int:
        return first * attempt

    return of_attempt
