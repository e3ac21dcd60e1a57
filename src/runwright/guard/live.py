"""What the guard knows of its targets now, for people."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.guard.breaker import BreakerState
from runwright.guard.bulkhead import Dock
from runwright.guard.rate import Gate
from runwright.guard.registry import Registry
from runwright.guard.retry import Bucket

POSITIONS = ("closed", "half_open", "open")


class LiveTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one target in one part of the guard. `place` is where the policy was set; `state` is in words.

    `figures` are for a breaker the calls seen, failed and slow; for a bucket what is left of how much; for a limit how
    many wait and how long the first of them has; for a bulkhead also how many calls are under way.
    """

    target: str
    layer: str
    place: str
    state: str
    figures: dict[str, int | float] = {}

    @property
    def level(self) -> float:
        """The one figure that matters most, for a gauge."""
        match self.layer:
            case "breaker":
                return float(POSITIONS.index(self.state))
            case "retry":
                return self.figures["tokens"]
            case "bulkhead":
                return self.figures["concurrent"]
            case _:
                return self.figures["waiting"]


def live(registry: Registry) -> Sequence[LiveTarget]:
    """Every target that is remembered, in the order of targets."""
    found = [
        *(
            LiveTarget(target=target, layer="breaker", place=place, state=each.position, figures=_breaker(each))
            for target, place, each in registry.all(BreakerState)
        ),
        *(
            LiveTarget(target=target, layer="retry", place=place, state=_bucket(each), figures=_tokens(each))
            for target, place, each in registry.all(Bucket)
        ),
        *(
            LiveTarget(target=target, layer="rate", place=place, state=_line(each), figures=_waiting(each))
            for target, place, each in registry.all(Gate)
        ),
        *(
            LiveTarget(target=target, layer="bulkhead", place=place, state=_line(each), figures=_slots(each))
            for target, place, each in registry.all(Dock)
        ),
    ]
    return sorted(found, key=lambda each: (each.target, each.layer, each.place))


def _breaker(breaker: BreakerState) -> dict[str, int | float]:
    return {"seen": breaker.seen, "failed": breaker.failed, "slow": breaker.slow}


def _bucket(bucket: Bucket) -> str:
    return "full" if bucket.is_idle else "in use" if bucket.tokens else "empty"


def _tokens(bucket: Bucket) -> dict[str, int | float]:
    return {"tokens": bucket.tokens, "capacity": bucket.capacity}


def _line(gate: Gate | Dock) -> str:
    return "waiting" if gate.line.waiting else "free"


def _waiting(gate: Gate | Dock) -> dict[str, int | float]:
    return {"waiting": gate.line.waiting, "age_s": gate.line.age_s}


def _slots(dock: Dock) -> dict[str, int | float]:
    taken = {name: figure for name, figure in dock.slots.figures().items() if not isinstance(figure, str)}
    return {**taken, **_waiting(dock)}
