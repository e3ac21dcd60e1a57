"""Single-flight: equal calls that come while one is on its way wait for its answer instead of being sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any, Generic, TypeVar, cast

import msgspec

from runwright.core.event import GuardDecided
from runwright.errors import BudgetExceeded, CallShed, DeadlineExceeded, LimitExceeded, ModelError, StorageError
from runwright.guard.call import Call
from runwright.guard.timeout import too_late

T = TypeVar("T")

_SAME = "an equal call was under way"
_OF_LEADER = (DeadlineExceeded, BudgetExceeded, LimitExceeded, CallShed, StorageError)
"""What ends a call because of whose it is: its time, its money, its priority, its record. It ends nobody else's."""


class _Outcome(msgspec.Struct, Generic[T], frozen=True, gc=False):
    answer: T | None = None
    error: Exception | SystemExit | None = None


class _Flight:
    """A call on its way, who leads it, and how many wait for it. `is_left` when its leader did and nobody pays."""

    __slots__ = ("is_left", "leader", "task", "waiting")

    def __init__(self, leader: Call[Any], task: asyncio.Task[_Outcome[Any]]) -> None:
        self.leader = leader
        self.task = task
        self.waiting = 0
        self.is_left = False


class Flights:
    """The calls on their way, by key. Each is a task that belongs to all who wait for it: the last one out ends it."""

    def __init__(self) -> None:
        self._flights: dict[bytes, _Flight] = {}
        self.joined = 0
        """How many calls waited for another one's answer."""

    def __len__(self) -> int:
        return len(self._flights)

    async def share(self, key: bytes, call: Call[T], make: Callable[[Call[T]], Awaitable[T]]) -> T:
        """The answer of the call of this key that is on its way, or else of this one, made by `make`.

        Raises what the call raised, and DeadlineExceeded when this one's own time is over before.
        """
        while True:
            flight = self._flights.get(key)
            if flight is None:
                return await self._lead(key, call, make)
            told: dict[str, int | float | str] = {"followers": flight.waiting}
            # Told first: who cannot tell that it waits does not.
            call.note(GuardDecided(layer="flight", action="joined", target=call.target, reason=_SAME, figures=told))
            flight.waiting += 1
            self.joined += 1
            outcome = await self._wait(key, flight, call)
            if outcome.error is None:
                # What was really spent stands in one step: the first that is left takes it over.
                call.trail.is_cached = flight.leader.trail.is_cached or not flight.is_left
                flight.is_left = False
                call.trail.target = flight.leader.trail.target
                return cast("T", outcome.answer)  # of the same key, so of the same kind
            if not _is_of(flight.leader, outcome.error):
                raise _own(outcome.error)

    async def _lead(self, key: bytes, call: Call[T], make: Callable[[Call[T]], Awaitable[T]]) -> T:
        task = asyncio.get_running_loop().create_task(self._fly(key, call, make))
        flight = self._flights[key] = _Flight(call, task)
        flight.waiting = 1
        outcome = await self._wait(key, flight, call)
        if outcome.error is not None:
            raise outcome.error
        return cast("T", outcome.answer)  # of this very call

    async def _fly(self, key: bytes, call: Call[T], make: Callable[[Call[T]], Awaitable[T]]) -> _Outcome[T]:
        try:
            return _Outcome(answer=await make(call))
        # SystemExit raised in a task would end the event loop.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again in all who wait
            return _Outcome(error=error)
        finally:
            self._land(key, asyncio.current_task())

    async def _wait(self, key: bytes, flight: _Flight, call: Call[T]) -> _Outcome[Any]:
        """Wait for the call, no longer than one's own deadline, and end it when nobody else waits."""
        task, end = flight.task, call.deadline
        try:
            await asyncio.wait([task], timeout=None if end is None else end - asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            flight.is_left |= flight.leader is call
            raise
        finally:
            flight.waiting -= 1
            if not flight.waiting and not task.done():
                self._land(key, task)
                await _ended(task)
        if not task.done():
            flight.is_left |= flight.leader is call
            raise too_late(call)
        if task.cancelled():
            # By the sender itself, or because time was over for the only one who waited.
            raise too_late(call) if _is_over(call) else asyncio.CancelledError
        return task.result()

    def _land(self, key: bytes, task: asyncio.Task[Any] | None) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]


async def _ended(task: asyncio.Task[Any]) -> None:
    """End a task and wait until it has given back what it held."""
    task.cancel()
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            # Told once is enough: whoever waits here leaves right after.
            task.cancel()


def _own(error: Exception | SystemExit) -> Exception | SystemExit:
    """An error for one of many: raised again and again, the same one would keep the frames of all who raise it."""
    try:
        return copy(error)
    # Somebody's error may be made in a way that its copy is not.
    except Exception:  # noqa: BLE001 - then all share it
        return error


def _is_over(call: Call[Any]) -> bool:
    return call.deadline is not None and call.deadline <= asyncio.get_running_loop().time()


def _is_of(leader: Call[Any], error: BaseException) -> bool:
    """Whether an error says nothing about the calls of those who followed."""
    if isinstance(error, _OF_LEADER):
        return True
    # It was not sent again only because its leader had shown a part of it.
    return leader.trail.is_begun and isinstance(error, ModelError) and error.retryable
