"""YAML from outside: plain values only, and no more of them than a file could spell out, whatever its aliases repeat."""

from __future__ import annotations

from typing import Any

import yaml

MOST_VALUES = 200_000
"""Values of a text, those that an alias repeats included; the longest suite has some thousands."""


class _Bounded(yaml.SafeLoader):
    def get_single_node(self) -> yaml.Node | None:
        root = super().get_single_node()
        waiting, seen = [root], 0
        while waiting:
            node, seen = waiting.pop(), seen + 1
            if seen > MOST_VALUES:
                raise yaml.YAMLError(f"more than {MOST_VALUES:,} values")
            if isinstance(node, yaml.SequenceNode):
                waiting += node.value
            elif isinstance(node, yaml.MappingNode):
                waiting += [part for pair in node.value for part in pair]
        return root


def load(text: str) -> Any:
    """What a YAML text says.

    Raises:
        yaml.YAMLError: it is no YAML, holds a date or a number that is none, or would not fit into memory.
    """
    try:
        return _Bounded(text).get_single_data()
    except (RecursionError, ValueError) as error:
        raise yaml.YAMLError(type(error).__name__) from error
