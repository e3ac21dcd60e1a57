"""Frames, heartbeats, and how a stream ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import msgspec
from inline_snapshot import snapshot
from starlette.types import Message

from runwright.core.event import (
    Data,
    Event,
    MessageDelta,
    RunCancelled,
    RunCompleted,
    RunQueued,
    RunStarted,
)
from runwright.errors import StorageFull
from runwright.server.sse import NativeFrames, Streams

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)


def event(seq: int, data: Data, step: int | None = None) -> Event:
    """An event of the run of these tests."""
    return Event("run_1", seq, NOW, data, step)


def frames_of(body: bytes) -> list[dict[str, object]]:
    """The fields of each frame, the data decoded. Every frame has its fields in one line each."""
    found: list[dict[str, object]] = []
    for frame in body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        found.append({**fields, "data": msgspec.json.decode(fields["data"])})
    return found


class Connection:
    """A client that reads what it is sent, and leaves when told."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.bodies: list[bytes] = []
        self.start: Message = {}
        self.is_complete = False
        self.has_begun = asyncio.Event()

    async def receive(self) -> Message:
        """Wait for the client to leave."""
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take what the server sends."""
        if message["type"] == "http.response.start":
            self.start = message
            return
        self.bodies.append(message["body"])
        self.has_begun.set()
        self.is_complete = not message.get("more_body", False)


async def groups(
    *given: Sequence[Event], then: float = 0, error: Exception | None = None
) -> AsyncIterator[Sequence[Event]]:
    """These groups of events, then a pause or an error."""
    for group in given:
        yield group
    if error is not None:
        raise error
    await asyncio.sleep(then)


def test_a_frame_repeats_what_a_reader_needs() -> None:
    """Number, type, run, step and time stand in the data too; line breaks of the input do not break the frame."""
    frames = NativeFrames("run_1")
    queued = RunQueued(agent="a", version="1.0.0", input=msgspec.Raw(b'{\n"x":\r\n1}'))
    body = frames.group([event(1, queued), event(2, RunStarted(loop=1)), event(5, MessageDelta(text="hi\n"), 3)])
    assert frames_of(body) == snapshot(
        [
            {
                "id": "1",
                "event": "run.queued",
                "data": {
                    "type": "run.queued",
                    "seq": 1,
                    "run_id": "run_1",
                    "step_id": None,
                    "ts": "2026-01-01T12:00:00.000005Z",
                    "agent": "a",
                    "version": "1.0.0",
                    "input": {"x": 1},
                },
            },
            {
                "id": "2",
                "event": "run.started",
                "data": {
                    "type": "run.started",
                    "seq": 2,
                    "run_id": "run_1",
                    "step_id": None,
                    "ts": "2026-01-01T12:00:00.000005Z",
                    "loop": 1,
                },
            },
            {
                "id": "5",
                "event": "message.delta",
                "data": {
                    "type": "message.delta",
                    "seq": 5,
                    "run_id": "run_1",
                    "step_id": 3,
                    "ts": "2026-01-01T12:00:00.000005Z",
                    "text": "hi\n",
                },
            },
        ]
    )
    assert not frames.is_done


def test_a_body_without_fields_is_a_frame_too() -> None:
    """An event whose fields all have their defaults is still one object."""
    frames = NativeFrames("run_1")
    assert frames_of(frames.group([event(9, RunCancelled())])) == snapshot(
        [
            {
                "id": "9",
                "event": "run.cancelled",
                "data": {
                    "type": "run.cancelled",
                    "seq": 9,
                    "run_id": "run_1",
                    "step_id": None,
                    "ts": "2026-01-01T12:00:00.000005Z",
                },
            }
        ]
    )
    assert frames.is_done


async def test_a_stream_ends_with_its_terminal_event() -> None:
    """One send per group, the last one closes the answer."""
    client = Connection()
    end = event(4, RunCompleted(output=msgspec.Raw(b'"x"')))
    given = groups([event(1, RunStarted(loop=1)), event(2, MessageDelta(text="x"), 1)], [end])
    await Streams(heartbeat_s=10).serve(given, NativeFrames("run_1"), (client.receive, client.send))
    assert [body.count(b"id: ") for body in client.bodies] == [2, 1]
    assert client.is_complete
    assert (b"x-accel-buffering", b"no") in client.start["headers"]


async def test_silence_is_filled_with_heartbeats() -> None:
    """A comment line is sent while nothing happens."""
    client = Connection()
    quiet = groups([event(1, RunStarted(loop=1))], then=0.05)
    await Streams(heartbeat_s=0.01).serve(quiet, NativeFrames("run_1"), (client.receive, client.send))
    assert client.bodies.count(b":\n\n") >= 2


async def test_a_failure_is_said_inside_the_stream() -> None:
    """An error after the answer began becomes an `error` event without a number."""
    client = Connection()
    broken = groups([event(1, RunStarted(loop=1))], error=StorageFull())
    await Streams(heartbeat_s=10).serve(broken, NativeFrames("run_1"), (client.receive, client.send))
    assert frames_of(client.bodies[-1]) == snapshot(
        [
            {
                "event": "error",
                "data": {
                    "type": "error",
                    "code": "storage_full",
                    "detail": "The disk of the data directory is full: free space; waiting runs go on by themselves.",
                    "retryable": True,
                },
            }
        ]
    )


async def test_a_stream_that_ends_too_soon_says_so() -> None:
    """Events that stop before the terminal one are no silent end."""
    client = Connection()
    await Streams(heartbeat_s=10).serve(groups(), NativeFrames("run_1"), (client.receive, client.send))
    assert b'"code":"unavailable"' in client.bodies[-1]


async def test_a_client_that_leaves_ends_the_stream() -> None:
    """The reading of events stops when the client leaves, and the caller is told."""
    client = Connection()
    told = asyncio.Event()

    async def gone() -> None:
        told.set()

    client.left.set()
    endless = groups([event(1, RunStarted(loop=1))], then=1000)
    await Streams(heartbeat_s=10).serve(endless, NativeFrames("run_1"), (client.receive, client.send), on_gone=gone)
    assert told.is_set()


async def test_a_stream_that_comes_too_late_is_told_at_once() -> None:
    """A stream that opens after the server began to stop ends like the others."""
    client = Connection()
    streams = Streams(heartbeat_s=10)
    streams.close()
    await streams.serve(groups(then=1000), NativeFrames("run_1"), (client.receive, client.send))
    assert b"The server stops" in client.bodies[-1]


async def test_a_server_that_stops_tells_its_streams() -> None:
    """Streams end with an `error` event that can be retried when the server stops."""
    client = Connection()
    streams = Streams(heartbeat_s=10)
    endless = groups([event(1, RunStarted(loop=1))], then=1000)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(streams.serve(endless, NativeFrames("run_1"), (client.receive, client.send)))
        await client.has_begun.wait()
        streams.close()
    assert frames_of(client.bodies[-1]) == snapshot(
        [
            {
                "event": "error",
                "data": {
                    "type": "error",
                    "code": "unavailable",
                    "detail": "The server stops; attach again with Last-Event-ID.",
                    "retryable": True,
                },
            }
        ]
    )
