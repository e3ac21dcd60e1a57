"""What code may ask of the HTTP client."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from runwright.core.context import Context
from runwright.errors import NotSent
from runwright.guard.verdict import verdict
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
    with pytest.raises(NotSent) as caught:
        await HttpClient().send(asked, cast("Context", None))
    assert verdict(caught.value) == "fatal"


@pytest.mark.parametrize(
    ("url", "headers"),
    [("http://a:b@127.0.0.1:1/", {"Authorization": "x"}), ("http://127.0.0.1:999999/", {}), ("ftp://127.0.0.1/", {})],
    ids=["two authorizations", "port", "scheme"],
)
async def test_what_is_no_request_was_not_sent(url: str, headers: dict[str, str]) -> None:
    """A request that cannot be made never left, so nobody is asked about it, and it is not tried again."""
    client = HttpClient()
    context = cast("Context", SimpleNamespace(idempotency_key=""))
    try:
        with pytest.raises(NotSent) as caught:
            await client.send({"method": "POST", "url": url, "headers": headers}, context)
    finally:
        await client.close()
    assert verdict(caught.value) == "fatal"
