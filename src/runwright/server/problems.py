"""Errors as answers: RFC 9457 problems natively, the OpenAI error object under `/v1`. Both read the error tree."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runwright.core.ids import make_id
from runwright.errors import (
    ConfigError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RunwrightError,
    TooLarge,
    Unauthorized,
)
from runwright.server.login import login_url
from runwright.server.wire import ClientGone, Header, encode
from runwright.service.views import Problem
from runwright.studio import Studio
from runwright.studio.page import Ask
from runwright.tools.signature import in_words

_log = logging.getLogger("runwright.server")
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
OVERRIDES = "/config/settings"


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as native callers see it (RFC 9457). `type` is a page that explains the code."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str | None = None
    errors: tuple[Problem, ...] = ()


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """The inside of an OpenAI error object."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIErrorBody(msgspec.Struct, frozen=True):
    """An error as OpenAI clients see it."""

    error: OpenAIError


def problem(error: RunwrightError, *, request_id: str | None = None) -> ProblemBody:
    """The native form of an error."""
    return ProblemBody(
        type=f"/errors/{error.code}",
        title=_title(error),
        status=error.status,
        detail=_detail(error),
        code=error.code,
        retryable=error.retryable,
        request_id=request_id,
        errors=tuple(Problem(pointer=pointer, detail=detail) for pointer, detail in places_of(error)),
    )


def openai_error(error: RunwrightError) -> OpenAIErrorBody:
    """The OpenAI form of an error. The message holds every detail, for its clients show nothing else."""
    message = error.public
    places = [(pointer.removeprefix(OVERRIDES), detail) for pointer, detail in places_of(error)]
    details = [f" {pointer}: {detail}".replace(" :", "") for pointer, detail in places if detail not in message]
    param = places[0][0].removeprefix("/").replace("/", ".") if places else ""
    return OpenAIErrorBody(
        OpenAIError(
            message=message + "".join(details),
            type=_openai_type(error.status),
            param=param or None,
            code=error.code,
        )
    )


def places_of(error: Exception) -> tuple[tuple[str, str], ...]:
    """What is wrong where."""
    return error.problems if isinstance(error, InvalidRequest | ConfigError) else ()


def _detail(error: RunwrightError) -> str:
    """What the error says; where that is no more than its title, what is wrong where."""
    is_title = error.public.rstrip(".") == _title(error)
    return (in_words(places_of(error)) if is_title else "") or error.public


def _title(error: RunwrightError) -> str:
    return (type(error).__doc__ or error.code).strip().partition("\n")[0].rstrip(".")


def _openai_type(status: int) -> str:
    names = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    return names.get(status, "server_error" if status >= 500 else "invalid_request_error")


async def shown(error: Exception, **context: str) -> RunwrightError:
    """The error as one that can be shown: what is not ours is logged and hidden."""
    match error:
        case RunwrightError():
            return error
        case HTTPException(status_code=404):
            return NotFound("There is nothing at this path; /openapi.json lists what there is.")
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "")
            return MethodNotAllowed(f"This path takes {allowed} alone.", allowed=allowed.split(", "))
        case RequestValidationError():
            return InvalidRequest("The request is not valid.", problems=[_fastapi_place(e) for e in error.errors()])
        case _:
            # A traceback is made from source files, which the event loop must not read.
            await asyncio.to_thread(_log.error, "request.failed", exc_info=error, extra=context)
            return RunwrightError("Something went wrong inside the server; its log has the details.")


def _fastapi_place(error: dict[str, object]) -> tuple[str, str]:
    path = error["loc"]
    assert isinstance(path, tuple)
    place: list[str] = [str(part) for part in path]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - names and numbers
    is_stranger = error["type"] == "extra_forbidden"
    told = f"there is no parameter {place[-1]!r}; /openapi.json lists those that there are"
    return "/".join(place), told if is_stranger else str(error["msg"])


def error_answer(error: RunwrightError, *, path: str, request_id: str) -> tuple[list[Header], bytes]:
    """Headers and body of an error for the face the path belongs to."""
    headers = list(_headers(error))
    if not is_openai(path):
        return [(b"content-type", b"application/problem+json"), *headers], encode(problem(error, request_id=request_id))
    # OpenAI clients send a 409 or 5xx again unless they are told not to.
    headers.append((b"x-should-retry", b"true" if error.retryable else b"false"))
    return [(b"content-type", b"application/json"), *headers], encode(openai_error(error))


def _headers(error: RunwrightError) -> Iterator[Header]:
    if error.retry_after_s is not None:
        yield b"retry-after", str(max(1, round(error.retry_after_s))).encode()
    match error:
        case MethodNotAllowed():
            yield b"allow", ", ".join(error.allowed).encode()
        case TooLarge():
            # What is left of the body stays unread.
            yield b"connection", b"close"
        case _:
            pass


async def reraise(_: Request, error: Exception) -> Response:
    """An exception handler for FastAPI that leaves the error to the middleware."""
    raise error


def is_openai(path: str) -> bool:
    """Whether a path belongs to the OpenAI face."""
    return path.startswith("/v1/")


class Problems:
    """The outermost middleware: paths without the prefix of a proxy, a request id on every answer, and an answer for
    every error: a page for browsers on their way through the studio.
    """

    def __init__(self, app: ASGIApp, *, studio: Studio, root_path: str = "") -> None:
        self._app = app
        self._studio = studio
        self._prefix = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if self._prefix and f"{scope['path']}/".startswith(self._prefix + "/"):
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix) or "/"}
        request_id = _request_id(scope)
        has_begun = False

        async def answer(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientGone:
            return None
        # The server edge is one of the three places where anything may arrive: every error becomes an answer.
        except Exception as error:
            told = await shown(error, request_id=request_id.decode(), path=scope["path"])
            if has_begun:
                raise
            if isinstance(told, Unauthorized) and _is_way(scope):
                there = login_url(self._prefix, scope["path"], scope["query_string"])
                return await RedirectResponse(there, status_code=303)(scope, receive, answer)
            if _is_browser(scope):
                page = await self._studio.error(Request(scope), told)
                page.raw_headers.extend(_headers(told))
                return await page(scope, receive, answer)
            await _send_error(told, scope, answer, request_id=request_id.decode())


def _is_way(scope: Scope) -> bool:
    """Whether a person goes to a page, and does not send a form or look at a page a part of which is asked for."""
    return scope["method"] == "GET" and _is_browser(scope) and not Ask(Request(scope)).is_part


def _is_browser(scope: Scope) -> bool:
    """Whether a person looks at a page: other clients ask for JSON, or for anything."""
    if scope["path"].startswith(("/api/", "/v1/")):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            given: bytes = value
            return given
    return make_id("req").encode()


async def _send_error(error: RunwrightError, scope: Scope, send: Send, *, request_id: str) -> None:
    headers, body = error_answer(error, path=scope["path"], request_id=request_id)
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
