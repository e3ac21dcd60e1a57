"""One stream a browser: which runs changed, and what happens in some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from runwright.core.event import NULL, Event, EventData
from runwright.core.labels import LARGEST, number
from runwright.errors import InvalidRequest, RunwrightError
from runwright.server.problems import shown
from runwright.server.sse import StreamError, Streams, event_json, only_get
from runwright.server.wire import encode, read_body
from runwright.service.live import Live
from runwright.service.runs import Runs
from runwright.service.views import RunView, run_view

LIVE_PATH = "/live"
MOST_RUNS = 64
"""Runs that one stream may follow: those that a person has open."""

END = b"event: end\ndata: {}\n\n"


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """What is listened to: changes of all runs behind a position, and runs by id, each behind the event of a number."""

    runs: int | None
    followed: Mapping[str, int]


class RunsFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that changed up to `position`, without input and output; `is_gap` where there are too many to be told."""

    position: int
    runs: Sequence[RunView] = ()
    is_gap: bool = False


class LiveStream:
    """`GET /live?runs=POSITION&run=ID@SEQ&run=...`: frames `runs` and `run`, until every followed run is over.

    A frame `run` holds events without their bodies, which a page fetches for what it shows.
    """

    def __init__(self, live: Live, runs: Runs, streams: Streams) -> None:
        self._live = live
        self._runs = runs
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Listen. Raises InvalidRequest, and MethodNotAllowed for HEAD."""
        only_get(scope)
        topics = _topics(scope)
        await read_body(receive)
        await self._streams.tell(partial(self._story, topics), _failure, (receive, send))

    async def _story(self, topics: Topics, send: Send) -> bytes:
        async with asyncio.TaskGroup() as group:
            if topics.runs is not None:
                group.create_task(_whatever_comes(partial(self._tell_runs, topics.runs), send))
            for run_id, after in topics.followed.items():
                group.create_task(_whatever_comes(partial(self._tell_run, run_id, after), send, run_id))
        return END

    async def _tell_runs(self, after: int, send: Send) -> None:
        async for found in self._live.changes(after):
            runs = [run_view(run) for run in found.runs]
            frame = RunsFrame(position=found.position, runs=runs, is_gap=found.is_gap)
            await _send(send, b"runs", encode(frame))

    async def _tell_run(self, run_id: str, after: int, send: Send) -> None:
        known = encode(run_id)
        async for group in self._runs.events(run_id, after=after):
            events = b",".join([event_json(known, _without_bodies(event)) for event in group])
            await _send(send, b"run", b'{"run":%b,"seq":%d,"events":[%b]}' % (known, group[-1].seq, events))
        await _send(send, b"run", b'{"run":%b,"is_over":true,"events":[]}' % known)


async def _whatever_comes(tell: Callable[[Send], Awaitable[None]], send: Send, run_id: str | None = None) -> None:
    """Tell of one topic; its error is a frame, and the others go on."""
    try:
        await tell(send)
    except Exception as error:  # noqa: BLE001 - the server edge: the answer has begun, so the error goes into it
        await send({"type": "http.response.body", "body": _failure(await shown(error), run_id), "more_body": True})


def _failure(error: RunwrightError, run_id: str | None = None) -> bytes:
    told = StreamError(code=error.code, detail=error.public, retryable=error.retryable)
    return b'event: failure\ndata: {"run":%b,"error":%b}\n\n' % (encode(run_id), encode(told))


async def _send(send: Send, name: bytes, data: bytes) -> None:
    body = b"event: %b\ndata: %b\n\n" % (name, data)
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _without_bodies(event: Event) -> Event:
    names = event.data.bulky
    if not names:
        return event
    slim: EventData = msgspec.structs.replace(
        event.data, **{name: () if name == "messages" else NULL for name in names}
    )
    return msgspec.structs.replace(event, data=slim)


def _topics(scope: Scope) -> Topics:
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    runs = [_number(text, "runs") for text in asked.get("runs", ())]
    followed: dict[str, int] = {}
    for each in asked.get("run", ()):
        run_id, _, after = each.rpartition("@")
        if not run_id:
            raise _wrong("run", "ID@SEQ", each)
        followed[run_id] = _number(after, "run")
    if len(followed) > MOST_RUNS:
        raise _wrong("run", f"given at most {MOST_RUNS} times", str(len(followed)))
    return Topics(runs=min(runs, default=None), followed=followed)


def _number(text: str, name: str) -> int:
    found = number(text)
    if found is None:
        raise _wrong(name, f"a number from 0 to {LARGEST}", text)
    return found


def _wrong(name: str, expected: str, text: str) -> InvalidRequest:
    detail = f"{expected}, not {text[:60]!r}"
    return InvalidRequest(f"What to listen to is not valid: {name!r} is {detail}.", problems=[(f"/{name}", detail)])
