"""From a provider's failure to an error of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from runwright.errors import (
    ModelError,
    ModelUnknown,
    ProviderAuth,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)

LONGEST_MESSAGE = 500


def error_class(status: int) -> type[ModelError]:
    """The class of error that an HTTP status stands for."""
    if status in (401, 403):
        return ProviderAuth
    if status in (408, 504):
        return ProviderTimeout
    if status == 404:
        return ModelUnknown
    if status == 429:
        return RateLimited
    if status >= 500:
        return ProviderUnavailable
    return ProviderRejected


def provider_message(body: bytes) -> str:
    """The sentence inside an error body of any common shape, or the beginning of the body."""
    try:
        data: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        data = body.decode("utf-8", "replace").strip()
    return sentence(data)


def sentence(data: object) -> str:
    """The message inside a decoded error of any common shape."""
    return _sentence(data)[:LONGEST_MESSAGE]


def _sentence(data: object) -> str:
    if isinstance(data, str):
        return " ".join(data.split())
    if isinstance(data, Mapping):
        node = cast("Mapping[str, Any]", data)
        for name in ("error", "message", "detail"):
            if node.get(name):
                return _sentence(node[name])
    return msgspec.json.encode(data).decode() if data else ""


def frame_error_class(error: object) -> type[ModelError]:
    """The class of an `error` object inside a stream: by its code where that is a status, else by its type."""
    if isinstance(error, Mapping):
        node = cast("Mapping[str, Any]", error)
        for name in ("code", "status"):
            code = node.get(name)
            if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()):
                return error_class(int(code))
        kind = f"{node.get('type') or ''} {node.get('code') or ''}"
        if "rate_limit" in kind:
            return RateLimited
        if "invalid_request" in kind:
            return ProviderRejected
    return ProviderUnavailable
