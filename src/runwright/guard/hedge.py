"""A second equal call when the first is slow to begin (Dean and Barroso, "The Tail at Scale", 2013).

Whichever gives a chunk or an answer first goes on; the other is cancelled. Only for calls without effects.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from runwright.core.event import GuardDecided
from runwright.core.policy import Hedge
from runwright.guard.call import Call, Proceed, Race, Racer
from runwright.guard.deadline import fits

T = TypeVar("T")

FEWEST = 20
"""Times that are measured before their 95th percentile is used."""

_KEPT = 200
_MOST_SAVED = 10.0
_WHOLE = 1.0 - 1e-9


class Latencies:
    """How long a target takes to begin, of its last calls, and how many calls may be doubled."""

    def __init__(self, _target: str, policy: Hedge) -> None:
        self._extra = policy.extra
        self._times: deque[float] = deque(maxlen=_KEPT)
        self._p95_s: float | None = None
        self._fresh = 0
        self.saved = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing was measured yet."""
        return not self._times

    @property
    def p95_s(self) -> float | None:
        """The time that 95 of 100 calls take to begin at the most; None while too few were measured."""
        return self._p95_s

    def measure(self, duration_s: float | None) -> None:
        """A call has ended; None where it took no time that tells something."""
        self.saved = min(_MOST_SAVED, self.saved + self._extra)
        if duration_s is None:
            return
        self._times.append(duration_s)
        self._fresh += 1
        if self._fresh >= FEWEST:
            self._fresh = 0
            self._p95_s = sorted(self._times)[-(len(self._times) // 20) - 1]

    @property
    def may_double(self) -> bool:
        """Whether a call may be doubled now."""
        return self.saved >= _WHOLE

    def pay(self) -> None:
        """Double a call."""
        self.saved = max(0.0, self.saved - 1)

    def give(self) -> None:
        """A call was not doubled after all."""
        self.saved = min(_MOST_SAVED, self.saved + 1)


class Hedging:
    """The layer that doubles calls. It stands around what an attempt takes, so each of two takes its own."""

    def __init__(self, policy: Hedge, *, pace: Callable[[str], Latencies]) -> None:
        self._after_s = policy.after_s
        self._pace = pace

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Send, and a second time when no chunk and no answer has come in time."""
        pace = self._pace(call.target)
        after_s = pace.p95_s if self._after_s is None else self._after_s
        try:
            if after_s is None or call.effect != "read" or not pace.may_double or not fits(call, after_s):
                answer = await proceed(call)
                sent_at = call.trail.sent_at
            else:
                answer, sent_at = await _raced(call, proceed, after_s=after_s, pace=pace)
        except Exception:
            pace.measure(None)
            raise
        trail = call.trail
        pace.measure((trail.begun_at if trail.is_begun else asyncio.get_running_loop().time()) - sent_at)
        return answer


class _Attempt(Racer, Generic[T]):
    """A racer with what it came to."""

    __slots__ = ("answers", "error")

    def __init__(self, race: Race) -> None:
        super().__init__(race)
        self.answers: list[T] = []
        self.error: BaseException | None = None

    async def run(self, call: Call[T], proceed: Proceed[T]) -> None:
        """Make the attempt. What it raises is kept, so that the other one goes on."""
        try:
            answer = await proceed(replace(call, racer=self))
            self.claim()
            self.answers.append(answer)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self.error = error
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised by the race, if this is its outcome
            self.error = error
            self.fail()


async def _raced(call: Call[T], proceed: Proceed[T], *, after_s: float, pace: Latencies) -> tuple[T, float]:
    """The answer of the first of two, and when the first one was sent."""
    race = Race()
    second = None
    try:
        async with asyncio.TaskGroup() as group:
            first = _Attempt[T](race)
            first.task = group.create_task(first.run(call, proceed))
            # What it waits for before it is sent is no slowness of the target.
            await asyncio.wait([first.task, first.sent], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([first.task], timeout=after_s)
            if not first.task.done() and race.winner is None and pace.may_double:
                _note(call, "doubled", f"nothing came within {after_s:.3g} s", wait_s=after_s)
                pace.pay()
                second = _Attempt[T](race)
                # It takes nothing from those who wait already.
                second.task = group.create_task(second.run(replace(call, priority="background"), proceed))
    except BaseExceptionGroup as errors:
        # The attempts keep what they raise, so there is only one: somebody who was told could not take it.
        raise errors.exceptions[0] from None
    finally:
        if second is not None and not second.sent.done():
            pace.give()
    won = second if second is not None and race.winner is second else first
    if second is not None and second.sent.done() and race.winner is not None:
        _note(call, "won", f"the {'second' if won is second else 'first'} was first to begin")
    if won.answers:
        return won.answers[0], first.sent.result()
    assert won.error is not None, "an attempt that nobody cancelled has an outcome"
    raise won.error


def _note(call: Call[Any], action: str, reason: str, *, wait_s: float = 0.0) -> None:
    call.note(
        GuardDecided(
            layer="hedge", action=action, target=call.target, attempt=call.attempt, wait_s=wait_s, reason=reason
        )
    )
