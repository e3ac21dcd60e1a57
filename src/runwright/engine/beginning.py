"""The beginning of a flow that goes on: what came to its code before, which comes to it again in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from runwright.core.event import Event, RunInterrupted
from runwright.core.step import StepKey
from runwright.engine.branches import Branches
from runwright.engine.order import PATIENCE_S, Order
from runwright.engine.pace import Hand, Pace
from runwright.engine.past import Past
from runwright.journal.tape import Tape, Taped

POLL_S = 0.01
"""How often a held step looks whether it can be performed."""


class Beginning:
    """The recorded part of one run, while it is executed again. `lost` is called when its order cannot be kept."""

    def __init__(self, events: Sequence[Event], *, pace: Pace, branches: Branches, lost: Callable[[], None]) -> None:
        self._past = past = Past(events)
        self._tape = Tape(past.steps)
        self._pace = pace
        self._branches = branches
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._is_left = False
        self._order = Order(past.marks(), pace=pace, lost=lambda number: self._lose(), timers=past.timers)
        self._rested = asyncio.Event()
        if not self._order.is_over:
            pace.timers.append(self._order)
            self._order.after(lambda: pace.when_resting(self._rested.set))

    @property
    def cancelled(self) -> RunInterrupted | None:
        """How the run was being cancelled when it was left."""
        return next(iter(self._past.told_stops.values()), None)

    def begin(self, stop: Callable[[RunInterrupted], None]) -> None:
        """Its code begins: call this when it is the turn of a stop that it was told."""
        for number, told in self._past.told_stops.items():
            # Not from within what came before it: that has to reach the code first.
            come = partial(self._come, number, partial(stop, told))
            self._order.expect(number, partial(self._loop.call_soon, come))

    def _come(self, number: float, hand: Hand) -> None:
        hand()
        self._pace.give(partial(self._order.passed, number))

    def is_told(self, nth: int) -> bool:
        """Whether it is recorded that this timer went off."""
        return nth in self._past.timers

    def has(self, match: StepKey) -> bool:
        """Whether a step of this key began already."""
        return match in self._tape

    def take(self, match: StepKey) -> Taped | None:
        """The recorded step of this key, which the code asks for now."""
        return self._tape.take(match)

    @property
    def unused(self) -> Taped | None:
        """The first recorded step that the code should have asked for, and did not."""
        return self._tape.unused

    def is_given_up(self, taped: Taped) -> bool:
        """Whether a step was answered by nothing but its own cancellation, which comes again."""
        return self._past.is_given_up(taped)

    async def turn(self, taped: Taped) -> None:
        """Wait until the end of a recorded step may reach the code; that of one which was given up never does."""
        is_past = not self._order.knows(taped.end)
        try:
            with self._branches.away():
                await (self._order.hang(taped.end) if self.is_given_up(taped) else self._order.turn(taped.end))
        finally:
            await self._pace.turn(is_past=is_past)

    async def over(self, lane: str) -> Taped | None:
        """Wait until all has come again, so that a step can be performed.

        A step of its lane that ended, or may have acted, and that nothing asks for: the code has changed.
        """
        while not self._is_over and not self._is_alone:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._rested.wait()
        while not self._is_left and (missed := self._tape.next_unused(lane)) is not None:
            # A branch that waits for something else than steps takes about as long as it took then.
            is_late = self._loop.time() > self._begun + missed.after_s + PATIENCE_S
            if is_late or self._is_alone:
                return missed
            await asyncio.sleep(POLL_S)
        if not self._is_over:
            self._lose()
        return None

    @property
    def _is_over(self) -> bool:
        return self._order.is_over or self._is_left

    @property
    def _is_alone(self) -> bool:
        """Whether nothing comes any more but what the present task asks for."""
        return self._branches.is_alone() and not self._order.is_moving

    def after(self, hand: Hand) -> None:
        """Call this when all has come again."""
        self._order.after(hand)

    def leave(self) -> None:
        """The code is stopped, or has come to its end: nothing waits any more."""
        self._is_left = True
        self._order.leave()

    def _lose(self) -> None:
        self._lost()
        self._order.abandon()
