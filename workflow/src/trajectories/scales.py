"""The scales of claims: which are logarithms, and what they are called when the logarithm is undone."""

from __future__ import annotations


def is_log(scale: str) -> bool:
    """Whether a claim's scale is a logarithm (``log odds ratio``), which people read better undone."""
    return scale.lower().startswith("log")


def unlogged(scale: str) -> str:
    """The name of a logarithmic scale without its logarithm: ``log odds ratio`` and ``log-odds`` become ``odds ratio``."""
    name = scale[3:].lstrip(" -")
    return "odds ratio" if name == "odds" else name
