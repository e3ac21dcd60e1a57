"""What code says while it works: how far it is, events of its own, what it spent, and what no replay could repeat."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from runwright.core.event import CustomEmitted, ProgressReported, RunTainted, StepCharged
from runwright.core.money import Cost
from runwright.core.run import printable
from runwright.core.spending import Quantities
from runwright.core.usage import Usage
from runwright.journal.write import Record, RunLog

Price = Callable[[str, Usage | Quantities], Cost]


class Reports:
    """Records what tools and flows of one run say. On the loop's thread.

    What a tool says after its run has ended, or was lost, is dropped.
    """

    def __init__(
        self,
        log: RunLog,
        *,
        append: Callable[[Record], object],
        price: Price,
        charge: Callable[[int, Cost], None] = lambda step, cost: None,
    ) -> None:
        self._log = log
        self._append = append
        self._price = price
        self._charge = charge

    def progress(self, message: str, *, fraction: float | None, step: int | None) -> None:
        """Record how far the work is."""
        if self._is_told:
            self._append((ProgressReported(message=printable(message), fraction=fraction), step))

    def taint(self, reason: str) -> None:
        """Record, once, that the run did something that cannot be replayed."""
        if self._is_told and reason not in self._log.run.tainted:
            self._append((RunTainted(reason=reason), None))

    def emit(self, name: str, value: bytes, *, step: int | None) -> None:
        """Record a custom event."""
        if self._is_told:
            self._append((CustomEmitted(name=printable(name), value=msgspec.Raw(value)), step))

    def spent(self, ref: str, used: Quantities, *, step: int) -> None:
        """Record what a tool spent; dropped when its step has ended."""
        if self._log.lost is None and self._log.is_open(step):
            cost = self._price(ref, used)
            self._append((StepCharged(ref=ref, used=dict(used), cost=cost), step))
            self._charge(step, cost)

    @property
    def _is_told(self) -> bool:
        return self._log.lost is None and not self._log.run.is_over
