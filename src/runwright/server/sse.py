"""Server-sent events: one frame per event, one send per group of events, never silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from runwright.core.event import Event
from runwright.errors import MethodNotAllowed, RunwrightError, Unavailable
from runwright.server.problems import shown
from runwright.server.wire import ClientGone, Header, encode

HEARTBEAT = b":\n\n"
HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


def only_get(scope: Scope) -> None:
    """Raises MethodNotAllowed for HEAD, whose answer would have to go on as long as the stream."""
    if scope["method"] == "HEAD":
        raise MethodNotAllowed("A stream is read with GET alone.", allowed=["GET"])


class Frames(Protocol):
    """Turns a run's events into the bytes of one kind of stream. `is_done` after the last group."""

    @property
    def is_done(self) -> bool:
        """Whether the stream has said everything."""
        ...

    def group(self, events: Sequence[Event]) -> bytes:
        """The frames of a group of events. Raises RunwrightError when the stream cannot go on."""
        ...

    def failure(self, error: RunwrightError) -> bytes:
        """The last frame of a stream that fails."""
        ...


class StreamError(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    """The last frame of a native stream that fails. It is no event of the run and has no number."""

    code: str
    detail: str
    retryable: bool


class NativeFrames:
    """Frames of the native API: `id` is the event's number, `data` repeats type, number, run, step and time."""

    __slots__ = ("_run", "is_done")

    def __init__(self, run_id: str) -> None:
        self._run = encode(run_id)
        self.is_done = False

    def group(self, events: Sequence[Event]) -> bytes:
        """The frames of a group."""
        if not self.is_done and events and events[-1].is_terminal:
            self.is_done = True
        return b"".join([self._frame(event) for event in events])

    def _frame(self, event: Event) -> bytes:
        data = event_json(self._run, event)
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.type.encode(), data)

    def failure(self, error: RunwrightError) -> bytes:
        """An `error` event without an id, so that a client attaches again after the last event it has."""
        shown = StreamError(code=error.code, detail=error.public, retryable=error.retryable)
        return b"event: error\ndata: %b\n\n" % encode(shown)


def event_json(run: bytes, event: Event) -> bytes:
    """An event as JSON text on one line; `run` is the id of its run as JSON text."""
    kind = event.type.encode()
    data = encode(event.data)
    # The encoded body begins with its tag: {"type":"message.delta",
    rest = data[10 + len(kind) :]
    step = b"null" if event.step is None else b"%d" % event.step
    return b'{"type":"%b","seq":%d,"run_id":%b,"step_id":%b,"ts":%b%b' % (
        kind,
        event.seq,
        run,
        step,
        encode(event.ts),
        rest if b"\n" not in rest and b"\r" not in rest else _one_line(rest),
    )


def _one_line(data: bytes) -> bytes:
    """Line breaks in JSON text stand between its tokens only, so spaces mean the same."""
    return data.replace(b"\n", b" ").replace(b"\r", b" ")


class Streams:
    """The open streams of one server. They end when it stops, for a waiting run may take days."""

    def __init__(self, *, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._open: set[asyncio.TaskGroup] = set()
        self._is_closing = False

    def close(self) -> None:
        """End every stream, present and future, with an `error` event that says so."""
        self._is_closing = True
        for group in self._open:
            group.create_task(_stop())

    async def serve(
        self,
        events: AsyncIterator[Sequence[Event]],
        frames: Frames,
        connection: tuple[Receive, Send],
        *,
        headers: Iterable[Header] = (),
        on_gone: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Send a run's events until the last one. `on_gone` is called when the client leaves before."""
        story = partial(_pump, events, frames)
        await self.tell(story, frames.failure, connection, headers=headers, on_gone=on_gone)

    async def tell(
        self,
        story: Callable[[Send], Coroutine[None, None, bytes]],
        failure: Callable[[RunwrightError], bytes],
        connection: tuple[Receive, Send],
        *,
        headers: Iterable[Header] = (),
        on_gone: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Send what a story sends, and last what it gives, or the frame of why it was ended."""
        send = connection[1]
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *headers]})
        last = b""
        is_gone = False
        try:
            async with asyncio.TaskGroup() as group:
                last = await self._told(group, story(send), _attend(connection, self._heartbeat_s))
        except* ClientGone:
            is_gone = True
        except* Unavailable as stopped:
            last = failure(await shown(stopped.exceptions[0]))
        if is_gone and on_gone is not None:
            await on_gone()
        await send({"type": "http.response.body", "body": last})

    async def _told(
        self, group: asyncio.TaskGroup, story: Coroutine[None, None, bytes], attendance: Coroutine[None, None, None]
    ) -> bytes:
        """The end of the story, told while somebody attends to the connection."""
        attendant = group.create_task(attendance)
        self._open.add(group)
        if self._is_closing:
            group.create_task(_stop())
        try:
            return await story
        finally:
            self._open.discard(group)
            attendant.cancel()


async def _stop() -> None:
    raise Unavailable("The server stops; attach again with Last-Event-ID.")


async def _attend(connection: tuple[Receive, Send], heartbeat_s: float) -> None:
    """Keep the connection alive, and raise ClientGone when the client leaves."""
    receive, send = connection
    while not await _has_left(receive, within_s=heartbeat_s):
        await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
    raise ClientGone


async def _has_left(receive: Receive, *, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while (await receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return False
    return True


async def _pump(events: AsyncIterator[Sequence[Event]], frames: Frames, send: Send) -> bytes:
    """Send group by group and give what is left to send at the end."""
    try:
        async for group in events:
            body = frames.group(group)
            if frames.is_done:
                return body
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
    except Exception as error:  # noqa: BLE001 - the server edge: the answer has begun, so the error goes into it
        return frames.failure(await shown(error))
    return frames.failure(Unavailable("The stream ended before the run; attach again with Last-Event-ID."))
