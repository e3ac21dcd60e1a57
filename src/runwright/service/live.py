"""What changes while somebody looks: runs of any process, told to all who listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from runwright.core.changes import Changed, ChangeStore
from runwright.core.event import Event
from runwright.core.run import Run

POLL_S = 1.0
"""How often the store is read for what other processes write, while somebody listens."""

GATHER_S = 0.1
"""How long what is written at once may take to be told together."""

ROWS = 2000
"""Rows of events that are told of; after more of them who listens looks again."""


class Live:
    """Tells which runs changed. The store is read once for all who listen, and only while somebody does.

    It is a reader of events too: what this process commits is told at once.
    """

    def __init__(self, store: ChangeStore, *, poll_s: float = POLL_S) -> None:
        self._store = store
        self._poll_s = poll_s
        self._turn = asyncio.Lock()
        self._last: Changed | None = None
        self._known = 0
        self._woken = asyncio.Event()
        self._armed: asyncio.AbstractEventLoop | None = None

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Something was committed. Called in the journal's thread."""
        loop, self._armed = self._armed, None
        if loop is not None:
            loop.call_soon_threadsafe(self._woken.set)

    async def position(self) -> int:
        """Where the store stands: what a page that is read now has seen."""
        return await asyncio.to_thread(self._store.newest)

    async def changes(self, after: int) -> AsyncIterator[Changed]:
        """What changes behind a position, for ever. Raises StorageError.

        A position that the store has not reached, as of one whose data is gone, is a gap back to where it stands.
        """
        newest = await self.position()
        self._known = max(self._known, newest)
        if after > newest:
            yield Changed(after=after, position=newest, is_gap=True)
            after = newest
        while True:
            found = await self._behind(after)
            after = found.position
            yield found

    async def _behind(self, after: int) -> Changed:
        if self._last is not None and self._last.after == after:
            return self._last
        if after < self._known:
            # Who comes late reads alone and does not wait for the turn, unless what it missed was deleted.
            found = await self._read(after)
            if found.position > after:
                return found
        async with self._turn:
            if self._last is None or self._last.after != after:
                self._last = await self._next(after)
                self._known = max(self._known, self._last.position)
            return self._last

    async def _next(self, after: int) -> Changed:
        try:
            while True:
                # Before the read: what is committed meanwhile ends the pause.
                self._woken.clear()
                self._armed = asyncio.get_running_loop()
                found = await self._read(after)
                if found.position > after:
                    return found
                await self._pause()
        finally:
            self._armed = None

    async def _read(self, after: int) -> Changed:
        return await asyncio.to_thread(self._store.since, after, limit=ROWS)

    async def _pause(self) -> None:
        """Until something was committed here, or it is time to look what others did."""
        try:
            async with asyncio.timeout(self._poll_s):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_S)
