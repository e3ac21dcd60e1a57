"""The order in which the steps of a recorded run began and ended, which its replay keeps.

What a flow does next can depend on which of its branches came first. A replay that gave every answer at once would turn
that around, so an answer waits until all is done that was done before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

PATIENCE_S = 1.0
"""Seconds beyond its recorded time that the code of a replay may take to come to something."""

AT_ONCE_S = 0.02
"""What happened within so many seconds of each other happened at once, as a busy event loop sees it."""

SETTLE = 10
"""Turns of the event loop that the code gets to make something of an answer before the next one that came later."""


class Mark(msgspec.Struct, frozen=True, order=True):
    """Something that the recorded run did: its number there, and how long the run had been executing."""

    number: float
    after_s: float
    is_end: bool = False


class Order:
    """Keeps one replay to the recorded order. Made on the event loop, when the replay begins.

    `stopped` is called when all is done that came before `stop`: at once if the run was stopped there, and else only
    if the replay hangs there.
    """

    def __init__(self, marks: Iterable[Mark], *, stop: Mark, is_stopped: bool, stopped: Callable[[], None]) -> None:
        self._marks = sorted((*marks, stop))
        # Where one came after the other there is nothing to keep.
        self._kept: set[float] = set() if _is_sequential(self._marks) else {mark.number for mark in self._marks}
        self._stop = stop
        self._is_stopped = is_stopped
        self._stopped = stopped
        self._place = 0
        self._passed: set[float] = set()
        self._waiting: dict[float, asyncio.Future[None]] = {}
        self._given: set[float] = set()
        self._settling: float | None = None
        self._hanging: dict[asyncio.Future[None], int] = {}
        self._again: set[asyncio.Future[None]] = set()
        self._is_left = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._last_s = 0.0

    def done(self, number: float) -> None:
        """What has this number is done."""
        self._passed.add(number)
        self._advance()

    async def turn(self, number: int) -> None:
        """Wait until it is the turn of what has this number. It is done then, or when the caller is cancelled."""
        if number > self._stop.number:
            await self._stopping()
        try:
            if number in self._kept and number not in self._passed:
                await self._wait(number)
        finally:
            self.done(number)

    async def _wait(self, number: int) -> None:
        self._waiting[number] = waiting = self._loop.create_future()
        has_older = bool(self._given)
        try:
            self._advance()
            if waiting.done() and has_older:
                # Those that were woken before come before.
                await asyncio.sleep(0)
            await waiting
        finally:
            del self._waiting[number]
            self._given.discard(number)

    def is_due(self, number: int) -> bool:
        """Whether what has this number comes at once with what is done."""
        mark = next((mark for mark in self._marks if mark.number == number), None)
        return mark is not None and mark.after_s - self._last_s < AT_ONCE_S

    async def hang(self, number: int) -> None:
        """Wait for the cancellation that ended the step at this number. Where none comes in time, it is raised."""
        hanging = self._loop.create_future()
        self._hanging[hanging] = number
        try:
            if self._is_left:
                raise asyncio.CancelledError
            if self._stop.number in self._passed:
                # The code made nothing of being stopped, and was stopped again.
                self._again.add(hanging)
            self._advance()
            await hanging
        finally:
            del self._hanging[hanging]
            self._again.discard(hanging)
            self.done(number)

    def leave(self) -> None:
        """The replay is stopped: nothing waits any more."""
        self._is_left = True
        for each in (*self._hanging, *self._waiting.values()):
            each.cancel()

    def close(self) -> None:
        """The replay is over."""
        self._again.clear()
        self._place = len(self._marks)
        self._advance()

    async def _stopping(self) -> None:
        """What ended after the recorded run was stopped made nothing of its own cancellation."""
        try:
            if self._stop.number not in self._passed:
                await self.hang(0)
        except asyncio.CancelledError:
            if self._stop.number not in self._passed:
                raise

    @property
    def _next(self) -> Mark | None:
        return self._marks[self._place] if self._place < len(self._marks) else None

    def _advance(self) -> None:
        """Go on to the first mark that is not done, and wake who waits for its turn."""
        while (mark := self._next) is not None:
            if mark.number in self._passed:
                self._place += 1
                self._last_s = mark.after_s if mark.is_end else self._last_s
            elif mark.number in self._waiting and self._is_at_once(mark):
                self._give(mark)
            else:
                break
        self._watch(mark)

    def _is_at_once(self, mark: Mark) -> bool:
        """Whether the answer came together with the one before it, or nothing else can come in between."""
        is_alone = len(self._waiting) + len(self._hanging) == 1 and self._last_s == 0.0
        return is_alone or 0.0 <= mark.after_s - self._last_s < AT_ONCE_S

    def _give(self, mark: Mark) -> None:
        self._passed.add(mark.number)
        self._given.add(mark.number)
        if not self._waiting[mark.number].done():
            self._waiting[mark.number].set_result(None)

    def _watch(self, mark: Mark | None) -> None:
        """See to it that what comes next comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if mark is None:
            if self._again:
                self._again.clear()
                self._loop.call_soon(self._stopped)
            return
        if mark is self._stop and self._is_stopped:
            # Not from within a step: it has to come to its end first.
            self._loop.call_soon(self._give_up, mark)
        elif mark.number in self._waiting:
            if self._settling != mark.number:
                self._settling = mark.number
                self._settle(mark, SETTLE)
        elif self._waiting or self._hanging:
            self._timer = self._loop.call_at(self._begun + mark.after_s + PATIENCE_S, self._give_up, mark)

    def _settle(self, mark: Mark, turns: int) -> None:
        if turns:
            self._loop.call_soon(self._settle, mark, turns - 1)
        elif mark is self._next and mark.number in self._waiting:
            self._give(mark)
            self._advance()

    def _give_up(self, mark: Mark) -> None:
        """The code did not come to something in time, or the recorded run was stopped here."""
        if mark.number in self._passed or self._next is None:
            return
        self.done(mark.number)
        for hanging in [each for each, number in self._hanging.items() if number == mark.number]:
            hanging.cancel()
        if mark is self._stop:
            self._stopped()


def _is_sequential(marks: Sequence[Mark]) -> bool:
    """Whether each step of the run began when the one before it had ended."""
    open_steps = 0
    for mark in marks[:-1]:
        open_steps += -1 if mark.is_end else 1
        if open_steps > 1:
            return False
    return True
