"""`runwright chat`: a conversation with an agent, line by line."""

from __future__ import annotations

import asyncio
import os
import sys

import msgspec

from runwright.cli.access import Access
from runwright.cli.call import Call, Called
from runwright.cli.run import perform
from runwright.core.ids import make_id
from runwright.core.run import RunRequest

PROMPT = "> "
BLOCK = 65536
LEAVE = frozenset({"/exit", "/quit"})


async def chat(name: str, /, *, thread: str | None = None, user: str | None = None, call: Called) -> None:
    """Talk with an agent. Each line is a run on one thread; an empty line is left out, /exit or Ctrl-D ends it.

    Args:
        name: The agent.
        thread: A conversation to go on with; a new one when left out.
        user: Who is talking.
        call: What every command is handed.
    """
    thread_id = thread or make_id("thr")
    call.out.note(f"thread {thread_id}; /exit or Ctrl-D ends the conversation")
    lines = Lines(sys.stdin.fileno())
    async with call.open() as access:
        while (line := await lines.next()) is not None:
            if line:
                request = RunRequest(
                    agent=name, input=msgspec.json.encode(line), thread_id=thread_id, mode="stream", user=user
                )
                await _turn(access, request, call)


async def _turn(access: Access, request: RunRequest, call: Call) -> None:
    view = await perform(access, request, call)
    if call.out.is_json:
        call.out.json(view)


class Lines:
    """The lines of a file descriptor, awaited on the event loop: a thread that waits for one would outlive Ctrl-C."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._is_over = False

    async def next(self) -> str | None:
        """The next line without its end; None when there are no more, or the user wants to leave."""
        if os.isatty(self._descriptor):
            print(PROMPT, end="", file=sys.stderr, flush=True)
        while b"\n" not in self._buffer and not self._is_over:
            data = await self._read()
            self._buffer += data
            self._is_over = not data
        raw, _, self._buffer = self._buffer.partition(b"\n")
        text = raw.decode(errors="replace").strip()
        return None if (not text and self._is_over and not self._buffer) or text in LEAVE else text

    async def _read(self) -> bytes:
        await self._ready()
        return await asyncio.to_thread(os.read, self._descriptor, BLOCK)

    async def _ready(self) -> None:
        """Wait until reading does not block."""
        loop = asyncio.get_running_loop()
        is_ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, is_ready.set)
        except (PermissionError, NotImplementedError):
            # Files are always ready; on Windows the thread waits.
            return
        try:
            await is_ready.wait()
        finally:
            loop.remove_reader(self._descriptor)
