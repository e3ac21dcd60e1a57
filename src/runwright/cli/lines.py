"""What somebody types, line by line."""

from __future__ import annotations

import asyncio
import os
import sys

if sys.platform != "win32":
    import termios

PROMPT = "> "
BLOCK = 65536
LEAVE = frozenset({"/exit", "/quit"})


class Lines:
    """The lines of a file descriptor, awaited on the event loop: a thread that waits for one would outlive Ctrl-C."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._is_over = False

    def forget(self) -> None:
        """Drop what was typed on a terminal and not taken yet: it answers no question that came after it."""
        self._buffer = b""
        if sys.platform != "win32" and os.isatty(self._descriptor):
            termios.tcflush(self._descriptor, termios.TCIFLUSH)

    async def next(self, prompt: str = PROMPT) -> str | None:
        """The next line without its end; None when there are no more, or the user wants to leave.

        A terminal shows the prompt before it.
        """
        if os.isatty(self._descriptor):
            print(prompt, end="", file=sys.stderr, flush=True)
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
