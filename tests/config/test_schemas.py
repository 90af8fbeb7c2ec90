"""The JSON schemas and the README's table are those of the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from trajectories import schemas
from trajectories.errors import UserError
from trajectories.suites import FOLDER

jsonschema = pytest.importorskip("jsonschema")


def test_the_schema_files_are_current() -> None:
    for path, text in schemas.written().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run python -m trajectories.schemas"


@pytest.mark.parametrize("block", schemas.BLOCKS)
def test_the_readmes_tables_are_current(block: str) -> None:
    text = schemas.README.read_text(encoding="utf-8") if schemas.README.exists() else ""
    if f"<!-- {block}:begin -->" not in text:
        pytest.skip(f"the README has no such table: {block}")
    assert schemas.with_table(text, block) == text, "run python -m trajectories.schemas --readme"


def test_a_table_stands_between_its_markers_and_nothing_else_changes() -> None:
    text = "# A\n<!-- config:begin -->\nold\n<!-- config:end -->\n# B\n"
    found = schemas.with_table(text, "config")
    assert found == f"# A\n<!-- config:begin -->\n{schemas.reference()}<!-- config:end -->\n# B\n"
    assert schemas.with_table(found, "config") == found
    with pytest.raises(UserError, match=r"README\.md has no"):
        schemas.with_table("# A\n", "config")


def test_the_table_has_a_row_for_every_key() -> None:
    rows = [line.split("|")[1].strip(" `") for line in schemas.reference().splitlines()[2:]]
    assert len(rows) == len(set(rows))
    assert {"suite", "models", "steps", "data_dir", "grammar.stimuli.pairs", "memorization.analyse.odds_ratio"} <= set(rows)
    assert "memorization" not in rows


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    return [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(value)]


def test_the_schema_accepts_the_projects_configuration_and_refuses_a_misspelt_key(checkout: Path) -> None:
    config = yaml.safe_load((checkout / "config.yaml").read_text(encoding="utf-8"))
    schema = schemas.config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert errors(schema, config) == []
    assert errors(schema, {**config, "modles": "all"})
    assert errors(schema, {**config, "seed": "one"})


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_suites_file_fits_the_schema_as_written(path: Path) -> None:
    schema = schemas.suite_schema()
    content = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    assert errors(schema, content) == []
    content["models"][0]["laeyrs"] = 2
    assert errors(schema, content)
