"""Notices what the code of a flow does past its context: connections and processes that are no steps.

It sees what Python itself reports (PEP 578), and what is asked of the event loop, because uvloop connects without
Python. It cannot see a connection that was open before, files, shared memory, or what a C library does by itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, wraps
from inspect import signature
from typing import Any, Final, cast

Escaped = Callable[[str], None]

_told: ContextVar[Escaped | None] = ContextVar("runwright_escapes", default=None)

SOCKETS: Final = frozenset({"socket.connect", "socket.sendto"})
PROCESSES: Final = frozenset({"subprocess.Popen", "os.system", "os.posix_spawn", "os.spawn", "os.fork"})
PROCESS: Final = "its code began a process that was no step"


@contextmanager
def watched(escaped: Escaped | None) -> Generator[None]:
    """Tell of what this task, and the tasks that it begins, do inside; None tells nobody."""
    token = _told.set(escaped)
    try:
        yield
    finally:
        # A coroutine that nobody awaits to its end is closed in another context.
        with suppress(ValueError):
            _told.reset(token)


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Look out on this loop, and in this process from the first call on."""
    _hook()
    _wrap(loop, "create_connection", lambda given: _connection(given.get("host")))
    _wrap(loop, "create_datagram_endpoint", lambda given: _connection(given.get("remote_addr")))
    _wrap(loop, "sock_connect", lambda given: _connection(given.get("address")))
    _wrap(loop, "subprocess_exec", lambda given: PROCESS)
    _wrap(loop, "subprocess_shell", lambda given: PROCESS)


@cache
def _hook() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event not in SOCKETS and event not in PROCESSES:
        return
    escaped = _told.get()
    if escaped is not None:
        told = PROCESS if event in PROCESSES else _connection(args[1] if len(args) > 1 else None)
        if told:
            escaped(told)


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
        escaped = _told.get()
        if escaped is not None and (told := describe({**dict(zip(names, args, strict=False)), **kwargs})):
            escaped(told)
        return method(*args, **kwargs)

    # A loop that takes no attributes is looked out for as far as Python reports it.
    with suppress(AttributeError):
        setattr(loop, name, asked)
