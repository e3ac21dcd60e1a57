"""The layer that lets at most so many calls be under way to a target at once."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol, TypeVar

from runwright.core.policy import Limit
from runwright.guard.call import Call, Proceed
from runwright.guard.line import Figures, Forecast, Line
from runwright.guard.registry import Registry, StateOf

T = TypeVar("T")


class Slots(Protocol):
    """The slots of one target. Those that are shared by many processes implement this.

    `give` does not suspend, so that a slot comes back when a call is cancelled too.
    """

    async def take(self) -> float:
        """Take a slot and give 0; or take none and give the seconds after which to look, infinite for when told."""
        ...

    def give(self) -> None:
        """Give a slot back."""
        ...

    def figures(self) -> Figures:
        """What is taken, for the record."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether no slot is taken."""
        ...


class LocalSlots:
    """The slots of this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    async def take(self) -> float:
        """Take a slot and give 0; or take none and give infinity: whoever gives one back tells."""
        if self.taken >= self._most:
            return inf
        self.taken += 1
        return 0.0

    def give(self) -> None:
        """Give a slot back."""
        self.taken -= 1

    def figures(self) -> Figures:
        """What is taken, for the record."""
        return {"concurrent": self.taken}

    @property
    def is_idle(self) -> bool:
        """Whether no slot is taken."""
        return not self.taken


class Dock:
    """The slots of a target, and the line before them."""

    def __init__(self, slots: Slots, policy: Limit) -> None:
        self.slots = slots
        self.line = Line("bulkhead", policy)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits, and no slot is taken."""
        return not self.line.waiting and self.slots.is_idle


class Bulkhead:
    """Holds a slot during an attempt. It stands within retry, so nobody holds one while waiting to send again.

    And it stands around the rate: a call with a permit is sent at once. Were it the other way, permits would gather
    while all slots hang, and then be used together, above the rate.
    """

    def __init__(
        self, policy: Limit, registry: Registry, place: str, *, forecast: Callable[[str], Forecast] | None = None
    ) -> None:
        self._docks = StateOf(registry, _dock, policy=policy, place=place)
        self._forecast = forecast

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Wait for a slot, make the attempt, give it back."""
        dock = self._docks(call.target)
        slots, line = dock.slots, dock.line
        if line.waiting or await slots.take():
            forecast = None if self._forecast is None else self._forecast(call.target)
            await line.wait(call, slots, forecast=forecast, figures=slots.figures)
        try:
            return await proceed(call)
        finally:
            slots.give()
            if line.waiting:
                line.look()

    def line(self, target: str) -> Line:
        """Those who wait for a slot of a target."""
        return self._docks(target).line


def _dock(_target: str, policy: Limit) -> Dock:
    assert policy.concurrency is not None
    return Dock(LocalSlots(policy.concurrency), policy)
