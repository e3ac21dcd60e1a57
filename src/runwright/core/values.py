"""JSON text and values whose type is not known yet."""

from __future__ import annotations

import reprlib
from typing import TypeGuard

import msgspec

SHORT = 80
"""Characters of a value in a message."""


class _Short(reprlib.Repr):
    """What Python writes, but with the words of JSON for what has one. Its methods are found by types."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = self.maxother = SHORT

    def repr_NoneType(self, _: None, __: int) -> str:
        return "null"

    def repr_bool(self, value: bool, _: int) -> str:
        return "true" if value else "false"


_short = _Short()


def in_short(value: object) -> str:
    """A value for a message: one that came as JSON, or takes the place of such a value."""
    text = _short.repr(value)
    return text if len(text) <= SHORT else f"{text[: SHORT - 3]}..."


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
