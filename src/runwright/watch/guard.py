"""Metrics of the guard: attempts, how calls ended, waits, and the state of targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import add
from types import MappingProxyType

import msgspec
from prometheus_client import CollectorRegistry

from runwright.core.event import GuardDecided
from runwright.watch.series import Names, counter, gauge, histogram

WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 60, 300)

GUARDED = ("model", "tool", "http")
"""Kinds of step that policies are for."""

WAITS = ("resend", "waited")
"""What the guard does that has a call wait; other decisions tell of waits that are refused, or of others' rests."""


TOGETHER: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {"breaker": max, "retry": min, "rate": add, "bulkhead": add}
)
"""What the figures of a target under several policies of one place come to: the worst, or as many as wait together."""


class GuardState(msgspec.Struct, frozen=True, kw_only=True):
    """The figure of a target in one part of the guard, as it is now; `place` is where the policy was set."""

    layer: str
    target: str
    place: str
    value: float


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """How the budgets of one scope and window stand in one unit, money in USD.

    What runs, threads, groups and users have left is each their own: of these only what is reserved is summed up.
    """

    scope: str
    per: str
    unit: str
    reserved: float
    spent: float | None = None
    left: float | None = None


class GuardSeries:
    """Every series of the guard by name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.guard_calls = counter(
            registry,
            "guard_calls",
            "Calls that ended: by model or tool, how, and whether they were sent again.",
            *("op", "target", "outcome", "retried"),
        )
        self.guard_attempts = counter(
            registry, "guard_attempts", "Attempts of calls, by what made them necessary.", "op", "target", "cause"
        )
        self.guard_decisions = counter(
            registry, "guard_decisions", "What the guard did beside sending.", "layer", "action", "target"
        )
        self.guard_wait = histogram(
            registry, "guard_wait_seconds", "How long the guard had calls wait.", "layer", buckets=WAIT_BUCKETS
        )
        self.breaker_state = gauge(
            registry,
            "breaker_state",
            "Breakers: 0 closed, 1 half open, 2 open; of several policies of a place the worst.",
            "target",
            "place",
        )
        self.retry_bucket_tokens = gauge(
            registry, "retry_bucket_tokens", "What resends may still cost.", "target", "place"
        )
        self.rate_waiting = gauge(registry, "rate_waiting", "Calls that wait for a limit.", "target", "place")
        self.bulkhead_calls = gauge(
            registry, "bulkhead_calls", "Calls under way where their number is limited.", "target", "place"
        )
        of = ("scope", "per", "unit")
        self.budget_reserved = gauge(registry, "budget_reserved", "What calls under way may use of budgets.", *of)
        self.budget_spent = gauge(
            registry, "budget_spent", "What was spent of the budget of this day, this month, or ever.", *of
        )
        self.budget_left = gauge(
            registry, "budget_left", "What may still be reserved of the budget of this day, this month, or ever.", *of
        )


class GuardMetrics:
    """Counts what the guard does with calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._series = GuardSeries(registry)
        self._targets = Names()

    def begun(self, kind: str, target: str, cause: str = "first") -> None:
        """A call is sent, for the first time or again."""
        if kind in GUARDED and target:
            self._series.guard_attempts(kind, self._targets.bound(target), cause).inc()

    def ended(self, kind: str, target: str, outcome: str, *, attempt: int) -> None:
        """A call ended with that attempt."""
        if kind in GUARDED and target:
            retried = "yes" if attempt > 1 else "no"
            self._series.guard_calls(kind, self._targets.bound(target), outcome, retried).inc()

    def decided(self, data: GuardDecided) -> None:
        """The guard did something beside sending."""
        self._series.guard_decisions(data.layer, data.action, self._targets.bound(data.target)).inc()
        if data.wait_s and data.action in WAITS:
            self._series.guard_wait(data.layer).observe(data.wait_s)

    def show(self, states: Iterable[GuardState]) -> None:
        """Say what the guard knows of its targets now."""
        series = self._series
        gauges = {
            "breaker": series.breaker_state,
            "retry": series.retry_bucket_tokens,
            "rate": series.rate_waiting,
            "bulkhead": series.bulkhead_calls,
        }
        for each in gauges.values():
            each.clear()
        levels: dict[tuple[str, str, str], float] = {}
        for state in states:
            key = (state.layer, self._targets.bound(state.target), self._targets.bound(state.place))
            levels[key] = TOGETHER[state.layer](levels[key], state.value) if key in levels else state.value
        for (layer, *labels), value in levels.items():
            gauges[layer](*labels).set(value)

    def show_budgets(self, states: Iterable[BudgetState]) -> None:
        """Say how budgets stand now."""
        series = self._series
        for each in (series.budget_reserved, series.budget_spent, series.budget_left):
            each.clear()
        for state in states:
            labels = self._targets.bound(state.scope), state.per, state.unit
            series.budget_reserved(*labels).inc(state.reserved)
            if state.spent is not None and state.left is not None:
                series.budget_spent(*labels).set(state.spent)
                series.budget_left(*labels).set(state.left)
