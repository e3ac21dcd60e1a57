"""Every error has an answer."""

import sqlite3

import httpx2
import pytest
from inline_snapshot import snapshot
from starlette.types import Receive, Scope, Send

from runwright.errors import (
    AgentError,
    InvalidRequest,
    NotFound,
    Overloaded,
    ProviderTimeout,
    RunwrightError,
    StorageFull,
    TooLarge,
    Unauthorized,
)
from runwright.server.problems import Problems
from runwright.store.faults import storage_error
from runwright.studio import Studio


async def answer_to(error: Exception, path: str = "/api/v1/x", **headers: str) -> httpx2.Response:
    """The answer to a request whose endpoint raises."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    transport = httpx2.ASGITransport(app=Problems(fails, studio=Studio()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path, headers={"x-request-id": "req-1", **headers})


async def test_a_problem_has_everything_a_client_needs() -> None:
    """Native errors follow RFC 9457 and point at each mistake."""
    error = InvalidRequest("The request is not valid.", problems=[("/tags/1", "Expected `str`, got `int`")])
    answer = await answer_to(error)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()) == snapshot(
        (
            422,
            {
                "type": "/errors/invalid_request",
                "title": "The request is not valid",
                "status": 422,
                "detail": "/tags/1: Expected `str`, got `int`",
                "code": "invalid_request",
                "retryable": False,
                "request_id": "req-1",
                "errors": [{"pointer": "/tags/1", "detail": "Expected `str`, got `int`"}],
            },
        )
    )


async def test_an_openai_error_has_its_shape() -> None:
    """Under /v1 errors are OpenAI's, and say in the message what is wrong where."""
    error = InvalidRequest("The request is not valid.", problems=[("/messages/0/role", "a role is needed")])
    answer = await answer_to(error, "/v1/chat/completions")
    assert (answer.status_code, answer.headers["x-should-retry"], answer.json()) == snapshot(
        (
            422,
            "false",
            {
                "error": {
                    "message": "The request is not valid. /messages/0/role: a role is needed",
                    "type": "invalid_request_error",
                    "param": "messages.0.role",
                    "code": "invalid_request",
                }
            },
        )
    )


@pytest.mark.parametrize(
    "error", [NotFound("x"), Unauthorized(), StorageFull(), ProviderTimeout(), TooLarge(), AgentError("x")]
)
async def test_the_status_is_that_of_the_error(error: RunwrightError) -> None:
    """The error tree says the status, on both faces."""
    native, openai = await answer_to(error), await answer_to(error, "/v1/models")
    assert (native.status_code, native.json()["code"]) == (error.status, error.code)
    assert (openai.status_code, openai.json()["error"]["code"]) == (error.status, error.code)


@pytest.mark.parametrize("path", ["/api/v1/runs", "/v1/chat/completions"])
async def test_no_path_of_the_server_is_told(path: str) -> None:
    """What the store says comes to a client without the place of the database, on both faces."""
    fault = sqlite3.OperationalError("database or disk is full")
    fault.sqlite_errorcode = sqlite3.SQLITE_FULL
    error = storage_error(fault, "/srv/secret/runwright.db")
    assert "/srv/secret" in error.message
    answer = await answer_to(error, path)
    assert answer.status_code == 507
    assert "database or disk is full. Free space" in answer.text
    assert "/srv/secret" not in answer.text


async def test_retry_after_is_sent() -> None:
    """An error that knows when to come back says so in the header, at least one second."""
    assert (await answer_to(Overloaded(retry_after_s=0.2))).headers["retry-after"] == "1"
    assert (await answer_to(Overloaded(retry_after_s=7))).headers["retry-after"] == "7"


async def test_what_is_not_ours_is_hidden() -> None:
    """An unknown exception is answered without a word of its own."""
    answer = await answer_to(RuntimeError("password=hunter2"))
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.json() == snapshot(
        {
            "type": "/errors/internal_error",
            "title": "Something went wrong inside Runwright",
            "status": 500,
            "detail": "Something went wrong inside the server; its log has the details.",
            "code": "internal_error",
            "retryable": False,
            "request_id": "req-1",
        }
    )


async def test_a_request_id_that_is_not_sane_is_replaced() -> None:
    """The id of the request comes back if it is plain text, else a fresh one."""
    assert (await answer_to(NotFound())).headers["x-request-id"] == "req-1"
    fresh = (await answer_to(NotFound(), **{"x-request-id": "a" * 200})).headers["x-request-id"]
    assert fresh.startswith("req_")
