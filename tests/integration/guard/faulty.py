"""A provider on loopback that fails in the way that the model's name says, at the level of the socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import msgspec

_HEAD = b"HTTP/1.1 %d X\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s\r\n"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

FAULTS = (
    "503",
    "429",
    "429-after",
    "slow-headers",
    "slow-body",
    "silent-stream",
    "reset-at-once",
    "reset-after-request",
    "reset-after-headers",
    "reset-in-body",
    "half-stream",
    "malformed",
)
"""Faults by the name of the model. `sick-N` fails N times with 503 and then answers, `busy-N` says N times when to come
again, `late-N` is silent at its call N, `shaky` fails while the provider is down; anything else answers."""

_PASSING = {"sick": "503", "busy": "429-soon", "late": "slow-headers"}


class _Request(msgspec.Struct):
    model: str
    stream: bool = False


class Faulty:
    """Counts calls by model. `closed` is set while no connection is open; `is_down` is for a test to set."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.closed = asyncio.Event()
        self.url = ""
        self.is_down = False
        self._open = 0
        self.closed.set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests of one connection until a fault ends it."""
        self._open += 1
        self.closed.clear()
        try:
            while (asked := await _read(reader)) is not None:
                self.calls[asked.model] += 1
                if not await self._answer(asked, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._open -= 1
            if not self._open:
                self.closed.set()

    async def _answer(self, asked: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        name = asked.model
        kind, _, number = name.partition("-")
        if kind in _PASSING:
            count = self.calls[asked.model]
            is_ill = count == int(number) if kind == "late" else count <= int(number)
            name = _PASSING[kind] if is_ill else "well"
        if name == "shaky" and self.is_down:
            name = "503"
        match name:
            case "503" | "429" | "429-after" | "429-soon":
                after = {"429-after": b"retry-after: 1\r\n", "429-soon": b"retry-after-ms: 60\r\n"}.get(name, b"")
                _write(writer, b'{"error":{"message":"no"}}', status=int(name[:3]), more=after)
            case "malformed":
                _write(writer, b'{"choices": [{')
            case "slow-headers":
                return await _silent(reader)
            case "reset-at-once" | "reset-after-request":
                return _reset(writer)
            case _:
                return await self._begin(name, asked, reader, writer)
        await writer.drain()
        return True

    async def _begin(
        self, name: str, asked: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """An answer that begins well."""
        whole = asked.stream and _streamed() or [_plain()]
        if asked.stream:
            writer.write(_STREAM)
        else:
            writer.write(_HEAD % (200, b"application/json", len(whole[0]), b""))
        await writer.drain()
        if name == "reset-after-headers":
            return _reset(writer)
        begun = whole[0][: len(whole[0]) // 2] if not asked.stream else whole[0]
        match name:
            case "slow-body" | "silent-stream" | "reset-in-body" | "half-stream":
                writer.write(_framed(begun) if asked.stream else begun)
                await writer.drain()
                if name in ("slow-body", "silent-stream"):
                    return await _silent(reader)
                return _reset(writer) if name == "reset-in-body" else False
            case _:
                writer.write(b"".join(map(_framed, whole)) + b"0\r\n\r\n" if asked.stream else whole[0])
                await writer.drain()
                return True


@asynccontextmanager
async def faulty() -> AsyncGenerator[Faulty]:
    """A running provider."""
    provider = Faulty()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await provider.handle(reader, writer)
        except asyncio.CancelledError:
            return
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    return msgspec.json.decode(await reader.readexactly(length), type=_Request)


async def _silent(reader: asyncio.StreamReader) -> bool:
    """Say nothing until the client has gone."""
    while await reader.read(4096):
        pass
    return False


def _write(writer: asyncio.StreamWriter, body: bytes, *, status: int = 200, more: bytes = b"") -> None:
    writer.write(_HEAD % (status, b"application/json", len(body), more) + body)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with a reset: lingering for no time at all."""
    held: socket.socket = writer.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def _plain() -> bytes:
    message = {"role": "assistant", "content": "It is well."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 4}
    return msgspec.json.encode({"id": "x", "model": "m", "choices": [choice], "usage": usage})


def _streamed() -> list[bytes]:
    deltas = [{"role": "assistant", "content": "It is"}, {"content": " well."}]
    frames: list[dict[str, object]] = [
        {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas
    ]
    frames.append({"id": "x", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [b"data: " + msgspec.json.encode(frame) + b"\n\n" for frame in frames] + [b"data: [DONE]\n\n"]


def _framed(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)
