"""What an error means: whether the same call can succeed later, and whether it may be sent again at all.

Errors of ours say so themselves. Those of other libraries are judged by the HTTP status they carry, by what kind of
error they are, and by the names that HTTP clients, SDKs and drivers give to trouble on the network.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from typing import TypeVar, cast

from runwright.core.http import retry_after_s
from runwright.errors import (
    BreakerOpen,
    CallShed,
    ConfigError,
    GuardError,
    Judged,
    ModelUnknown,
    NotSent,
    ProviderAuth,
    RunwrightError,
    Verdict,
)
from runwright.guard.call import Call

T = TypeVar("T")

TOO_MANY = 429

_TRANSIENT_STATUS = frozenset({408, 425})
_NOT_IMPLEMENTED = 501
_SERVER_FAULT = 500
_OF_ONE_TARGET = frozenset({401, 403, 404})
_NETWORK = frozenset(
    {
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
    }
)
# As aiohttp, httpx, requests, urllib3, redis and the SDKs of providers call them.
_NETWORK_NAMES = frozenset(
    {
        "APIConnectionError",
        "ChunkedEncodingError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionError",
        "NetworkError",
        "ProtocolError",
        "RemoteProtocolError",
        "Timeout",
        "TimeoutError",
        "TimeoutException",
    }
)


def verdict(error: BaseException) -> Verdict:
    """What an error means. The guard's own refusals are fatal: what would send again must not work against them."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, RunwrightError):
        if error.judged is not None:
            return error.judged.verdict
        if isinstance(error, GuardError) or not error.retryable:
            return "fatal"
        return "throttled" if error.status == TOO_MANY else "transient"
    status = _status(error)
    if status is not None:
        return _of_status(status)
    return "transient" if isinstance(error, Exception) and _is_network(error) else "fatal"


def is_of_target(error: BaseException) -> bool:
    """Whether the same call may do better elsewhere: the error is the target's, not the question's or the caller's."""
    if isinstance(error, (BreakerOpen, CallShed, ProviderAuth, ModelUnknown, ConfigError)):
        return True
    if verdict(error) in ("throttled", "transient"):
        return True
    if isinstance(error, RunwrightError):
        return error.judged is not None and error.judged.is_of_target
    return _status(error) in _OF_ONE_TARGET


def stand_in(ours: RunwrightError, error: BaseException) -> RunwrightError:
    """An error of ours that the guard takes for what another library's error means."""
    ours.judged = Judged(verdict(error), is_of_target(error))
    ours.retry_after_s = asked_s(error)
    return ours


def forbids(call: Call[T], error: BaseException) -> str:
    """Why a call that failed must not be sent again, whatever the error means; empty when it may be."""
    if call.trail.is_begun:
        return "a part of the answer was shown already"
    if call.effect == "once" and not isinstance(error, NotSent):
        return "its effect is 'once' and it did not raise NotSent"
    return ""


def asked_s(error: BaseException) -> float | None:
    """The seconds that a target asks to be left alone."""
    if isinstance(error, RunwrightError):
        return error.retry_after_s
    for holder in (getattr(error, "response", None), error):
        headers: object = getattr(holder, "headers", None)
        # Those of the standard library are messages, and no mappings.
        if callable(getattr(headers, "get", None)):
            return retry_after_s(cast("Mapping[str, str]", headers))
    return None


def told(error: BaseException) -> str:
    """An error in a few words, for a record."""
    text = f"{type(error).__name__}: {error}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


_LONGEST = 200


def _of_status(status: int) -> Verdict:
    if status == TOO_MANY:
        return "throttled"
    if status in _TRANSIENT_STATUS or (status >= _SERVER_FAULT and status != _NOT_IMPLEMENTED):
        return "transient"
    return "fatal"


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of another library carries."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status"):
            found: object = getattr(holder, name, None)
            if isinstance(found, int) and 100 <= found <= 599:
                return int(found)
    return None


def _is_network(error: Exception) -> bool:
    names = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, ssl.SSLCertVerificationError) or any("Certificate" in name for name in names):
        return False
    if isinstance(error, (TimeoutError, ConnectionError, socket.gaierror, ssl.SSLError, asyncio.IncompleteReadError)):
        return True
    if isinstance(error, OSError) and error.errno in _NETWORK:
        return True
    return not names.isdisjoint(_NETWORK_NAMES)
