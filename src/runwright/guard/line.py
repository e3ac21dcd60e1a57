"""Who waits for a target, and in which order: first come, first served, with background work behind those who wait."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from itertools import count
from math import inf
from typing import Any, Protocol

from runwright.core.event import GuardDecided, GuardLayer
from runwright.core.policy import Limit
from runwright.errors import CallShed
from runwright.guard.call import Call, Priority

BEHIND_S = 30.0
"""Background work waits as if it had come so much later, so that it is passed only so long."""
BACKGROUND_SHARE = 0.5
"""How much of a queue, in length and in age, background work may fill."""
LOOK_S = 5.0
"""The first in line looks again at least so often: another process may have given something back."""


class Take(Protocol):
    """How what is waited for is taken, and given back by who could not use it any more."""

    async def take(self) -> float:
        """Take, and give 0; or take nothing and say in how many seconds to look again.

        Infinite is when the line is told to look. One that suspends takes back what it took when it is cancelled.
        """
        ...

    def give(self) -> None:
        """Give back what was taken. Does not suspend."""
        ...


Forecast = Callable[[int, int], Awaitable[float]]
"""In how many seconds so many calls with so many tokens together could have passed."""
Figures = dict[str, int | float | str]


class Waiter:
    """A call in a line."""

    __slots__ = ("_loop", "call", "future", "is_gone", "is_put_out", "is_told", "key", "since")

    def __init__(self, call: Call[Any], since: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.call = call
        self.since = since
        self.key = since if call.priority == "interactive" else since + BEHIND_S
        self.future: asyncio.Future[None] | None = None
        self.is_told = False
        self.is_gone = False
        self.is_put_out = False

    def tell(self) -> None:
        """Have it look. It may belong to the loop of another thread."""
        self.is_told = True
        if self._loop is asyncio.get_running_loop():
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    async def until(self, moment: float) -> None:
        """Sleep until this time of the loop, or until it is told to look."""
        self.future = self._loop.create_future()
        timer = None if moment == inf else self._loop.call_at(moment, self._wake)
        try:
            # Whoever tells sets the mark first, so that what was told before the future was there is seen here.
            if not self.is_told:
                await self.future
        finally:
            self.future = None
            if timer is not None:
                timer.cancel()
        self.is_told = False

    def _wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Line:
    """Waiting calls of one target in one layer. The first in line polls; the others sleep until they are the first.

    Nobody is handed anything, everybody takes: so nothing is lost when a waiter is cancelled at any moment.
    """

    def __init__(self, layer: GuardLayer, policy: Limit) -> None:
        self._layer: GuardLayer = layer
        self._most = policy.queue
        self._longest_s = policy.queue_s
        self._heap: list[tuple[float, int, Waiter]] = []
        self._numbers = count()
        self._waiting: dict[Priority, dict[Waiter, None]] = {"interactive": {}, "background": {}}
        self._tokens: dict[Priority, int] = {"interactive": 0, "background": 0}
        self.waiting = 0
        """How many wait."""

    def is_full(self, priority: Priority) -> bool:
        """Whether a call of this priority would find no place, not even one of background work."""
        return self.waiting >= self._most and (priority == "background" or not self._waiting["background"])

    def is_crowded(self, priority: Priority) -> bool:
        """Whether no more should come: for background work that is so at half of what others may fill."""
        if priority == "interactive":
            return self.is_full(priority)
        if not self.waiting:
            return False
        return self.waiting >= self._most * BACKGROUND_SHARE or self.age_s >= self._longest_s * BACKGROUND_SHARE

    @property
    def tokens(self) -> int:
        """How many tokens those who wait will use."""
        return sum(self._tokens.values())

    @property
    def age_s(self) -> float:
        """How long the first in line has waited."""
        first = self._first()
        return 0.0 if first is None else asyncio.get_running_loop().time() - first.since

    def look(self) -> None:
        """What is waited for may be there now."""
        first = self._first()
        if first is not None:
            first.tell()

    async def wait(
        self, call: Call[Any], take: Take, *, forecast: Forecast | None = None, figures: Callable[[], Figures] = dict
    ) -> None:
        """Wait for the call's turn and take. Raises CallShed when it would come too late, or there is no place.

        Whatever it raises, nothing is taken.
        """
        since = asyncio.get_running_loop().time()
        end = since + self._longest_s
        if call.deadline is not None:
            end = min(end, call.deadline)
        before = figures()
        if forecast is not None:
            wait_s = await forecast(*self._ahead(call))
            if since + wait_s >= end:
                raise self._too_late(call, wait_s)
        waiter = self._enter(call, since)
        try:
            await self._turn(waiter, take, end)
        finally:
            self._leave(waiter)
            self.look()
        waited_s = asyncio.get_running_loop().time() - since
        call.trail.waited_s += waited_s
        if waited_s > 0:
            told = {f"{name}_before": value for name, value in before.items()} | figures()
            try:
                self._note(call, "waited", told, wait_s=waited_s)
            except BaseException:
                # Who cannot tell what it took does not go on with it.
                take.give()
                raise

    async def _turn(self, waiter: Waiter, take: Take, end: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wait_s, look_s = inf, inf
            if self._first() is waiter:
                wait_s, look_s = await take.take(), LOOK_S
            now = loop.time()
            is_late = now >= end
            if not wait_s:
                if not is_late and not waiter.is_put_out:
                    return
                # Its place or its time was lost while it was taking.
                take.give()
            if waiter.is_put_out:
                raise self._shed(waiter.call)
            if is_late or (wait_s < inf and now + wait_s >= end):
                raise self._too_late(waiter.call, wait_s if 0 < wait_s < inf else now - waiter.since)
            await waiter.until(min(now + min(wait_s, look_s), end))

    def _ahead(self, call: Call[Any]) -> tuple[int, int]:
        """Calls and tokens that pass before this one and with it."""
        before: tuple[Priority, ...] = (
            ("interactive",) if call.priority == "interactive" else ("interactive", "background")
        )
        calls = sum(len(self._waiting[priority]) for priority in before)
        tokens = sum(self._tokens[priority] for priority in before)
        return calls + 1, tokens + call.estimate.tokens

    def _first(self) -> Waiter | None:
        while self._heap and self._heap[0][2].is_gone:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def _enter(self, call: Call[Any], since: float) -> Waiter:
        if self.waiting >= self._most:
            youngest = next(reversed(self._waiting["background"]), None)
            if call.priority == "background" or youngest is None:
                raise self._shed(call)
            # It says so itself: what its call is told is no matter of this one.
            youngest.is_put_out = True
            self._leave(youngest)
            youngest.tell()
        waiter = Waiter(call, since)
        self.waiting += 1
        self._waiting[call.priority][waiter] = None
        self._tokens[call.priority] += call.estimate.tokens
        heapq.heappush(self._heap, (waiter.key, next(self._numbers), waiter))
        return waiter

    def _leave(self, waiter: Waiter) -> None:
        if not waiter.is_gone:
            waiter.is_gone = True
            self.waiting -= 1
            priority = waiter.call.priority
            del self._waiting[priority][waiter]
            self._tokens[priority] -= waiter.call.estimate.tokens

    def _shed(self, call: Call[Any]) -> CallShed:
        """Refuse a call for which there is no place."""
        after_s = max(1.0, self.age_s)
        self._note(call, "refused", {"waiting": self.waiting}, wait_s=after_s, reason="the queue is full")
        return CallShed(
            f"{self.waiting} calls wait for {call.target!r} already; try again later, or raise guard.limit.queue.",
            retry_after_s=after_s,
        )

    def _too_late(self, call: Call[Any], wait_s: float) -> CallShed:
        now = asyncio.get_running_loop().time()
        is_run = call.deadline is not None and now + wait_s >= call.deadline
        bound = "the run has no time for that" if is_run else f"calls wait at most {self._longest_s:g} s here"
        self._note(call, "refused", {"waiting": self.waiting}, wait_s=wait_s, reason=bound)
        return CallShed(
            f"It would be {wait_s:.3g} s before {call.target!r} can be called, and {bound}; see guard.limit.",
            retry_after_s=wait_s,
        )

    def _note(self, call: Call[Any], action: str, figures: Figures, *, wait_s: float, reason: str = "") -> None:
        call.note(
            GuardDecided(
                layer=self._layer,
                action=action,
                target=call.target,
                attempt=call.attempt,
                wait_s=wait_s,
                reason=reason,
                figures=figures,
            )
        )
