"""The order in which things came to a recorded run: to its replay, and to itself after a crash, they come so again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from functools import partial
from typing import NamedTuple

from runwright.engine.pace import Pace, Timer

PATIENCE_S = 5.0
"""Seconds beyond its recorded time that code may take to come to something again."""

Come = Callable[[], object]


class Mark(NamedTuple):
    """Something that came to the recorded run: its number there, and how long the run had been executing."""

    number: float
    after_s: float


class Order:
    """Lets things come in the recorded order: each when it is there and all before it came.

    `timers` says which mark set off which timer of the code. `lost` is told the number of the mark that the code
    does not come to, if something waits for it.
    """

    def __init__(
        self,
        marks: Iterable[Mark],
        *,
        pace: Pace,
        lost: Callable[[float], None],
        timers: Mapping[int, int] | None = None,
    ) -> None:
        self._marks = sorted(marks)
        self._known = {mark.number for mark in self._marks}
        self._pace = pace
        self._lost = lost
        self._timers = timers or {}
        self._place = 0
        self._after: list[Come] = []
        self._passed: set[float] = set()
        self._there: dict[float, Come] = {}
        self._coming: set[float] = set()
        self._hanging: set[asyncio.Future[None]] = set()
        self._unset: list[Timer] = []
        self._is_left = False
        self._patience: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._outside = Context()

    @property
    def is_over(self) -> bool:
        """Whether all has come that was recorded."""
        return self._place >= len(self._marks)

    def knows(self, number: float) -> bool:
        """Whether something came by this number."""
        return number in self._known

    def has_passed(self, number: float) -> bool:
        """Whether what has this number came, or does not come any more."""
        return number in self._passed

    def passed(self, number: float) -> None:
        """What has this number came, or does not come any more."""
        self._there.pop(number, None)
        self._coming.discard(number)
        self._passed.add(number)
        # Who came now is to be given to the code before what comes next.
        self._loop.call_soon(self._advance, context=self._outside)

    def expect(self, number: float, come: Come) -> None:
        """Call this when it is the turn of this number; `passed` says that it came."""
        self._there[number] = come
        self._advance()

    async def turn(self, number: float) -> None:
        """Wait for the turn of this number. What was not recorded in the order comes at once."""
        if number not in self._known or number in self._passed or self._is_left:
            return
        waiting = self._loop.create_future()
        self._hanging.add(waiting)
        try:
            self.expect(number, partial(_set, waiting))
            # Where the code waits for nothing else there is no order to keep.
            if number in self._coming or not self._pace.is_alone():
                await waiting
        finally:
            self._hanging.discard(waiting)
            self.passed(number)

    async def hang(self, number: float) -> None:
        """Wait to be cancelled, and then for the turn of this number."""
        hanging = self._loop.create_future()
        if self._is_left:
            raise asyncio.CancelledError
        self._hanging.add(hanging)
        try:
            self._advance()
            await hanging
        except asyncio.CancelledError:
            await self.turn(number)
            raise
        finally:
            self._hanging.discard(hanging)

    def take(self, timer: Timer) -> bool:
        """Whether the order sets a timer off: as it was recorded, or if the code waits for nothing else."""
        if self._is_left or self.is_over:
            return False
        mark = self._timers.get(timer.number)
        if mark is None or mark in self._passed:
            self._unset = [each for each in self._unset if not each.handle.cancelled()] + [timer]
            self._advance()
            return True

        def fire() -> None:
            timer()
            self.passed(mark)

        self.expect(mark, fire)
        return True

    def after(self, come: Come) -> None:
        """Call this when all has come that was recorded."""
        if self.is_over or self._is_left:
            come()
        else:
            self._after.append(come)
            self._advance()

    def abandon(self) -> None:
        """Keep the order no longer: what is there comes, and nothing waits for the rest."""
        self._passed |= self._known - self._there.keys()
        self._advance()

    def set_off(self) -> bool:
        """Set off the first timer that no mark sets off, if there is one."""
        self._unset = [each for each in self._unset if not each.handle.cancelled()]
        if not self._unset:
            return False
        timer = min(self._unset, key=lambda each: each.when)
        self._unset.remove(timer)
        timer()
        self._watch()
        return True

    async def stuck(self) -> None:
        """Return when the code rests, and nothing can come to it as it was recorded."""
        resting = self._loop.create_future()
        self._hanging.add(resting)
        self.when_stuck(partial(_set, resting))
        try:
            await resting
        finally:
            self._hanging.discard(resting)

    def when_stuck(self, hand: Come) -> None:
        """Call this when the code rests, and nothing can come to it as it was recorded."""

        def resting() -> None:
            if self.is_moving and not self._is_left:
                self.when_stuck(hand)
            else:
                hand()

        self._pace.when_resting(resting)

    @property
    def is_moving(self) -> bool:
        """Whether what comes next is there."""
        place = next((each for each in self._marks[self._place :] if each.number not in self._passed), None)
        return not self.is_over and (place is None or place.number in self._there)

    def leave(self) -> None:
        """The code is stopped: nothing waits any more, and timers take their time."""
        self._is_left = True
        for each in tuple(self._hanging):
            each.cancel()
        for timer in self._unset:
            timer.release()
        self._advance()

    def _advance(self) -> None:
        """Let come what is there, up to the first mark that is not."""
        while self._place < len(self._marks):
            number = self._marks[self._place].number
            if number in self._passed:
                self._place += 1
            elif number in self._there and number not in self._coming:
                self._coming.add(number)
                self._there[number]()
            else:
                break
        if self.is_over:
            self._end()
        self._watch()

    def _end(self) -> None:
        """From here on the code sets its own timers off, and does what was not recorded."""
        if self in self._pace.timers:
            self._pace.timers.remove(self)
        unset, self._unset = self._unset, []
        for timer in unset:
            self._pace.leave(timer)
        after, self._after = self._after, []
        for come in after:
            come()

    def _watch(self) -> None:
        """See to it that code that does not come to what comes next is not waited for for ever."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        is_waited_for = self._hanging or self._unset or self._there or self._after
        if is_waited_for and not self.is_over and not self._is_left:
            mark = self._marks[self._place]
            when = self._begun + mark.after_s + PATIENCE_S
            # Not as one of the code's own timers.
            hand = partial(self._give_up, mark.number)
            self._patience = self._loop.call_at(when, self._pace.when_resting, hand, context=self._outside)

    def _give_up(self, number: float) -> None:
        if not self.is_over and self._marks[self._place].number == number and not self.is_moving:
            self._lost(number)


def _set(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
