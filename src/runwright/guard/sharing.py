"""States of the guard that several processes share."""

from __future__ import annotations

from typing import Protocol

from runwright.core.policy import Breaker, Limit
from runwright.guard.breaker import BreakerState
from runwright.guard.heard import Heard
from runwright.guard.meter import Meter


class Sharing(Protocol):
    """Makes states that all processes share which name them alike. Without their server each process has its own."""

    def meter(self, policy: Limit, heard: Heard | None, *, name: str) -> Meter:
        """The count of a limit in requests or tokens; `heard` is what the provider told this process."""
        ...

    def breaker(self, policy: Breaker, *, name: str) -> BreakerState:
        """A breaker."""
        ...
