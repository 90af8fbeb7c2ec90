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

    ``source`` is the file's path within the packages and the line, for instance ``numpy/linalg/_linalg.py:41``. Test folders are left out,
    repeats are not: copies that authors made are part of natural text.
    """
    for package in text.packages:
        root = folder(package)
        files = sorted((p for p in root.rglob("*.py") if "tests" not in p.parts), key=lambda p: p.relative_to(root).as_posix())
        for path in files[: text.most_files]:
            try:
                tree = ast.parse(path.read_bytes())
            except SyntaxError:  # template of another language that only ends like Python
                continue
            for node in ast.walk(tree):
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                    found = ast.get_docstring(node)
                    if found and len(found) >= text.least_characters:
                        yield f"{package}/{path.relative_to(root).as_posix()}:{getattr(node, 'lineno', 1)}", found
