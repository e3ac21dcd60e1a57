"""HTTP as a step: what is asked and what came back."""

from __future__ import annotations

from typing import Any

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request. The body is recorded in base64."""

    method: str
    url: str
    headers: dict[str, str] = {}
    body: bytes | None = None


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
