"""Models in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import cast

import msgspec

from runwright.core.message import AssistantMessage
from runwright.core.model import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
)
from runwright.errors import ConfigError, MalformedResponse, ModelError, ProviderRejected, ProviderUnavailable
from runwright.models.local_engine import ChatEngine, Chunk, LlamaEngine
from runwright.models.toolshim import is_choice, read_choice, shim_body
from runwright.models.wire_read import Assembler, WireAnswer
from runwright.models.words import calls_before

TINY_BYTES = 300 * 1024 * 1024
"""Files below this size hold models that cannot be trusted with a tool's result in their own words."""

OpenEngine = Callable[[Path], ChatEngine]


class LocalModel:
    """A GGUF file, loaded on first use. Calls wait for each other; cancelling one stops it at its next token."""

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        is_tiny: bool | None = None,
        threads: int | None = None,
        open_engine: OpenEngine | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self._is_tiny = is_tiny
        self._open: OpenEngine = open_engine or partial(LlamaEngine, threads=threads)
        self._engine: ChatEngine | None = None
        self._stops: set[Event] = set()
        self._thread = _own_thread()

    @property
    def ref(self) -> str:
        """The reference, for example `local:smollm2-135m`."""
        return f"local:{self.name}"

    @property
    def is_loaded(self) -> bool:
        """Whether the file is in memory."""
        return self._engine is not None

    async def warm(self) -> None:
        """Load the file now. Raises MissingExtra or ConfigError, and keeps no thread then."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        except ConfigError:
            failed, self._thread = self._thread, _own_thread()
            failed.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Stop what is running and free the memory."""
        for stop in self._stops:
            stop.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._engine = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask. Raises ModelError, and on first use MissingExtra or ConfigError."""
        parts = Assembler()
        if self._engine is None:
            await self.warm()
        body = shim_body(request, is_tiny=bool(self._is_tiny))
        has_choice = is_choice(request)
        async for chunk in self._chunks(body):
            for event in parts.add(_read(chunk)):
                if request.is_streamed and not has_choice:
                    yield event
        response = parts.response("local", self.name, request.messages)
        if has_choice:
            response = _chosen(response, calls_before(request) + 1)
            for event in _deltas(response.message) if request.is_streamed else ():
                yield event
        yield ResponseCompleted(msgspec.structs.replace(response, model=self.name))

    def _load(self) -> ChatEngine:
        if self._engine is None:
            self._engine = self._open(self.path)
            if self._is_tiny is None:
                self._is_tiny = self.path.stat().st_size < TINY_BYTES
        return self._engine

    async def _chunks(self, body: dict[str, object]) -> AsyncGenerator[Chunk, None]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        stop = Event()
        self._stops.add(stop)

        def put(chunk: Chunk | None) -> None:
            if not stop.is_set():
                loop.call_soon_threadsafe(queue.put_nowait, chunk)

        def on_chunk(chunk: Chunk) -> bool:
            put(chunk)
            return stop.is_set()

        def work() -> None:
            try:
                if not stop.is_set():
                    self._load().chat({**body, **_STREAM}, on_chunk)
            finally:
                put(None)

        done = loop.run_in_executor(self._thread, work)
        try:
            while (chunk := await queue.get()) is not None:
                yield chunk
            await done
        except RuntimeError as error:
            raise ProviderUnavailable(f"the local model failed: {error}") from error
        finally:
            stop.set()
            self._stops.discard(stop)
            done.cancel()


def _own_thread() -> ThreadPoolExecutor:
    """A model answers in one thread, which starts with the first call."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="runwright-local")


_STREAM = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}


def _read(chunk: Chunk) -> WireAnswer:
    if error := chunk.get("error"):
        raise _refused(cast("dict[str, object]", error))
    return msgspec.convert(chunk, WireAnswer)


def _refused(error: dict[str, object]) -> ModelError:
    kind = ProviderRejected if error.get("code") == 400 else ProviderUnavailable
    return kind(f"the local model refuses: {error.get('message')}")


def _chosen(response: ModelResponse, number: int) -> ModelResponse:
    try:
        message = read_choice(response.message.content or "", number=number)
    except msgspec.DecodeError as error:
        raise MalformedResponse(f"the local model's choice of a tool was cut off: {error}") from error
    reason = "tool_calls" if message.tool_calls else "stop"
    return msgspec.structs.replace(response, message=message, finish_reason=reason)


def _deltas(message: AssistantMessage) -> list[ModelEvent]:
    if message.content:
        return [TextDelta(message.content)]
    return [ToolCallDelta(index, call.id, call.name, call.arguments) for index, call in enumerate(message.tool_calls)]
