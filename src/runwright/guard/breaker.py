"""Leaving a target alone that fails.

Cancelled calls, refused ones (429) and bad questions (4xx) say nothing about a target's health and are not counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Literal, Protocol, TypeVar

from runwright.core.event import GuardDecided
from runwright.core.policy import Breaker
from runwright.errors import BreakerOpen, StorageError
from runwright.guard.call import Call, Proceed
from runwright.guard.verdict import verdict

T = TypeVar("T")

PROBING_S = 1.0
"""When those should ask again who come while the one probe is on its way."""

Outcome = Literal["good", "slow", "failed", "neutral"]
Change = Literal["", "opened", "closed"]
Position = Literal["closed", "open", "half_open"]

_FAILED, _SLOW = 1, 2
_BITS = {"good": 0, "slow": _SLOW, "failed": _FAILED}
_MOST_DOUBLINGS = 60


class BreakerState(Protocol):
    """The breaker of one target. Who may send has a permit and gives it back with the outcome; a probe's is negative.

    Those that are shared by many processes implement this. `failed` and `slow` calls are in the window, and `open_s` is
    how long it stayed open last.
    """

    failed: int
    slow: int
    open_s: float

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten."""
        ...

    @property
    def position(self) -> Position:
        """Whether calls pass, none does, or one to see."""
        ...

    @property
    def seen(self) -> int:
        """How many calls are in the window."""
        ...

    def rest_s(self) -> float:
        """How long nobody is let through; 0 when a call may try."""
        ...

    async def enter(self) -> int | None:
        """A permit to send, or None. Of those who come when the rest is over, one gets one."""
        ...

    async def leave(self, permit: int, outcome: Outcome, *, share: float) -> Change:
        """Give a permit back. `share`, from 0 to 1, draws how long it stays open."""
        ...

    def begin(self, permit: int) -> Change:
        """The probe has begun to answer. It may go on for minutes, and nobody has to wait for its end."""
        ...


class LocalBreaker(BreakerState):
    """The breaker of this process.

    A permit is the number of the stretch between two changes, so that what began before a change counts no more.
    """

    def __init__(self, _target: str, policy: Breaker) -> None:
        self._policy = policy
        self._outcomes: deque[int] = deque()
        self._stretch = 0
        self._openings = 0
        self._until: float | None = None
        self.is_probed = False
        self.failed = 0
        self.slow = 0
        self.open_s = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether it is closed and remembers nothing bad."""
        return self._until is None and not self.failed and not self.slow

    @property
    def position(self) -> Position:
        """Whether calls pass, none does, or one to see."""
        if self._until is None:
            return "closed"
        return "open" if asyncio.get_running_loop().time() < self._until else "half_open"

    @property
    def seen(self) -> int:
        """How many calls are in the window."""
        return len(self._outcomes)

    def rest_s(self) -> float:
        """How long nobody is let through; 0 when a call may try."""
        if self._until is None:
            return 0.0
        left_s = self._until - asyncio.get_running_loop().time()
        if left_s > 0:
            return left_s
        return PROBING_S if self.is_probed else 0.0

    async def enter(self) -> int | None:
        """A permit to send, or None. Of those who come when the rest is over, one gets one."""
        if self._until is None:
            return self._stretch
        if self.is_probed or asyncio.get_running_loop().time() < self._until:
            return None
        self.is_probed = True
        return ~self._stretch

    async def leave(self, permit: int, outcome: Outcome, *, share: float) -> Change:
        """Give a permit back. `share`, from 0 to 1, draws how long it stays open."""
        if permit < 0:
            if ~permit != self._stretch:
                return ""
            self.is_probed = False
            if outcome == "neutral":
                return ""
            return self._close() if outcome == "good" else self._open(share)
        if outcome == "neutral" or permit != self._stretch:
            return ""
        self._count(_BITS[outcome])
        return self._open(share) if outcome != "good" and self._is_too_bad() else ""

    def begin(self, permit: int) -> Change:
        """The probe has begun to answer. It may go on for minutes, and nobody has to wait for its end."""
        if ~permit != self._stretch:
            return ""
        self.is_probed = False
        return self._close()

    def _count(self, bits: int) -> None:
        self._outcomes.append(bits)
        gone = self._outcomes.popleft() if len(self._outcomes) > self._policy.window else 0
        if bits != gone:
            self.failed += (bits == _FAILED) - (gone == _FAILED)
            self.slow += (bits == _SLOW) - (gone == _SLOW)

    def _is_too_bad(self) -> bool:
        policy, seen = self._policy, len(self._outcomes)
        if seen < min(policy.minimum, policy.window):
            return False
        is_failing = self.failed > 0 and self.failed >= policy.failure_rate * seen
        return is_failing or (self.slow > 0 and self.slow >= policy.slow_rate * seen)

    def _open(self, share: float) -> Change:
        policy = self._policy
        full_s = min(policy.open_cap_s, policy.open_s * 2 ** min(self._openings, _MOST_DOUBLINGS))
        self.open_s = full_s * (0.5 + 0.5 * share)
        self._until = asyncio.get_running_loop().time() + self.open_s
        self._openings += 1
        self._stretch += 1
        return "opened"

    def _close(self) -> Change:
        self._until = None
        self._openings = 0
        self._stretch += 1
        self._outcomes.clear()
        self.failed = self.slow = 0
        return "closed"


class Breaking:
    """Two layers over one state: `look` refuses before anybody queues, `take` asks for a permit just before sending."""

    def __init__(self, policy: Breaker, *, state: Callable[[str], BreakerState], random: Random) -> None:
        self._slow_s = policy.slow_s
        self._state = state
        self._random = random

    def rests_s(self, target: str) -> float:
        """How long nobody is let through to a target; 0 when a call may try."""
        return self._state(target).rest_s()

    def look(self, call: Call[T], proceed: Proceed[T]) -> Awaitable[T]:
        """Go on unless nobody is let through. Raises BreakerOpen."""
        state = self._state(call.target)
        rest_s = state.rest_s()
        if rest_s:
            raise _refused(call, state, rest_s)
        return proceed(call)

    async def take(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Send with a permit. Raises BreakerOpen where there is none."""
        state = self._state(call.target)
        permit = await state.enter()
        if permit is None:
            raise _refused(call, state, state.rest_s())
        began = 0.0 if self._slow_s is None else asyncio.get_running_loop().time()
        outcome: Outcome = "neutral"
        try:
            if permit < 0:
                _note(call, "probing", state)
                call.trail.on_begun = lambda: self._begun(call, state, permit=permit, began=began)
            answer = await proceed(call)
            outcome = "good" if self._slow_s is None else self._pace(call, began)
        except Exception as error:
            # A record that cannot be written is no fault of the target.
            if not isinstance(error, StorageError) and verdict(error) == "transient":
                outcome = "failed"
            raise
        finally:
            if permit < 0:
                call.trail.on_begun = None
            change = await state.leave(permit, outcome, share=self._random.random() if outcome != "good" else 0.0)
            if change:
                _note(call, change, state)
        return answer

    def _begun(self, call: Call[Any], state: BreakerState, *, permit: int, began: float) -> None:
        if call.racer is not None and not call.racer.leads:
            # It was the other one of two that race.
            return
        if (self._slow_s is None or self._pace(call, began) == "good") and state.begin(permit):
            _note(call, "closed", state)

    def _pace(self, call: Call[Any], began: float) -> Outcome:
        assert self._slow_s is not None
        answered = call.trail.begun_at if call.trail.is_begun else asyncio.get_running_loop().time()
        return "slow" if answered - began > self._slow_s else "good"


def _refused(call: Call[Any], state: BreakerState, rest_s: float) -> BreakerOpen:
    _note(call, "refused", state, wait_s=rest_s)
    return BreakerOpen(f"{call.target!r} has failed too often and rests for {rest_s:.3g} s.", retry_after_s=rest_s)


def _note(call: Call[Any], action: str, state: BreakerState, *, wait_s: float = 0.0) -> None:
    figures: dict[str, int | float | str] = {"seen": state.seen, "failed": state.failed, "slow": state.slow}
    reason = ""
    if action == "opened":
        figures["open_s"] = round(state.open_s, 3)
        reason = f"of its last {state.seen} calls {state.failed} failed and {state.slow} were slow"
    elif action == "refused":
        reason = "it failed too often and rests"
    call.note(
        GuardDecided(
            layer="breaker",
            action=action,
            target=call.target,
            attempt=call.attempt,
            wait_s=wait_s,
            reason=reason,
            figures=figures,
        )
    )
