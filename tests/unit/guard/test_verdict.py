"""What errors mean."""

import asyncio
import errno
import socket
import ssl
from email import message_from_string
from urllib.error import HTTPError

import aiohttp
import httpx2
import pytest

from runwright.core.step import Effect
from runwright.errors import (
    AgentError,
    BreakerOpen,
    BudgetExceeded,
    CallShed,
    ConfigError,
    DeadlineExceeded,
    MalformedResponse,
    ModelUnknown,
    NotSent,
    Overloaded,
    ProviderAuth,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    ToolFailed,
    ToolTimeout,
)
from runwright.guard.verdict import Verdict, asked_s, forbids, is_of_target, told, verdict
from tests.unit.guard.calls import Upstream, call_of


class HasStatus(Exception):
    """An error of an SDK that carries a status."""

    def __init__(self, status_code: int, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.status_code = status_code
        self.headers = headers or {}


def http_error(status: int, headers: dict[str, str] | None = None) -> httpx2.HTTPStatusError:
    """The error of an HTTP client that carries a response."""
    request = httpx2.Request("GET", "http://x")
    return httpx2.HTTPStatusError("x", request=request, response=httpx2.Response(status, headers=headers))


MEANINGS: list[tuple[BaseException, Verdict]] = [
    (RateLimited(), "throttled"),
    (Overloaded(), "throttled"),
    (ProviderUnavailable(), "transient"),
    (ProviderTimeout(), "transient"),
    (MalformedResponse(), "transient"),
    (ToolTimeout(), "transient"),
    (NotSent(), "transient"),
    (ProviderRejected(), "fatal"),
    (ProviderAuth(), "fatal"),
    (ModelUnknown(), "fatal"),
    (ToolFailed(), "fatal"),
    (DeadlineExceeded(), "fatal"),
    (BreakerOpen(), "fatal"),
    (CallShed(), "fatal"),
    (asyncio.CancelledError(), "cancelled"),
    (HasStatus(429), "throttled"),
    (HasStatus(503), "transient"),
    (HasStatus(408), "transient"),
    (HasStatus(400), "fatal"),
    (HasStatus(501), "fatal"),
    (HasStatus(7), "fatal"),
    (http_error(429), "throttled"),
    (http_error(502), "transient"),
    (http_error(404), "fatal"),
    (TimeoutError(), "transient"),
    (ConnectionResetError(), "transient"),
    (OSError(errno.ENETUNREACH, "x"), "transient"),
    (OSError(errno.ENOSPC, "x"), "fatal"),
    (FileNotFoundError(), "fatal"),
    (socket.gaierror(socket.EAI_AGAIN, "x"), "transient"),
    (ssl.SSLEOFError(), "transient"),
    (ssl.SSLCertVerificationError(), "fatal"),
    (asyncio.IncompleteReadError(b"", 3), "transient"),
    (aiohttp.ClientOSError(errno.ECONNREFUSED, "x"), "transient"),
    (aiohttp.ServerDisconnectedError(), "transient"),
    (aiohttp.ClientPayloadError(), "transient"),
    (aiohttp.InvalidURL("x"), "fatal"),
    (httpx2.ConnectError("x"), "transient"),
    (httpx2.ReadTimeout("x"), "transient"),
    (httpx2.RemoteProtocolError("x"), "transient"),
    (httpx2.UnsupportedProtocol("x"), "fatal"),
    (ValueError(), "fatal"),
    (SystemExit(), "fatal"),
]
ELSEWHERE: list[tuple[BaseException, bool]] = [
    (RateLimited(), True),
    (ProviderUnavailable(), True),
    (BreakerOpen(), True),
    (CallShed(), True),
    (ProviderAuth(), True),
    (ModelUnknown(), True),
    (ConfigError(), True),
    (HasStatus(401), True),
    (HasStatus(404), True),
    (ProviderRejected(), False),
    (HasStatus(400), False),
    (BudgetExceeded(), False),
    (DeadlineExceeded(), False),
    (AgentError(), False),
    (KeyError(), False),
]


@pytest.mark.parametrize(
    ("error", "expected"), MEANINGS, ids=[f"{n}_{type(e).__name__}" for n, (e, _) in enumerate(MEANINGS)]
)
def test_verdict(error: BaseException, expected: Verdict) -> None:
    """Errors of ours and of common clients are told apart; what nobody knows is not sent again."""
    assert verdict(error) == expected


@pytest.mark.parametrize(
    ("error", "is_elsewhere"), ELSEWHERE, ids=[f"{n}_{type(e).__name__}" for n, (e, _) in enumerate(ELSEWHERE)]
)
def test_what_another_target_helps_with(error: BaseException, is_elsewhere: bool) -> None:
    """A target's own trouble is left behind by going elsewhere; a bad question is not."""
    assert is_of_target(error) is is_elsewhere


@pytest.mark.parametrize(
    ("effect", "error", "is_begun", "reason"),
    [
        ("read", TimeoutError(), False, ""),
        ("idempotent", TimeoutError(), False, ""),
        ("once", TimeoutError(), False, "its effect is 'once' and it did not raise NotSent"),
        ("once", NotSent(), False, ""),
        ("read", TimeoutError(), True, "a part of the answer was shown already"),
    ],
)
def test_what_may_be_sent_again(effect: Effect, error: Exception, is_begun: bool, reason: str) -> None:
    """The effect of a tool and the first chunk of a stream decide."""
    call = call_of(Upstream(1).send, effect=effect)
    call.trail.is_begun = is_begun
    assert forbids(call, error) == reason


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimited(retry_after_s=3), 3),
        (RateLimited(), None),
        (http_error(429, {"Retry-After": "4"}), 4),
        (HasStatus(503, {"retry-after": "5"}), 5),
        (HTTPError("http://x", 429, "no", message_from_string("Retry-After: 7\n\n"), None), 7),
        (ValueError(), None),
    ],
    ids=["ours", "ours_without", "response", "headers", "urllib", "other"],
)
def test_what_a_target_asks_for(error: Exception, seconds: float | None) -> None:
    """Retry-After is found where clients put it."""
    assert asked_s(error) == seconds


def test_an_error_in_a_few_words() -> None:
    """A page of text does not fill the record."""
    assert told(KeyError("x")) == "KeyError: 'x'"
    assert len(told(ValueError("x" * 1000))) == 200
