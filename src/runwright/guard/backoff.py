"""How long to wait before a call is sent again.

A strategy says how the waits grow. The cap comes before the jitter: after it, all whose wait has reached the cap would
come back at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

import msgspec

from runwright.core.policy import Backoff

THROTTLED = 2
"""How many times as long the waits are after a 429: who is over a quota gets there again sooner than a fault passes."""

Strategy = Callable[[Backoff, int, float], float]
"""Seconds before resend n (from 1), before cap and jitter, from the policy, n, and the wait before the resend before it
(0 for the first one)."""

LONGEST_RETRY_AFTER_S = 120.0
"""Who is told to stay away for longer gives up: that is no hiccup, and another target or a later run serves better."""


def exponential(policy: Backoff, resend: int, _previous_s: float) -> float:
    """The base, times the multiplier for each resend before."""
    return policy.base_s * policy.multiplier ** (resend - 1)


def linear(policy: Backoff, resend: int, _previous_s: float) -> float:
    """The base, and as much again for each resend before."""
    return policy.base_s * resend


def fibonacci(policy: Backoff, resend: int, _previous_s: float) -> float:
    """The base times 1, 1, 2, 3, 5 and so on."""
    number, following = 1, 1
    for _ in range(resend - 1):
        number, following = following, number + following
    return policy.base_s * number


def decorrelated(policy: Backoff, _resend: int, previous_s: float) -> float:
    """Three times what was waited before, and at least the base; it wanders with what the jitter drew."""
    return max(policy.base_s, previous_s * 3)


def constant(policy: Backoff, _resend: int, _previous_s: float) -> float:
    """The base each time."""
    return policy.base_s


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "exponential": exponential,
        "linear": linear,
        "fibonacci": fibonacci,
        "decorrelated": decorrelated,
        "constant": constant,
    }
)
"""The built-in strategies by name."""


def strategy(name: str, more: Mapping[str, Strategy]) -> Strategy:
    """The strategy of a name, among `more` and the built-in ones. Raises ValueError for an unknown name."""
    found = more.get(name) or STRATEGIES.get(name)
    if found is None:
        known = ", ".join(sorted({*STRATEGIES, *more}))
        raise ValueError(f"there is no backoff strategy {name!r}; known: {known}")
    return found


class Wait(msgspec.Struct, frozen=True, gc=False):
    """A wait: so many seconds for certain, and up to so many on top, to be drawn."""

    least_s: float
    spread_s: float

    def within(self, room_s: float | None) -> Wait | None:
        """The wait when it must be over before so many seconds have passed, None where it cannot."""
        if room_s is None:
            return self
        if self.least_s >= room_s:
            return None
        return Wait(self.least_s, min(self.spread_s, room_s - self.least_s))

    def drawn_s(self, random: Random) -> float:
        """The seconds to wait. Never quite all of the spread."""
        return self.least_s + self.spread_s * random.random()


class Waits(msgspec.Struct, frozen=True):
    """The waits of a policy, which is carried out by `strategy`."""

    policy: Backoff
    strategy: Strategy

    def before(
        self, resend: int, *, previous_s: float, retry_after_s: float | None, is_throttled: bool = False
    ) -> Wait:
        """The wait before resend n (from 1). What the provider asks for is a floor, with the jitter on top of it."""
        policy = self.policy
        try:
            computed_s = self.strategy(policy, resend, previous_s)
        except OverflowError:
            computed_s = policy.cap_s
        capped_s = min(policy.cap_s, max(0.0, computed_s * (THROTTLED if is_throttled else 1)))
        spread_s = capped_s * _SPREADS[policy.jitter]
        return Wait(max(capped_s - spread_s, retry_after_s or 0.0), spread_s)


_SPREADS = {"full": 1.0, "equal": 0.5, "none": 0.0}
