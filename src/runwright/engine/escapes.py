"""Notices what the code of a flow does past its context: connections and processes that are no steps, and timers.

It sees what Python itself reports (PEP 578), and what is asked of the event loop, because uvloop connects without
Python. It cannot see a connection that was open before, files, shared memory, or what a C library does by itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from functools import cache, wraps
from inspect import signature
from typing import Any, Final, Protocol, cast

from runwright.engine.pace import Pace, Timer


class Code(Protocol):
    """The code of a flow, as it is looked out for."""

    @property
    def pace(self) -> Pace:
        """What hands things over to it."""
        ...

    def escaped(self, reason: str) -> None:
        """It did something that was no step."""
        ...


_code: ContextVar[Code | None] = ContextVar("runwright_code", default=None)

SOCKETS: Final = frozenset({"socket.connect", "socket.sendto"})
PROCESSES: Final = frozenset({"subprocess.Popen", "os.system", "os.posix_spawn", "os.spawn", "os.fork"})
PROCESS: Final = "its code began a process that was no step"


@contextmanager
def watched(code: Code | None) -> Generator[None]:
    """What this task, and the tasks that it begins, do inside is done by this code; None looks away."""
    token = _code.set(code)
    try:
        yield
    finally:
        # A coroutine that nobody awaits to its end is closed in another context.
        with suppress(ValueError):
            _code.reset(token)


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Look out on this loop, and in this process from the first call on."""
    _hook()
    _wrap(loop, "create_connection", lambda given: _connection(given.get("host")))
    _wrap(loop, "create_datagram_endpoint", lambda given: _connection(given.get("remote_addr")))
    _wrap(loop, "sock_connect", lambda given: _connection(given.get("address")))
    _wrap(loop, "subprocess_exec", lambda given: PROCESS)
    _wrap(loop, "subprocess_shell", lambda given: PROCESS)
    _keep_pace(loop)


@cache
def _hook() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event not in SOCKETS and event not in PROCESSES:
        return
    code = _code.get()
    if code is not None:
        told = PROCESS if event in PROCESSES else _connection(args[1] if len(args) > 1 else None)
        if told:
            code.escaped(told)


def _connection(address: object) -> str:
    """What is said of a connection; nothing of a socket that is handed over, because it was told as it connected."""
    if isinstance(address, tuple) and address:
        address = cast("tuple[object, ...]", address)[0]
    return f"its code opened a connection to {address} that was no step" if address else ""


def _wrap(loop: asyncio.AbstractEventLoop, name: str, describe: Callable[[Mapping[str, object]], str]) -> None:
    method = getattr(loop, name)
    if hasattr(method, "__wrapped__"):
        return
    names = list(signature(getattr(asyncio.AbstractEventLoop, name)).parameters)[1:]

    @wraps(method)
    def asked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the loop's own method takes and gives
        code = _code.get()
        if code is not None and (told := describe({**dict(zip(names, args, strict=False)), **kwargs})):
            code.escaped(told)
        return method(*args, **kwargs)

    # A loop that takes no attributes is looked out for as far as Python reports it.
    with suppress(AttributeError):
        setattr(loop, name, asked)


def _keep_pace(loop: asyncio.AbstractEventLoop) -> None:
    """See what of a flow is ready to run, and the timers that it sets."""
    soon, at = loop.call_soon, loop.call_at
    if hasattr(soon, "__wrapped__"):
        return

    @wraps(soon)
    def call_soon(callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:  # noqa: ANN401 - as asyncio
        code = _code.get() if context is None else context.get(_code)
        if code is not None:
            code.pace.stir()
        return soon(callback, *args, context=context)

    def timed(method: Callable[..., asyncio.TimerHandle], begun: Callable[[], float]) -> Any:  # noqa: ANN401 - as asyncio
        @wraps(method)
        def call(when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:  # noqa: ANN401 - as asyncio
            code = _code.get() if context is None else context.get(_code)
            # One of these methods may call the other.
            if code is None or isinstance(callback, Timer):
                return method(when, callback, *args, context=context)
            return code.pace.timer(begun() + when, callback, args, context=context, set_timer=at)

        return call

    with suppress(AttributeError):
        call_later, call_at = timed(loop.call_later, loop.time), timed(at, lambda: 0.0)
        vars(loop).update(call_soon=call_soon, call_later=call_later, call_at=call_at)
