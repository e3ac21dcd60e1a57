"""HTTP as a step: what is asked and what came back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request. The body is recorded in base64. With `redirects`, those of what only reads are followed."""

    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes | None = None
    redirects: bool = True


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. Names of headers are in lower case; the body is recorded in base64."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""

    @property
    def is_ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def text(self) -> str:
        """The body as text in UTF-8; what is none is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """The body as plain JSON data. Raises ValueError when it is none."""
        return msgspec.json.decode(self.body)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (RFC 9110, seconds or a date)."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return max(0.0, millis / 1000)
    value = headers.get("Retry-After") or headers.get("retry-after")
    if not value:
        return None
    seconds = _number(value)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    # A provider's "nan" or "inf" is no time to wait.
    return number if number is not None and 0 <= number < 1e7 else None
