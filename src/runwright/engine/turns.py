"""Turns: the runs of a thread are at work one after the other."""

from __future__ import annotations

import asyncio
from bisect import insort

from runwright.core.ports import ThreadStore
from runwright.core.run import Run

FIRST_POLL_S = 0.05
LAST_POLL_S = 2.0

INTERRUPTED = "interrupted by a newer run of the thread"
"""Why a run is cancelled that a later one interrupts."""


class _Line:
    """The runs of one thread that wait in this process, oldest first, and how each of them is called."""

    def __init__(self, thread_id: str) -> None:
        self.thread_id = thread_id
        self.waiting: list[str] = []
        self.calls: dict[str, asyncio.Event] = {}

    def join(self, run_id: str) -> asyncio.Event:
        insort(self.waiting, run_id)
        call = self.calls[run_id] = asyncio.Event()
        return call

    def leave(self, run_id: str) -> None:
        self.waiting.remove(run_id)
        del self.calls[run_id]
        self.wake()

    def wake(self) -> None:
        if self.waiting:
            self.calls[self.waiting[0]].set()


class Turns:
    """Gives the runs of this process their turns in their threads.

    Whose turn it is stands in the store. Of the runs of a thread that wait here only the oldest asks: when a run ends
    in this process, and else ever more rarely, for runs of other processes and those that wait for a person.
    """

    def __init__(self, threads: ThreadStore) -> None:
        self._threads = threads
        self._lines: dict[str, _Line] = {}

    async def is_interrupted(self, run: Run) -> bool:
        """Whether a later run interrupts this one, which that one need not have seen: it may be stored after it."""
        if run.thread_id is None:
            return False
        return await asyncio.to_thread(self._threads.is_interrupted, run.thread_id, run.id)

    async def take(self, run: Run) -> str | None:
        """Wait for the turn of a run; the head of its thread at that moment. A run without a thread never waits."""
        thread_id = run.thread_id
        if thread_id is None:
            return None
        line = self._lines.setdefault(thread_id, _Line(thread_id))
        call = line.join(run.id)
        try:
            return await self._turn(line, run.id, call)
        finally:
            line.leave(run.id)
            if not line.waiting:
                del self._lines[thread_id]

    def wake(self, thread_id: str | None) -> None:
        """A run of a thread has ended or was let go: let the next one look."""
        line = self._lines.get(thread_id) if thread_id is not None else None
        if line is not None:
            line.wake()

    async def _turn(self, line: _Line, run_id: str, call: asyncio.Event) -> str | None:
        delay_s: float | None = FIRST_POLL_S
        while True:
            # Before the question, so that an end that comes while it is asked is not missed.
            call.clear()
            if line.waiting[0] == run_id:
                thread = await asyncio.to_thread(self._threads.take, line.thread_id, run_id)
                if thread is not None:
                    return thread.head
                delay_s = FIRST_POLL_S if delay_s is None else delay_s
            else:
                delay_s = None
            delay_s = await _called(call, delay_s)


async def _called(call: asyncio.Event, delay_s: float | None) -> float | None:
    """Wait for a call, at the most so long; how long to wait the next time."""
    try:
        async with asyncio.timeout(delay_s):
            await call.wait()
    except TimeoutError:
        return None if delay_s is None else min(2 * delay_s, LAST_POLL_S)
    return FIRST_POLL_S
