"""The innermost layer: one attempt, with all its time bounds on one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from threading import local
from typing import Any, Generic, TypeVar

from runwright.core.model import Quota
from runwright.core.policy import Timeout
from runwright.errors import DeadlineExceeded, ProviderTimeout, RunwrightError, ToolTimeout
from runwright.guard.call import Call, Sending

T = TypeVar("T")

FEWEST = 64
"""Attempts among which those that have ended may stand until their time comes."""


class Watch:
    """One timer of a loop for all attempts at work: to begin and to end one touches no heap.

    It rings when the first attempt has to be looked at. Those that are at work then are put in order, so that what a
    ring costs does not grow with their number; most attempts have ended before.
    """

    __slots__ = ("_begun", "_compact_at", "_handle", "_heap", "_numbers", "_when", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._begun: set[Watchdog] = set()
        self._heap: list[tuple[float, int, Watchdog]] = []
        self._numbers = count()
        self._compact_at = FEWEST
        self._handle: asyncio.TimerHandle | None = None
        self._when = inf

    def add(self, dog: Watchdog) -> None:
        """Look after an attempt."""
        self._begun.add(dog)
        if dog.look < self._when:
            self._arm(dog.look)

    def discard(self, dog: Watchdog) -> None:
        """Look after it no longer."""
        dog.look = inf
        self._begun.discard(dog)

    def _arm(self, when: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._when = when
        self._handle = self.loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._handle, self._when = None, inf
        now, heap = self.loop.time(), self._heap
        for dog in self._begun:
            heappush(heap, (dog.look, next(self._numbers), dog))
        self._begun.clear()
        while heap and heap[0][0] <= now:
            look, _, dog = heappop(heap)
            # One that has ended, or was put in again, is looked at no more.
            if dog.look == look:
                dog.ring(now)
                if not dog.is_over:
                    heappush(heap, (dog.look, next(self._numbers), dog))
        if len(heap) >= self._compact_at:
            self._compact()
        if heap:
            self._arm(heap[0][0])

    def _compact(self) -> None:
        """Forget attempts that have ended, each time that there may be as many of them as of others."""
        self._heap[:] = [each for each in self._heap if each[2].look == each[0]]
        heapify(self._heap)
        self._compact_at = max(FEWEST, 2 * len(self._heap))


class Watches(local):
    """The watch of the loop that runs, one in each thread."""

    def __init__(self) -> None:
        self._watch: Watch | None = None

    def of(self, loop: asyncio.AbstractEventLoop) -> Watch:
        """The watch of this thread's loop."""
        if self._watch is None or self._watch.loop is not loop:
            self._watch = Watch(loop)
        return self._watch


class Watchdog:
    """Cancels its task at `end`, or when the sending is due. Both are times of the loop's clock.

    It keeps the rules of `asyncio.timeout` for cancellations that come together. A bound that moves with every chunk
    moves no timer: `look` is at most `idle_s` away, before a chunk that comes meanwhile can be overdue.
    """

    __slots__ = ("_cancelling", "_end", "_idle_s", "_sending", "_task", "is_over", "look")

    def __init__(
        self, sending: Sending, loop: asyncio.AbstractEventLoop, *, end: float, now: float, idle_s: float | None
    ) -> None:
        task = asyncio.current_task(loop)
        assert task is not None, "a call is made within a task"
        self._task = task
        self._sending = sending
        self._end = end
        self._idle_s = idle_s
        self._cancelling = task.cancelling()
        self.is_over = False
        self.look = self._next(now)

    def end(self) -> bool:
        """Take back the cancellation, if one was made; whether it was, and nobody else cancels the task too."""
        if not self.is_over:
            return False
        self.is_over = False
        return self._task.uncancel() <= self._cancelling

    def ring(self, now: float) -> None:
        """See whether the time is over."""
        due = self._sending.due
        if self._end > now and (due is None or due > now):
            self.look = self._next(now)
            return
        self.is_over = True
        self._task.cancel()

    def _next(self, now: float) -> float:
        due, look = self._sending.due, self._end
        if due is not None and due < look:
            look = due
        if self._idle_s is not None and now + self._idle_s < look:
            look = now + self._idle_s
        return look


class Attempt(Generic[T]):
    """Makes one attempt. It is the end of every chain: nothing is behind it but the sender."""

    def __init__(
        self,
        policy: Timeout | None,
        *,
        watches: Watches | None = None,
        on_quota: Callable[[Call[Any], Quota], None] | None = None,
    ) -> None:
        self._policy = policy
        self._total_s = None if policy is None else policy.total_s
        self._watches = watches or Watches()
        self._last: Watch | None = None
        self._on_quota = on_quota

    async def __call__(self, call: Call[T]) -> T:
        """Send. Raises DeadlineExceeded for the run's bound, ProviderTimeout or ToolTimeout for its own."""
        loop = asyncio.get_running_loop()
        own_s = call.timeout_s if self._total_s is None else self._total_s
        now = loop.time()
        own_end = inf if own_s is None else now + own_s
        end = own_end if call.deadline is None or own_end < call.deadline else call.deadline
        if end <= now:
            raise too_late(call)
        trail = call.trail
        trail.attempts += 1
        trail.target = call.target
        trail.sent_at = now
        if call.racer is not None:
            call.racer.sent.set_result(now)
        sending = Sending(call, now=now, timeout=self._policy, on_quota=self._on_quota)
        idle_s = self._policy.idle_s if self._policy is not None and call.is_streamed else None
        dog = Watchdog(sending, loop, end=end, now=now, idle_s=idle_s)
        if dog.look == inf:
            return await call.send(call, sending)
        watch = self._last
        if watch is None or watch.loop is not loop:
            watch = self._last = self._watches.of(loop)
        watch.add(dog)
        try:
            return await call.send(call, sending)
        except asyncio.CancelledError:
            if not dog.end():
                raise
            raise _late(call, sending, own_s=own_s, is_run=end != own_end) from None
        finally:
            watch.discard(dog)
            if dog.is_over:
                # The sender made something else of the cancellation; the task must not stay marked.
                dog.end()


def too_late(call: Call[T]) -> DeadlineExceeded:
    """The error of a call for which the run has no time left, or, where no run makes it, its own `within_s`."""
    if not call.payer.run:
        return DeadlineExceeded(f"No time was left for {call.target!r}; raise within_s.")
    return DeadlineExceeded(f"The run's time was over during {call.kind} {call.target!r}; raise limits.time_s.")


def _late(call: Call[T], sending: Sending, *, own_s: float | None, is_run: bool) -> RunwrightError:
    policy, due = sending.timeout, sending.due
    if policy is not None and due is not None and due <= asyncio.get_running_loop().time():
        if sending.waits_for == "chunk":
            return ProviderTimeout(f"{call.target!r} fell silent for {policy.idle_s:g} s; see guard.timeout.idle_s.")
        bound = f"{policy.first_token_s:g} s; see guard.timeout.first_token_s"
        return ProviderTimeout(f"{call.target!r} did not begin to answer within {bound}.")
    if is_run:
        return too_late(call)
    is_policy = policy is not None and policy.total_s is not None
    bound = "guard.timeout.total_s" if is_policy else f"limits.{'model' if call.kind == 'model' else 'tool'}_timeout_s"
    late = f"{call.target!r} did not answer within {own_s:g} s; see {bound}."
    return ProviderTimeout(late) if call.kind == "model" else ToolTimeout(late)
