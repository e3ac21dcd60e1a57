"""HTTP to a running server: errors come back as the classes they were there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TypeVar

import aiohttp
import msgspec

from runwright.errors import ConfigError, InvalidRequest, RunwrightError, Unavailable, error_classes

API = "/api/v1"
CONNECT_S = 5.0
ANSWER_S = 60.0
SILENCE_S = 60.0

T = TypeVar("T")
Query = Mapping[str, str | int | None]


class _Place(msgspec.Struct):
    pointer: str = ""
    detail: str = ""


class _Problem(msgspec.Struct):
    detail: str = ""
    code: str = ""
    errors: tuple[_Place, ...] = ()


class Http:
    """One connection pool to one server. Errors come back as the classes they were on the server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(
        self,
        kind: type[T],
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        within_s: float = ANSWER_S,
    ) -> T:
        """Send a request and read the answer. Raises what the server raised, or Unavailable."""
        data = None if body is None else msgspec.json.encode(body)
        raw = await self.bytes(method, path, query=query, data=data, within_s=within_s)
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise Unavailable(f"What answers at {self._url} is not a Runwright server of this release.") from error

    async def bytes(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        data: bytes | None = None,
        within_s: float = ANSWER_S,
    ) -> bytes:
        """Send a request and give the answer's body. Raises what the server raised, or Unavailable."""
        url, timeout = self._url + API + path, aiohttp.ClientTimeout(total=within_s, sock_connect=CONNECT_S)
        try:
            async with self._session.request(method, url, params=_given(query), data=data, timeout=timeout) as answer:
                raw = await answer.read()
                _check(answer.status, raw, self._url)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        return raw

    async def frames(self, path: str, *, after: int) -> AsyncGenerator[bytes]:
        """The data of a stream's events, in groups as they arrive, until the server ends the stream."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        headers = {"Last-Event-ID": str(after)}
        try:
            async with self._session.get(self._url + API + path, headers=headers, timeout=timeout) as answer:
                if answer.status >= 400:
                    _check(answer.status, await answer.read(), self._url)
                data = (line[6:] async for line in answer.content if line.startswith(b"data: "))
                async for line in data:
                    yield line
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unavailable:
        detail = str(error) or type(error).__name__
        return Unavailable(
            f"No server answers at {self._url} ({detail}). Start one with `runwright serve`, or check --server."
        )


def _check(status: int, raw: bytes, url: str) -> None:
    if status < 400:
        return
    found = _told(raw)
    if not found.code:
        raise Unavailable(f"What answers at {url} is not a Runwright server (HTTP {status}).")
    raise _error(found)


def told_error(raw: bytes) -> RunwrightError:
    """The error that a problem in JSON tells of."""
    return _error(_told(raw))


def _told(raw: bytes) -> _Problem:
    try:
        return msgspec.json.decode(raw, type=_Problem)
    except msgspec.DecodeError:
        return _Problem()


def _error(found: _Problem) -> RunwrightError:
    kind = error_classes().get(found.code, RunwrightError)
    places = [(place.pointer, place.detail) for place in found.errors]
    if issubclass(kind, InvalidRequest | ConfigError):
        return kind(found.detail, problems=places)
    return kind(found.detail or None)


def _given(query: Query | None) -> dict[str, str]:
    return {name: str(value) for name, value in (query or {}).items() if value is not None}
