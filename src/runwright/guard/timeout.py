"""The innermost layer: one attempt, with all its time bounds on one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from runwright.core.policy import Timeout
from runwright.errors import DeadlineExceeded, ProviderTimeout, RunwrightError, ToolTimeout
from runwright.guard.call import Call, Quota, Sending

T = TypeVar("T")


class Timer:
    """Cancels its task at `end`, or when the sending is due. Both bounds are times of the loop's clock.

    It keeps the rules of `asyncio.timeout` for cancellations that come together. A bound that moves with every chunk
    moves no timer: the timer looks again at least every `idle_s`, before a chunk that comes meanwhile can be overdue.
    """

    __slots__ = ("_cancelling", "_end", "_handle", "_idle_s", "_loop", "_sending", "_task", "is_over")

    def __init__(self, sending: Sending, *, end: float | None, idle_s: float | None) -> None:
        task = asyncio.current_task()
        assert task is not None, "a call is made within a task"
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._sending = sending
        self._end = end
        self._idle_s = idle_s
        self._cancelling = task.cancelling()
        self._handle: asyncio.TimerHandle | None = None
        self.is_over = False

    def start(self) -> None:
        """Begin to watch, if there is a bound at all."""
        looks = [moment for moment in (self._sending.due, self._end) if moment is not None]
        if self._idle_s is not None:
            looks.append(self._loop.time() + self._idle_s)
        if looks:
            self._handle = self._loop.call_at(min(looks), self._ring)

    def stop(self) -> None:
        """Watch no longer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def is_own(self) -> bool:
        """Whether a cancellation that arrived is this timer's and nobody else's; takes it back then."""
        return self.is_over and self._task.uncancel() <= self._cancelling

    def _ring(self) -> None:
        self._handle = None
        now = self._loop.time()
        due = self._sending.due
        if (due is None or due > now) and (self._end is None or self._end > now):
            self.start()
            return
        self.is_over = True
        self._task.cancel()


class Attempt(Generic[T]):
    """Makes one attempt. It is the end of every chain: nothing is behind it but the sender."""

    def __init__(self, policy: Timeout | None, *, on_quota: Callable[[str, Quota], None] | None = None) -> None:
        self._policy = policy
        self._on_quota = on_quota

    async def __call__(self, call: Call[T]) -> T:
        """Send. Raises DeadlineExceeded for the run's bound, ProviderTimeout or ToolTimeout for its own."""
        policy, on_quota = self._policy, self._on_quota
        own_s = call.timeout_s if policy is None or policy.total_s is None else policy.total_s
        now = asyncio.get_running_loop().time()
        own_end = None if own_s is None else now + own_s
        end = min((moment for moment in (own_end, call.deadline) if moment is not None), default=None)
        if end is not None and end <= now:
            raise too_late(call)
        trail = call.trail
        trail.attempts += 1
        trail.target = call.target
        sending = Sending(
            call, timeout=policy, on_quota=None if on_quota is None else lambda seen: on_quota(call.target, seen)
        )
        timer = Timer(sending, end=end, idle_s=policy.idle_s if policy is not None and call.is_streamed else None)
        timer.start()
        try:
            return await call.send(call, sending)
        except asyncio.CancelledError:
            if not timer.is_own():
                raise
            raise _late(call, sending, own_s=own_s, is_run=end is not None and end != own_end) from None
        finally:
            timer.stop()


def too_late(call: Call[T]) -> DeadlineExceeded:
    """The error of a call for which the run has no time left."""
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
    late = f"{call.target!r} did not answer within {own_s:g} s"
    if call.kind == "model":
        return ProviderTimeout(f"{late}; see limits.model_timeout_s.")
    return ToolTimeout(f"{late}; see limits.tool_timeout_s.")
