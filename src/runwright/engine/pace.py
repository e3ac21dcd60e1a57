"""The pace of a code flow: what it waits for reaches its code one at a time.

A flow acts on what its steps give it, on the timers that it set, and on being stopped. Each of these is handed over
when its code has come to rest after the one before: when nothing of it is ready to run. So what the code does follows
from the order in which things came, which the events tell, and not from how busy the machine is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Protocol

RESTLESS = 1_000
"""Turns of the event loop after which code that does not come to rest is handed the next thing all the same."""

FAR_S = 1e9
"""Seconds until a timer that only the order of a recording sets off."""

Hand = Callable[[], None]
SetTimer = Callable[..., asyncio.TimerHandle]


class Timers(Protocol):
    """What sets timers off instead of the clock."""

    def take(self, timer: Timer) -> bool:
        """Whether this timer is left to it."""
        ...


class Timer:
    """A timer that the code of a flow set; `number` counts them. Calling it sets it off."""

    __slots__ = ("_args", "_callback", "_context", "_pace", "_set", "handle", "number", "when")

    def __init__(self, pace: Pace, *, when: float, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self._pace = pace
        self._callback = callback
        self._args = args
        self.when = when

    def start(self, number: int, context: Context | None, *, set_timer: SetTimer, is_far: bool) -> asyncio.TimerHandle:
        """Let the time begin; the handle cancels it."""
        self.number = number
        self._set = set_timer
        self._context = copy_context() if context is None else context
        when = asyncio.get_running_loop().time() + FAR_S if is_far else self.when
        self.handle = set_timer(when, self, context=Context())
        return self.handle

    def release(self) -> None:
        """Leave it to the clock after all."""
        if not self.handle.cancelled():
            self._set(self.when, self, context=Context())

    def __call__(self) -> None:
        """It is time, unless the code has cancelled it: a timer that was released is still with the clock."""
        if not self.handle.cancelled():
            self._pace.came(self)

    def act(self) -> None:
        """Do what it was set for, unless the code has cancelled it since."""
        if not self.handle.cancelled():
            asyncio.get_running_loop().call_soon(self._callback, *self._args, context=self._context)


class Pace:
    """The pace of one flow. `fired` is told the number of a timer that goes off, `restless` when there is no rest.

    `is_alone` says whether the code waits for nothing but the present step."""

    def __init__(
        self,
        *,
        fired: Callable[[int], None] = lambda nth: None,
        restless: Callable[[], None] = lambda: None,
        is_alone: Callable[[], bool] = lambda: True,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._outside = Context()
        self._fired = fired
        self._restless = restless
        self.is_alone = is_alone
        self._past: deque[Hand] = deque()
        self._hands: deque[Hand] = deque()
        self._resting: list[Hand] = []
        self._has_stirred = True
        self._turns = 0
        self._timer_count = 0
        self._is_looking = False
        self._is_closed = False
        # What sets timers off: the first that takes a timer, else the clock.
        self.timers: list[Timers] = []

    def stir(self) -> None:
        """Something of the code is ready to run."""
        self._has_stirred = True

    def give(self, hand: Hand) -> None:
        """Call this when the code rests after what was given before."""
        if self._is_closed:
            hand()
            return
        self._hands.append(hand)
        self._look()

    async def turn(self, *, is_past: bool = False) -> None:
        """Wait until what the caller has got may reach the code; what was on its tape goes before all else."""
        if self._is_closed:
            return
        waiting = self._loop.create_future()
        (self._past if is_past else self._hands).append(lambda: None if waiting.done() else waiting.set_result(None))
        self._look()
        await waiting

    def when_resting(self, hand: Hand) -> None:
        """Call this when the code rests and nothing is to be given to it."""
        if not self._is_closed:
            self._resting.append(hand)
            self._look()

    def timer(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        *,
        context: Context | None,
        set_timer: SetTimer,
    ) -> asyncio.TimerHandle:
        """Set a timer of the code's own."""
        if self._is_closed:
            return set_timer(when, callback, *args, context=context)
        timer = Timer(self, when=when, callback=callback, args=args)
        number, self._timer_count = self._timer_count, self._timer_count + 1
        handle = timer.start(number, context, set_timer=set_timer, is_far=bool(self.timers))
        if self.timers:
            self.leave(timer)
        return handle

    def leave(self, timer: Timer) -> None:
        """Leave a timer to what sets it off."""
        if not any(timers.take(timer) for timers in tuple(self.timers)):
            timer.release()

    def came(self, timer: Timer) -> None:
        """A timer goes off."""
        if not self._is_closed:
            self._fired(timer.number)
        self.give(timer.act)

    def close(self) -> None:
        """The code has come to its end: what it left behind waits for nothing any more."""
        self._is_closed = True
        self._resting.clear()
        while queue := self._past or self._hands:
            queue.popleft()()

    def _look(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            self._again()

    def _again(self) -> None:
        self._has_stirred = False
        self._loop.call_soon(self._probe, context=self._outside)

    def _probe(self) -> None:
        """All that was ready when this was scheduled has run: if that made nothing else ready, the code rests."""
        if self._has_stirred and self._turns < RESTLESS:
            self._turns += 1
            self._again()
            return
        if self._has_stirred:
            self._restless()
        self._turns = 0
        if queue := self._past or self._hands:
            queue.popleft()()
        elif self._resting:
            resting, self._resting = self._resting, []
            for hand in resting:
                hand()
        if self._past or self._hands or self._resting:
            self._again()
        else:
            self._is_looking = False
