"""Tables within tables, as files and variables hold them; a dotted name leads to a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Tree = dict[str, Any]  # what TOML and the environment hold before validation: any value


def nested(flat: Mapping[str, object]) -> Tree:
    """The tree of values by dotted name; None is not there."""
    tree: Tree = {}
    for name, value in flat.items():
        if value is None:
            continue
        node = tree
        *parents, leaf = name.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a tree by dotted name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}  # pyright: ignore[reportUnknownArgumentType] - TOML holds anything
    return found


def merge(base: Tree, over: Mapping[str, Any]) -> None:
    """Lay one tree over another, in place."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)  # pyright: ignore[reportUnknownArgumentType] - TOML holds anything
        else:
            base[key] = value
