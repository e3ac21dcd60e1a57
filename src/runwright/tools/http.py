"""The HTTP client that code flows are offered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec

from runwright.core.context import Context
from runwright.core.http import HttpRequest, HttpResponse
from runwright.core.step import Effect
from runwright.errors import Judged, NotSent, ToolFailed

LARGEST = 10_000_000
"""Bytes of an answer that are taken."""

EFFECTS: Final[Mapping[str, Effect]] = {
    "GET": "read",
    "HEAD": "read",
    "OPTIONS": "read",
    "PUT": "idempotent",
    "DELETE": "idempotent",
}
"""What methods do (RFC 9110, section 9.2); all others may act each time."""

FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class HttpClient:
    """One pooled client, made at the first request."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, arguments: Mapping[str, Any], context: Context) -> object:
        """Send a request and give the answer as plain data.

        Raises NotSent when there was no connection, for what is no request and what would be another one as well;
        ToolFailed when there was no answer or too large a one.
        """
        request = msgspec.convert(arguments, HttpRequest)
        _refuse_framing(request)
        headers = dict(request.headers)
        if EFFECTS.get(request.method) != "read" and context.idempotency_key:
            headers.setdefault("idempotency-key", context.idempotency_key)
        leaving = _Leaving()
        try:
            async with self._opened().request(
                request.method,
                request.url,
                headers=headers,
                data=request.body,
                allow_redirects=request.redirects and EFFECTS.get(request.method) == "read",
                middlewares=(leaving,),
            ) as answer:
                return await _taken(answer)
        except (aiohttp.ClientError, ValueError, TypeError) as error:
            told = f"{request.method} {request.url}: {type(error).__name__}: {error}"
            if not leaving.has_begun:
                raise _unmade(told) from error
            if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                raise NotSent(told) from error
            raise ToolFailed(told) from error

    async def fetch(self, url: str, *, largest: int) -> bytes:
        """What stands at a URL, without redirects. Raises ToolFailed when there is no answer or too large a one."""
        try:
            async with self._opened().get(url, allow_redirects=False) as answer:
                body = await _body(answer, largest)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ToolFailed(f"{url}: {type(error).__name__}: {error}") from error
        if answer.status != 200:
            raise ToolFailed(f"{url} answered with status {answer.status}.")
        return body

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Cookies of one run are nothing to another one.
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


class _Leaving:
    """Sees a request when it has been made, and before anything of it leaves."""

    def __init__(self) -> None:
        self.has_begun = False

    async def __call__(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Pass it on."""
        self.has_begun = True
        return await send(request)


def _unmade(message: str) -> NotSent:
    """Of what was asked nothing was sent, and never is."""
    error = NotSent(message)
    error.judged = Judged("fatal", is_of_target=False)
    return error


def _refuse_framing(request: HttpRequest) -> None:
    """Raise NotSent for what says where a request ends: the rest of it would be one that nobody has judged."""
    if TOKEN.fullmatch(request.method) is None:
        raise _unmade(f"{request.method!r} is no HTTP method")
    for name, value in request.headers.items():
        if TOKEN.fullmatch(name) is None:
            raise _unmade(f"{name!r} is no name of a header")
        if CONTROL.search(value) is not None:
            raise _unmade(f"the header {name!r} holds the end of a line, or another control character")
        if name.lower() in FRAMING:
            raise _unmade(f"the header {name!r} is said by the client: leave it out")


async def _taken(answer: aiohttp.ClientResponse) -> object:
    body = await _body(answer, LARGEST)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return msgspec.to_builtins(HttpResponse(status=answer.status, headers=headers, body=body))


async def _body(answer: aiohttp.ClientResponse, largest: int) -> bytes:
    body = await answer.content.read(largest + 1)
    while len(body) <= largest and (more := await answer.content.read(largest + 1 - len(body))):
        body += more
    if len(body) > largest:
        raise ToolFailed(f"The answer of {answer.url} is larger than {largest:,} bytes.")
    return body
