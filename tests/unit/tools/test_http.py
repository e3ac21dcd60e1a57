"""What code may ask of the HTTP client."""

from __future__ import annotations

from typing import Any, cast

import pytest

from runwright.core.context import Context
from runwright.errors import InvalidRequest
from runwright.tools.http import HttpClient


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"Content-Length": "0"}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"headers": {"x": "a\r\nHost: evil"}},
        {"headers": {"x\r\ny": "a"}},
        {"headers": {"x": "a\0"}},
        {"method": "GET / HTTP/1.1\r\n\r\nGET"},
    ],
    ids=["length", "chunked", "line in value", "line in name", "zero", "method"],
)
async def test_one_request_is_one_request(given: dict[str, Any]) -> None:
    """What would have the rest of a request taken for another one is refused before anything is sent."""
    asked = {"method": "POST", "url": "http://127.0.0.1:1/x", "body": "R0VUIC8=", **given}
    with pytest.raises(InvalidRequest):
        await HttpClient().send(asked, cast("Context", None))
