"""JSON text and values whose type is not known yet."""

from __future__ import annotations

from typing import TypeGuard

import msgspec


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def is_json(value: object) -> bool:
    """Whether a value is JSON text as bytes, so that it can be stored and read again."""
    if not isinstance(value, bytes):
        return False
    try:
        # Raw values are passed over without a look at their text, so that is read first.
        value.decode()
        msgspec.json.decode(value, type=msgspec.Raw)
    except ValueError:
        return False
    return True
