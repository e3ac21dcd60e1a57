"""Sending again what failed in a way that can pass. Nobody else does that: no SDK, no tool, no other layer.

Each resend is paid from the target's bucket, by the costs of AWS's retry rules of 2026. In an outage the bucket is soon
empty, and then each call is sent once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from runwright.core.event import GuardDecided
from runwright.core.policy import Retry
from runwright.errors import GuardError, LimitExceeded
from runwright.guard.backoff import LONGEST_RETRY_AFTER_S, Waits
from runwright.guard.call import Call, Proceed
from runwright.guard.verdict import asked_s, forbids, told, verdict

T = TypeVar("T")

TRANSIENT_COST = 14
THROTTLED_COST = 5
CLEAN_GAIN = 1
"""What a success without a resend puts into the bucket. A resend that helped puts back what it cost."""


class Bucket:
    """What resends to a target may still cost. Full at first, never below nothing nor above its capacity."""

    def __init__(self, _target: str, policy: Retry) -> None:
        self.capacity = policy.bucket
        self.tokens = policy.bucket

    @property
    def is_idle(self) -> bool:
        """Whether it is full, as one that is made anew."""
        return self.tokens == self.capacity

    def take(self, cost: int) -> None:
        """Pay what there is."""
        self.tokens -= cost

    def give(self, amount: int) -> None:
        """Put back."""
        self.tokens = min(self.capacity, self.tokens + amount)


class Resend(msgspec.Struct, frozen=True, gc=False):
    """A resend that is decided and paid."""

    cost: int
    wait_s: float


class Retrying:
    """The layer that sends again. `rests_s` tells how long a target's breaker lets nothing through."""

    def __init__(
        self,
        policy: Retry,
        *,
        waits: Waits,
        bucket: Callable[[str], Bucket],
        random: Random,
        rests_s: Callable[[str], float] | None = None,
    ) -> None:
        self._policy = policy
        self._waits = waits
        self._bucket = bucket
        self._random = random
        self._rests_s = rests_s

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Send, and send again while that is worth it."""
        bucket = self._bucket(call.target)
        paid, waited_s = 0, 0.0
        while True:
            try:
                answer = await proceed(call)
            except asyncio.CancelledError:
                bucket.give(paid)
                raise
            except Exception as error:
                if isinstance(error, GuardError | LimitExceeded):
                    # The resend was refused on its way: nothing was sent.
                    bucket.give(paid)
                resend = self._weigh(call, error, bucket, waited_s=waited_s)
                if resend is None:
                    raise
            else:
                bucket.give(paid or CLEAN_GAIN)
                return answer
            paid, waited_s = resend.cost, resend.wait_s
            await _pause(call, resend, bucket)
            call = replace(call, attempt=call.attempt + 1)

    def _weigh(self, call: Call[Any], error: Exception, bucket: Bucket, *, waited_s: float) -> Resend | None:
        """Decide whether to send again, tell it, and pay for it."""
        kind = verdict(error)
        if kind in ("fatal", "cancelled"):
            return None
        against = forbids(call, error)
        if not against and call.attempt >= self._policy.attempts:
            against = f"no attempt is left of {self._policy.attempts}"
        wait_s = 0.0
        if not against:
            wait_s, against = self._wait(call, error, waited_s)
        cost = THROTTLED_COST if kind == "throttled" else TRANSIENT_COST
        if not against and bucket.tokens < cost:
            against = "the retry bucket is empty: too many resends did not help"
        if against:
            _note(call, "gave_up", f"{told(error)}; {against}", left=bucket.tokens)
            return None
        # Told first: what cannot be told is not paid.
        _note(call, "resend", told(error), left=bucket.tokens - cost, wait_s=wait_s)
        bucket.take(cost)
        return Resend(cost, wait_s)

    def _wait(self, call: Call[Any], error: Exception, waited_s: float) -> tuple[float, str]:
        """How long to wait before the next attempt, and what speaks against that wait."""
        retry_after_s = asked_s(error)
        if retry_after_s is not None and retry_after_s > LONGEST_RETRY_AFTER_S:
            return 0.0, f"{call.target!r} asks to be left alone for {retry_after_s:g} s"
        room_s = None if call.deadline is None else call.deadline - asyncio.get_running_loop().time()
        wait = self._waits.before(
            call.attempt,
            previous_s=waited_s,
            retry_after_s=retry_after_s,
            is_throttled=verdict(error) == "throttled",
        )
        within = wait.within(room_s)
        if within is None:
            return 0.0, "the run's time does not last for another wait"
        wait_s = within.drawn_s(self._random)
        rest_s = 0.0 if self._rests_s is None else self._rests_s(call.target)
        if rest_s > wait_s:
            return 0.0, f"the breaker of {call.target!r} is open"
        return wait_s, ""


async def _pause(call: Call[Any], resend: Resend, bucket: Bucket) -> None:
    trail = call.trail
    try:
        await asyncio.sleep(resend.wait_s)
    except asyncio.CancelledError:
        bucket.give(resend.cost)
        raise
    trail.waited_s += resend.wait_s
    # A switch to this target that nothing was sent for yet stays the cause.
    trail.cause = trail.cause or "retry"


def _note(call: Call[Any], action: str, reason: str, *, left: int, wait_s: float = 0.0) -> None:
    call.note(
        GuardDecided(
            layer="retry",
            action=action,
            target=call.target,
            attempt=call.attempt + (action == "resend"),
            wait_s=wait_s,
            reason=reason,
            figures={"bucket": left},
        )
    )
