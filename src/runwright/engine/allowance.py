"""What a code flow may still do within the limits of its run."""

from __future__ import annotations

from runwright.core.agent import Limits
from runwright.core.step import StepKind
from runwright.engine.decide import too_many_children
from runwright.errors import LimitExceeded
from runwright.guard.budget import over_limit

COUNTED = frozenset({"model", "tool", "http"})
"""Kinds of steps that count against `limits.steps`; the others cost nothing."""


class Allowance:
    """What a flow may still do. `spent` was spent before the run went on, by code that need not ask for it again."""

    def __init__(self, limits: Limits, *, spent: int) -> None:
        self._limits = limits
        self._spent = spent
        self._steps = 0
        self._children = 0
        self.tokens = 0

    def count(self, kind: StepKind) -> None:
        """One more step is asked for. Raises LimitExceeded."""
        self._steps += kind in COUNTED
        limit = self._limits.steps
        if self._steps > limit:
            raise LimitExceeded(f"The run would take more than {limit} steps; raise limits.steps.")
        self._children += kind == "child"
        most = self._limits.children
        if most is not None and self._children > most:
            raise LimitExceeded(too_many_children(most))

    def refuse_spending(self) -> None:
        """Raise LimitExceeded if all tokens are used."""
        limit = self._limits.tokens
        # What a recording answered counts as well, though it was spent by another run.
        used = max(self.tokens, self._spent)
        if limit is not None and used >= limit:
            raise LimitExceeded(over_limit(limit, used=used))
