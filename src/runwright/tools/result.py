"""Values of user code as JSON text."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec
from pydantic import BaseModel

_PLAIN = (str, int, float, bool, type(None))
_BINARY = (bytes, bytearray, memoryview)


class _Unfit(TypeError):
    """A value that has no JSON form."""


def encode(value: object) -> bytes:
    """A value as JSON text: plain data, dataclasses, pydantic models, times, decimals, enums.

    Raises TypeError that names the type which has no JSON form; binary data is refused, not guessed at.
    """
    try:
        if isinstance(value, _PLAIN):
            return msgspec.json.encode(value)
        plain = msgspec.to_builtins(value, builtin_types=_BINARY, enc_hook=_builtin)
        _refuse_binary(plain)
        return msgspec.json.encode(plain)
    except _Unfit:
        raise
    except RecursionError:
        raise TypeError(f"a {_name(value)} contains itself, or is nested too deeply") from None
    except UnicodeEncodeError as error:
        raise TypeError(f"a text in it is no valid Unicode: {error.reason}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"a {_name(value)} cannot be written as JSON: {error}") from None


def _builtin(value: Any) -> object:  # noqa: ANN401 - msgspec hands over whatever it does not know
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, PurePath):
        return str(value)
    raise _Unfit(
        f"a {_name(value)} cannot be written as JSON: return text, numbers, lists, dicts, "
        "dataclasses or pydantic models"
    )


def _refuse_binary(value: object) -> None:
    if type(value) in _BINARY:
        raise _Unfit(f"{type(value).__name__} cannot be written as JSON: decode it to text, or encode it as base64")
    if isinstance(value, dict):
        for each in value.values():  # pyright: ignore[reportUnknownVariableType] - plain data of any kind
            _refuse_binary(each)  # pyright: ignore[reportUnknownArgumentType] - plain data of any kind
    elif isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType] - plain data of any kind
            _refuse_binary(each)  # pyright: ignore[reportUnknownArgumentType] - plain data of any kind


def _name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
