"""Changes to parts of what a caller made."""

from __future__ import annotations

from collections.abc import Mapping

from runwright.core.values import is_object


def merged(target: object, change: Mapping[str, object]) -> dict[str, object]:
    """A JSON merge patch applied (RFC 7396): null takes a field away."""
    found: dict[str, object] = dict(target) if is_object(target) else {}
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value) if is_object(value) else value
    return found
