"""What code says while it works: how far it is, events of its own, what it spent, and what no replay could repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from runwright.core.event import CustomEmitted, Event, ProgressReported, RunTainted, StepCharged
from runwright.core.money import Cost
from runwright.core.spending import Quantities
from runwright.core.usage import Usage
from runwright.journal.write import Record, RunLog

SAID = (ProgressReported, CustomEmitted)

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
        past: Sequence[Event] = (),
    ) -> None:
        self._log = log
        self._append = append
        self._price = price
        self._charge = charge
        told = (event.data for event in past if event.step is None)
        self._said = Counter(msgspec.json.encode(data) for data in told if isinstance(data, SAID))

    def say(self, said: ProgressReported | CustomEmitted, *, step: int | None) -> None:
        """Record how far the work is, or a custom event; once, though the code of a flow comes to it again."""
        if not self._is_told:
            return
        mark = msgspec.json.encode(said)
        if step is None and self._said[mark]:
            self._said[mark] -= 1
        else:
            self._append((said, step))

    def taint(self, reason: str) -> None:
        """Record, once, that the run did something that cannot be replayed."""
        if self._is_told and reason not in self._log.run.tainted:
            self._append((RunTainted(reason=reason), None))

    def spent(self, ref: str, used: Quantities, *, step: int) -> None:
        """Record what a tool spent; dropped when its step has ended."""
        if self._log.lost is None and self._log.is_open(step):
            cost = self._price(ref, used)
            self._append((StepCharged(ref=ref, used=dict(used), cost=cost), step))
            self._charge(step, cost)

    @property
    def _is_told(self) -> bool:
        return self._log.lost is None and not self._log.run.is_over
