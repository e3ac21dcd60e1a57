"""Slots: so many runs are at work at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from runwright.engine.live import LiveRun


class Slots:
    """A semaphore whose holders can lend what they hold: a run that waits for another one is not at work.

    What was lent is taken back at once, so that runs which have begun go before those that have not. For that moment
    more are at work than there are slots.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether a run would have to wait."""
        return self._free <= 0 or bool(self._waiting)

    async def acquire(self, *, is_first: bool = False) -> None:
        """Take a slot, in the order of coming; or before those who wait."""
        if not self.is_full:
            self._free -= 1
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.appendleft(waiting) if is_first else self._waiting.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                # It was given a slot in the moment in which it gave up.
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._free += 1
        self._hand_out()

    @contextmanager
    def lent(self, live: LiveRun) -> Generator[None]:
        """Others may have the slot of a run while it waits for one of them."""
        if not live.lent:
            self.release()
        live.lent += 1
        try:
            yield
        finally:
            live.lent -= 1
            if not live.lent:
                self._free -= 1

    def _hand_out(self) -> None:
        while self._waiting and self._free > 0:
            waiting = self._waiting.popleft()
            if not waiting.done():
                self._free -= 1
                waiting.set_result(None)
