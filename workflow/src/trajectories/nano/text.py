"""Real text that any machine has after the install: the documentation strings of Python packages, read from source, not executed."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from trajectories.errors import UserError
from trajectories.nano.settings import Text


def folder(package: str) -> Path:
    """The folder of an installed package, found without importing it; raises :class:`UserError` if it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UserError(
            f"The embedded corpus is made of the documentation of '{package}', which is not installed; install it as the lock file says."
        )
    return Path(next(iter(found.submodule_search_locations)))


def docstrings(text: Text) -> Iterator[tuple[str, str]]:
    """Yield ``(source, text)`` for each documentation string, in a sequence that depends on the packages' content only.

    ``source`` is the file's path within the packages and the line, for instance ``numpy/linalg/_linalg.py:41``; an inherited method's names
    the class that shows it and where it was written. Test folders are left out, repeats are not: copies that authors made are part of
    natural text.
    """
    for package in text.packages:
        root = folder(package)
        files = sorted((p for p in root.rglob("*.py") if "tests" not in p.parts), key=lambda p: p.relative_to(root).as_posix())
        trees = {f"{package}/{path.relative_to(root).as_posix()}": _parsed(path) for path in files[: text.most_files]}
        classes = _classes(trees) if text.inherited else {}
        for place, tree in trees.items():
            for node in ast.walk(tree):
                found = [(f"{place}:{getattr(node, 'lineno', 1)}", ast.get_docstring(node))] if isinstance(node, _DOCUMENTED) else []
                if isinstance(node, ast.ClassDef) and text.inherited:
                    found += [(f"{place}:{node.lineno} {node.name} from {origin}", doc) for origin, doc in _inherited(node, classes)]
                yield from ((source, doc) for source, doc in found if doc and len(doc) >= text.least_characters)


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_METHODS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError:  # template of another language that only ends like Python
        return ast.Module(body=[], type_ignores=[])


def _classes(trees: dict[str, ast.Module]) -> dict[str, tuple[str, ast.ClassDef]]:
    """The package's classes by name, each with its file; of several classes of one name the first."""
    found: dict[str, tuple[str, ast.ClassDef]] = {}
    for place, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, (place, node))
    return found


def _inherited(node: ast.ClassDef, classes: dict[str, tuple[str, ast.ClassDef]]) -> Iterator[tuple[str, str | None]]:
    """Where each public method that a class inherits within its package was written, and its documentation, nearest ancestors first."""
    known = {member.name for member in node.body if isinstance(member, _METHODS)}
    for place, ancestor in _ancestors(node, classes, {node.name}):
        for member in ancestor.body:
            if isinstance(member, _METHODS) and member.name not in known:
                known.add(member.name)
                if not member.name.startswith("_"):
                    yield f"{place}:{member.lineno}", ast.get_docstring(member)


def _ancestors(node: ast.ClassDef, classes: dict[str, tuple[str, ast.ClassDef]], seen: set[str]) -> Iterator[tuple[str, ast.ClassDef]]:
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
        if name in classes and name not in seen:
            seen.add(name)
            yield classes[name]
            yield from _ancestors(classes[name][1], classes, seen)
