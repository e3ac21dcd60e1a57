"""The lines of JSON between host and guest. Whatever a guest writes, the worst is that it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final

import msgspec

from runwright.core.sandbox import CallKind, GuestError
from runwright.tools.sandbox.process import Guest


class Ready(msgspec.Struct, tag="ready"):
    """The guest has started and waits for its job."""


class Text(msgspec.Struct, tag="text"):
    """What the code prints, where stdout is the channel itself."""

    text: str


class Rest(msgspec.Struct, tag="rest"):
    """The code does nothing more before it gets an answer."""


class Call(msgspec.Struct, tag="call"):
    """The code asks for something; the answer names the same `id`. What has TOLD for one is only said."""

    id: int
    kind: CallKind
    name: str
    arguments: dict[str, object]


class Done(msgspec.Struct, tag="done"):
    """The result of the code."""

    result: msgspec.Raw


class Failed(msgspec.Struct, tag="failed"):
    """The code raised an exception."""

    error: GuestError
    is_memory: bool = False


Line = Ready | Text | Rest | Call | Done | Failed

CHUNK: Final = 65536
TOLD: Final = 0

_LINE = msgspec.json.Decoder(Line)


class LineTooLong(Exception):
    """A guest sent a line that is longer than is taken."""


class Wire:
    """The pipes of one guest on the event loop; they are read only when somebody wants what is in them.

    `taken` counts the bytes of all lines that were read.
    """

    def __init__(self, guest: Guest, *, longest: int) -> None:
        self._longest = longest
        self.taken = 0
        self._unread = bytearray()
        self._inlet = Inlet(guest.from_guest.ours)
        self._outlet = Outlet(guest.to_guest.ours)
        self.stderr = Inlet(guest.stderr.ours)
        self.stdout = Inlet(guest.stdout.ours) if guest.stdout is not None else None

    async def read(self) -> Line | None:
        """The next line, None at the end. Raises LineTooLong, and DecodeError for what is no line."""
        seen = 0
        while (end := self._unread.find(b"\n", seen)) < 0:
            seen = len(self._unread)
            if seen > self._longest:
                raise LineTooLong
            chunk = await self._inlet.read()
            if not chunk:
                return None
            self._unread += chunk
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        self.taken += end + 1
        return _LINE.decode(line)

    async def write(self, line: bytes) -> None:
        """Send a line, waiting while the guest does not read. One that is gone gets nothing."""
        with contextlib.suppress(BrokenPipeError):
            await self._outlet.write(line)


class Inlet:
    """The end of a pipe that is read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def read(self) -> bytes:
        """Some bytes; none at the end."""
        loop = asyncio.get_running_loop()
        # Who writes faster than this reads does not hold up everybody else.
        await asyncio.sleep(0)
        while True:
            try:
                return os.read(self._descriptor, CHUNK)
            except BlockingIOError:
                await _until(self._descriptor, loop.add_reader, loop.remove_reader)


class Outlet:
    """The end of a pipe that is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._turn = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        """Write everything, and nothing else in between."""
        loop = asyncio.get_running_loop()
        left = memoryview(data)
        async with self._turn:
            while left:
                try:
                    left = left[os.write(self._descriptor, left) :]
                except BlockingIOError:
                    await _until(self._descriptor, loop.add_writer, loop.remove_writer)


async def _until(descriptor: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    add(descriptor, _wake, ready)
    try:
        await ready
    finally:
        remove(descriptor)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
