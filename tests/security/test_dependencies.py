"""What is installed is what the locks pin, and the pinned versions are looked up among known vulnerabilities, where that can be asked."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import httpx2
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ENVS = Path(__file__).resolve().parents[2] / "envs"
LOCK = ENVS / "requirements-test.txt"
ADVISORIES = os.environ.get("TRAJECTORIES_ADVISORIES", "https://api.osv.dev")
"""Where the Open Source Vulnerabilities database answers; the variable names a mirror."""
ACCEPTED: dict[str, str] = {}
"""Advisories that do not concern this project, by id, with the reason why."""


def pins(path: Path) -> list[Requirement]:
    return [Requirement(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]


def locked(requirement: Requirement) -> str:
    return next(iter(requirement.specifier)).version


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_every_line_of_a_lock_pins_one_exact_version_by_name(name: str):
    found = pins(ENVS / name)
    assert len(found) > 50
    assert not [str(r) for r in found if r.url or [s.operator for s in r.specifier] != ["=="] or "*" in locked(r)]


def test_what_is_installed_is_what_the_lock_pins():
    """The build of torch aside: a machine's own (2.13.0+cpu) has the version that is pinned."""
    differing = {}
    for requirement in pins(LOCK):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = "none"
        if found == "none" or Version(found).public != Version(locked(requirement)).public:
            differing[requirement.name] = (found, locked(requirement))
    assert differing == {}


def known(answer: dict[str, Any], asked: list[Requirement]) -> dict[str, list[str]]:
    """Advisories by pinned requirement, without the accepted ones.

    Raises:
        ValueError: the answer does not have one entry per requirement, so that nothing is known of some.
    """
    entries = answer.get("results")
    if not isinstance(entries, list) or len(entries) != len(asked):
        raise ValueError("not one answer for each package")
    found = {f"{r.name}=={locked(r)}": [v["id"] for v in entry.get("vulns", [])] for r, entry in zip(asked, entries, strict=True)}
    return {pin: ids for pin, all_ids in found.items() if (ids := [i for i in all_ids if i not in ACCEPTED])}


def ask(asked: list[Requirement], patience: float = 20.0) -> dict[str, Any]:
    """What the database says of all pins at once."""
    queries = [{"package": {"name": re.sub(r"[-_.]+", "-", r.name).lower(), "ecosystem": "PyPI"}, "version": locked(r)} for r in asked]
    answer = httpx2.post(f"{ADVISORIES}/v1/querybatch", json={"queries": queries}, timeout=patience)
    answer.raise_for_status()
    return answer.json()


def test_an_advisory_is_found_and_half_an_answer_is_none():
    asked = [Requirement("jinja2==3.1.2"), Requirement("idna==3.20")]
    assert known({"results": [{"vulns": [{"id": "GHSA-h5c8-rqwp-cp95"}]}, {}]}, asked) == {"jinja2==3.1.2": ["GHSA-h5c8-rqwp-cp95"]}
    for answer in ({"results": [{}]}, {}, {"results": None}):
        with pytest.raises(ValueError, match="not one answer for each"):
            known(answer, asked)


def test_no_pinned_version_has_a_known_vulnerability():
    asked = pins(LOCK)
    control = Requirement("jinja2==3.1.2")  # has advisories: a database that knows none of it knows nothing
    try:
        answer = ask([control, *asked])
    except (httpx2.TransportError, httpx2.HTTPStatusError, ValueError) as error:
        if os.environ.get("TRAJECTORIES_AUDIT") == "required":
            raise
        pytest.skip(
            f"not audited: {ADVISORIES} cannot be asked from here ({type(error).__name__}); TRAJECTORIES_AUDIT=required makes this an error"
        )
    found = known(answer, [control, *asked])
    assert found.pop("jinja2==3.1.2", None), "the database does not know a vulnerability that is known"
    assert found == {}
