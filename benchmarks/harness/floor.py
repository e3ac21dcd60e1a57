"""The floor: the least a Python server can do that passes a chat completion on and records it.

Starlette, msgspec and aiohttp, with one run row and two step rows per request in SQLite (WAL,
synchronous=NORMAL), written by one thread with natural group commit. An answer leaves after its commit;
a stream leaves as it comes, but its terminal event waits for the commit.
"""

import argparse
import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import aiohttp
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

_DONE = b"data: [DONE]\n\n"
_SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, model TEXT, status TEXT, started REAL, ended REAL, tokens INTEGER);
CREATE TABLE IF NOT EXISTS steps (run INTEGER, seq INTEGER, kind TEXT, body BLOB, PRIMARY KEY (run, seq));
"""


class Message(msgspec.Struct):
    role: str
    content: str


class ChatRequest(msgspec.Struct):
    model: str
    messages: list[Message]
    stream: bool = False


class Usage(msgspec.Struct):
    completion_tokens: int


class Choice(msgspec.Struct):
    message: Message


class ChatAnswer(msgspec.Struct):
    choices: list[Choice]
    usage: Usage


class Record(NamedTuple):
    """What is stored of one run: its row, the request and the answer."""

    run: tuple[int, str, str, float, float, int]
    request: bytes
    answer: bytes


_request_decoder = msgspec.json.Decoder(ChatRequest)
_answer_decoder = msgspec.json.Decoder(ChatAnswer)


class Recorder:
    """One writer thread. A batch is whatever came in while the last one was committed."""

    def __init__(self, path: Path) -> None:
        self._queue: SimpleQueue[tuple[Record, asyncio.Future[None]] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write, args=(path,), name="recorder")
        self._thread.start()

    async def record(self, record: Record) -> None:
        """Return when the record is committed."""
        committed: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((record, committed))
        await committed

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _write(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.executescript(_SCHEMA)
        while (item := self._queue.get()) is not None:
            batch = [item, *self._waiting()]
            self._insert(connection, [record for record, _ in batch])
            self._loop.call_soon_threadsafe(_release, [committed for _, committed in batch])
        connection.close()

    def _waiting(self) -> list[tuple[Record, asyncio.Future[None]]]:
        items: list[tuple[Record, asyncio.Future[None]]] = []
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return items
            if item is None:
                self._queue.put(None)
                return items
            items.append(item)

    @staticmethod
    def _insert(connection: sqlite3.Connection, records: list[Record]) -> None:
        steps = [
            step
            for record in records
            for step in ((record.run[0], 0, "request", record.request), (record.run[0], 1, "model", record.answer))
        ]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)", [record.run for record in records])
        connection.executemany("INSERT INTO steps VALUES (?, ?, ?, ?)", steps)
        connection.execute("COMMIT")


def _release(committed: list["asyncio.Future[None]"]) -> None:
    for future in committed:
        if not future.done():
            future.set_result(None)


class Floor:
    """The endpoint and what it needs."""

    def __init__(self, upstream: str, data: Path) -> None:
        self._upstream = f"{upstream}/chat/completions"
        self._data = data
        self._ids = count(time.time_ns())
        self._session: aiohttp.ClientSession
        self._recorder: Recorder

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        self._recorder = Recorder(self._data / "floor.db")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            yield
        self._recorder.close()

    async def chat(self, request: Request) -> Response:
        started = time.time()
        body = await request.body()
        try:
            chat = _request_decoder.decode(body)
        except msgspec.MsgspecError as error:
            return Response(str(error), status_code=422)
        if chat.stream:
            return StreamingResponse(self._stream(chat, body, started), media_type="text/event-stream")
        async with self._session.post(self._upstream, data=body, headers=_JSON) as response:
            answer = await response.read()
        tokens = _answer_decoder.decode(answer).usage.completion_tokens
        await self._record(chat, started, tokens=tokens, request=body, answer=answer)
        return Response(answer, media_type="application/json")

    async def _stream(self, chat: ChatRequest, body: bytes, started: float) -> AsyncIterator[bytes]:
        pieces: list[bytes] = []
        async with self._session.post(self._upstream, data=body, headers=_JSON) as response:
            async for piece in response.content.iter_any():
                pieces.append(piece)
                if rest := piece.removesuffix(_DONE):
                    yield rest
        answer = b"".join(pieces)
        await self._record(chat, started, tokens=answer.count(b"data: "), request=body, answer=answer)
        yield _DONE

    async def _record(self, chat: ChatRequest, started: float, *, tokens: int, request: bytes, answer: bytes) -> None:
        run = (next(self._ids), chat.model, "completed", started, time.time(), tokens)
        await self._recorder.record(Record(run, request, answer))


_JSON = {"Content-Type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    floor = Floor(options.upstream, options.data)
    app = Starlette(routes=[Route("/v1/chat/completions", floor.chat, methods=["POST"])], lifespan=floor.lifespan)
    uvicorn.run(app, port=options.port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
