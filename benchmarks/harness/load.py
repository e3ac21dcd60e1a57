"""The load client: a closed loop of connections, bounded in time and count, that checks every answer.

Raw asyncio protocols with httptools, so that the client is not what is measured. Run it on uvloop.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import httptools

from harness.faces import Call
from harness.wire import FIRST_TOKEN

GRACE_S = 20.0
_FIRST = FIRST_TOKEN.encode()


@dataclass(frozen=True, kw_only=True)
class Bound:
    """When a load stops sending: after `seconds`, or after `requests` if that comes first."""

    seconds: float
    requests: int


@dataclass(kw_only=True)
class Tally:
    """What came back. Durations are seconds; each error is one line and is kept once."""

    latencies: list[float] = field(default_factory=list[float])
    first_tokens: list[float] = field(default_factory=list[float])
    failures: int = 0
    errors: dict[str, int] = field(default_factory=dict[str, int])
    wall_s: float = 0.0

    def fail(self, error: str) -> None:
        self.failures += 1
        self.errors[error] = self.errors.get(error, 0) + 1


class _Stop:
    """Says when the loop has sent enough, and counts the connections that are still busy."""

    def __init__(self, bound: Bound, connections: int) -> None:
        self._until = time.perf_counter() + bound.seconds
        self._left = bound.requests
        self._busy = connections
        self.finished = asyncio.Event()

    def takes_another(self) -> bool:
        self._left -= 1
        return self._left >= 0 and time.perf_counter() < self._until

    def leave(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self.finished.set()


class _Connection(asyncio.Protocol):
    """Sends a request, checks its answer, and sends the next one."""

    def __init__(self, call: Call, numbers: Iterator[int], stop: _Stop, tally: Tally) -> None:
        self._call, self._numbers, self._stop, self._tally = call, numbers, stop, tally
        self._parts: list[bytes] = []
        self._first_at = 0.0
        self._is_done = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_done:
            self._tally.fail(f"connection lost: {exc!r}")
            self._finish()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        if not self._first_at and _FIRST in body:
            self._first_at = time.perf_counter()

    def on_message_complete(self) -> None:
        ended = time.perf_counter()
        body = b"".join(self._parts)
        if error := self._call.fault(self._parser.get_status_code(), body, self._number):
            self._tally.fail(error)
        else:
            self._tally.latencies.append(ended - self._sent_at)
            self._tally.first_tokens.append((self._first_at or ended) - self._sent_at)
        self._send()

    def _send(self) -> None:
        if self._is_done or not self._stop.takes_another():
            return self._finish()
        self._parser = httptools.HttpResponseParser(self)
        self._parts.clear()
        self._first_at = 0.0
        self._number = b"%08d" % next(self._numbers)
        self._sent_at = time.perf_counter()
        self._transport.write(self._call.request(self._number))

    def _finish(self) -> None:
        if not self._is_done:
            self._is_done = True
            self._stop.leave()
            self._transport.close()


async def drive(call: Call, numbers: Iterator[int], *, port: int, connections: int, bound: Bound) -> Tally:
    """Run one load to its bound and wait, at most GRACE_S more, for the answers still out."""
    tally, stop = Tally(), _Stop(bound, connections)
    make = partial(_Connection, call, numbers, stop, tally)
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    try:
        for _ in range(connections):
            await loop.create_connection(make, "127.0.0.1", port)
        await asyncio.wait_for(stop.finished.wait(), bound.seconds + GRACE_S)
    except TimeoutError:
        tally.fail(f"answers still missing {GRACE_S:.0f} s after the last request")
    except OSError as error:
        tally.fail(f"cannot connect: {error}")
    finally:
        gc.enable()
    tally.wall_s = time.perf_counter() - started
    return tally
