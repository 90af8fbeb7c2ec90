"""JSON schemas of ``config.yaml`` and of the suites, and the README's tables of keys and of suites, made from the models and the suites.

``python -m trajectories.schemas`` writes ``workflow/schemas/*.schema.json``; with ``--readme`` also the README's tables.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trajectories import config, tables
from trajectories.costs import suites_table
from trajectories.errors import UserError
from trajectories.suites import Model, Suite

FOLDER = Path(__file__).resolve().parents[2] / "schemas"
README = Path(__file__).resolve().parents[3] / "README.md"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> dict[str, Any]:
    """JSON schema of ``config.yaml``, with one section per experiment."""
    return {"$schema": DIALECT, **config.schema().model_json_schema(), "title": "config.yaml"}


def suite_schema() -> dict[str, Any]:
    """JSON schema of a suite's file as it is written: with ``defaults`` and ``sizes``, and models that need not repeat them."""
    made = Suite.model_json_schema()
    partial = dict(made["$defs"].pop("Model"))
    partial.pop("required", None)
    made["$defs"]["Shared"] = {**partial, "title": "Shared", "description": "Keys of several models."}
    size = {"type": "string", "description": "Entry of `sizes` whose keys the model has."}
    made["$defs"]["Model"] = {
        **partial,
        "properties": {**partial["properties"], "size": size},
        "required": ["name"],
        "description": Model.__doc__,
    }
    made["properties"]["defaults"] = {"$ref": "#/$defs/Shared", "description": "Keys of every model that does not say otherwise."}
    made["properties"]["sizes"] = {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Shared"},
        "description": "Keys of the models that name the entry by `size`.",
    }
    made["required"] = [key for key in made["required"] if key != "name"]
    return {"$schema": DIALECT, **made, "title": "Suite"}


def written() -> dict[Path, str]:
    """The schema files and what should stand in them."""
    made = {"config": config_schema(), "suite": suite_schema()}
    return {FOLDER / f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in made.items()}


_NAMES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "nothing"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema's type in few words."""
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values:
        return ", ".join(f"`{value}`" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object":
        return f"mapping to {_type(schema.get('additionalProperties', {}))}"
    limits = ", ".join(f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{_NAMES.get(schema.get('type', ''), 'any')} {limits}".strip()


def _rows(schema: dict[str, Any], definitions: dict[str, Any], place: str = "") -> Iterator[tuple[str, str, str, str]]:
    required = schema.get("required", [])
    for key, field in schema.get("properties", {}).items():
        target = definitions[field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field
        if target.get("type") == "object" and "additionalProperties" in target and not isinstance(target["additionalProperties"], dict):
            yield from _rows(target, definitions, f"{place}{key}.")
            continue
        default = "required" if key in required else f"`{json.dumps(field.get('default'), ensure_ascii=False)}`"
        yield f"`{place}{key}`", _type(target), default, field.get("description", "")


def reference() -> str:
    """The keys of ``config.yaml`` as a Markdown table: key, type, default, meaning."""
    schema = config.schema().model_json_schema()
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in _rows(schema, schema.get("$defs", {}))]
    return "\n".join(lines) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {"config": reference, "suites": suites_table}
"""The README's tables that are made here, by the name in their markers."""


def with_table(text: str, block: str) -> str:
    """A README's text with one of :data:`BLOCKS` between its markers; raises :class:`UserError` if it lacks them."""
    opening, closing = f"<!-- {block}:begin -->", f"<!-- {block}:end -->"
    before, begin, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise UserError(f"README.md has no '{opening}' … '{closing}'; put these two lines where that table should stand.")
    return f"{before}{opening}\n{BLOCKS[block]()}{closing}{after}"


def main() -> None:
    """Write the schemas, and with ``--readme`` the README's table."""
    parser = argparse.ArgumentParser(
        prog="python -m trajectories.schemas", description="Write the JSON schemas of config.yaml and of the suites."
    )
    parser.add_argument("--readme", action="store_true", help="rewrite the tables in README.md too")
    readme = parser.parse_args().readme
    for path, text in written().items():
        tables.write_text(path, text)
    if readme:
        text = README.read_text(encoding="utf-8")
        for block in BLOCKS:
            text = with_table(text, block)
        tables.write_text(README, text)


if __name__ == "__main__":
    main()
