"""What code a verb stands on: a digest over the modules that it imports, inside the package, however deep.

Snakemake does not notice edits of imported modules, so each rule names the digest of its verb's code (see ``recipes.py``). The imports are
read from the source, not executed, and one that stands inside a function counts like any other. Files that are no Python (templates,
scripts, styles) count with the package whose folder they lie in.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "trajectories"
SOURCE = Path(__file__).resolve().parent


def _file(module: str) -> Path | None:
    base = SOURCE.joinpath(*module.split(".")[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _with_parents(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[: i + 1]) for i in range(len(parts))}


@cache
def _imports(module: str) -> frozenset[str]:
    path = _file(module)
    if path is None:
        return frozenset()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names = [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE and _file(name) is not None:
                found |= _with_parents(name)
    return frozenset(found)


@cache
def modules(*roots: str) -> tuple[str, ...]:
    """The modules of the package that ``roots`` import, transitively, the roots included; sorted."""
    seen: set[str] = set()
    todo = {part for root in roots for part in _with_parents(root)}
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= _imports(module) - seen
    return tuple(sorted(seen))


@cache
def code_digest(*roots: str) -> str:
    """Short digest of the content of :func:`modules` and of the data files in their packages' folders."""
    total = hashlib.sha256()
    for module in modules(*roots):
        path = _file(module)
        if path is None:
            raise ModuleNotFoundError(f"No module '{module}' in {SOURCE}")
        data = []
        if path.name == "__init__.py":
            data = sorted(
                p for p in path.parent.iterdir() if p.is_file() and p.suffix not in {".py", ".pyc"} and not p.name.startswith(".")
            )
        for part in (path, *data):
            total.update(f"{module}:{part.name}\0".encode())
            total.update(hashlib.sha256(part.read_bytes()).digest())
    return total.hexdigest()[:16]
