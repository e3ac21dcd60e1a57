"""The guard: a list of layers around one call, outermost first.

The outer layers see a logical call once, guards of packages also each model that is fallen back on. The inner ones see
each target that it is sent to, and what stands within `retry` and `hedge` each attempt, so that each takes its own
permits. What a policy switches off is not in the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import isfunction, ismethod
from typing import Any, TypeVar

import msgspec

from runwright.core.clock import SystemClock
from runwright.core.policy import Breaker, Plan
from runwright.core.ports import Clock
from runwright.core.redact import KnownSecrets
from runwright.guard.admission import Admission, Lines
from runwright.guard.backoff import Strategy, Waits, strategy
from runwright.guard.breaker import BreakerState, Breaking, LocalBreaker
from runwright.guard.budget import Budgeting
from runwright.guard.bulkhead import Bulkhead
from runwright.guard.cache import Answers, Caching
from runwright.guard.call import Layer, Proceed
from runwright.guard.deadline import deadline
from runwright.guard.fallback import Switching
from runwright.guard.hedge import Hedging, Latencies
from runwright.guard.ledger import Ledger, LocalLedger
from runwright.guard.plugin import Offered
from runwright.guard.rate import RateLimiting
from runwright.guard.redact import Redaction
from runwright.guard.registry import Registry, StateOf
from runwright.guard.retry import Bucket, Retrying
from runwright.guard.similar import Likeness, Resembling
from runwright.guard.timeout import Attempt

T = TypeVar("T")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the layers of one app share. Without `answers` nothing is cached.

    Without `likeness` similar questions are not compared. The clock is for windows of budgets.
    """

    registry: Registry
    answers: Answers | None = None
    likeness: Likeness | None = None
    secrets: KnownSecrets | None = None
    ledger: Ledger = msgspec.field(default_factory=LocalLedger)
    clock: Clock = SystemClock()
    backoffs: Mapping[str, Strategy] = {}
    """Backoff strategies of the application, by the names that policies may give."""
    offered: Offered = msgspec.field(default_factory=lambda: Offered({}))
    """Guards of packages."""


def guard(plan: Plan, around: Surroundings, *, others: Mapping[str, Plan] | None = None) -> Proceed[Any]:
    """What makes calls under a plan; `others` are the plans of the models to fall back on, in order."""
    return compose(_outer(plan, around, others or {}), _to_target(plan, around))


def _to_target(plan: Plan, around: Surroundings) -> Proceed[Any]:
    """The way to one target."""
    limits = _limits(plan, around.registry)
    on_quota = limits.rate.seen if limits.rate else None
    attempt = Attempt[Any](plan.timeout, watches=around.registry.watches, on_quota=on_quota)
    return compose(_inner(plan, around, limits), attempt)


def _outer(plan: Plan, around: Surroundings, others: Mapping[str, Plan]) -> Sequence[Layer[Any]]:
    ways = {target: compose(_plugins(other, around), _to_target(other, around)) for target, other in others.items()}
    return _held(
        deadline,
        *_plugins(plan, around),
        _caching(plan, around),
        _resembling(plan, around),
        _admission(plan, around, others),
        Switching(plan.fallback, ways) if plan.fallback and ways else None,
    )


def _plugins(plan: Plan, around: Surroundings) -> Sequence[Layer[Any]]:
    return _held(*(around.offered.layer(each.plugin, is_of_run=each.scope == "run") for each in plan.plugins))


def _caching(plan: Plan, around: Surroundings) -> Layer[Any] | None:
    """The cache, and with it the sharing of calls that are on their way."""
    if plan.cache is None or plan.cache.of != "calls" or around.answers is None:
        return None
    return Caching(around.answers, plan.cache, random=around.registry.random)


def _resembling(plan: Plan, around: Surroundings) -> Layer[Any] | None:
    cache = plan.cache
    if cache is None or cache.similar is None or cache.of != "calls":
        return None
    if around.answers is None or around.likeness is None:
        return None
    return Resembling(around.likeness, around.answers, cache, similar=cache.similar)


def _inner(plan: Plan, around: Surroundings, limits: Limits) -> Sequence[Layer[Any]]:
    breaking = _breaking(plan, around)
    return _held(
        _retrying(plan, around, breaking),
        _hedging(plan, around),
        breaking.look if breaking else None,
        limits.bulkhead,
        limits.rate,
        Budgeting[Any](plan.budgets, around.ledger, around.clock) if plan.budgets else None,
        breaking.take if breaking else None,
        Redaction(around.secrets) if around.secrets else None,
    )


def _retrying(plan: Plan, around: Surroundings, breaking: Breaking | None) -> Retrying | None:
    policy, registry = plan.retry, around.registry
    if policy is None:
        return None
    return Retrying(
        policy,
        waits=Waits(policy.backoff, strategy(policy.backoff.strategy, around.backoffs)),
        bucket=StateOf(registry, Bucket, policy=policy, place=plan.place("retry")),
        random=registry.random,
        rests_s=breaking.rests_s if breaking else None,
    )


def _breaking(plan: Plan, around: Surroundings) -> Breaking | None:
    policy, registry = plan.breaker, around.registry
    if policy is None:
        return None
    sharing, place = registry.sharing, plan.place("breaker")

    def shared(target: str, policy: Breaker) -> BreakerState:
        assert sharing is not None
        return sharing.breaker(policy, name=f"{place}:{target}")

    state = StateOf(registry, shared if sharing else LocalBreaker, policy=policy, place=place)
    return Breaking(policy, state=state, random=registry.random)


class Limits(msgspec.Struct, frozen=True):
    """The layers of the limits of a target."""

    bulkhead: Bulkhead | None = None
    rate: RateLimiting | None = None

    @property
    def lines(self) -> Lines:
        """Where calls wait."""
        return [layer.line for layer in (self.bulkhead, self.rate) if layer is not None]


def _limits(plan: Plan, registry: Registry) -> Limits:
    """The layers that a plan's limit needs; made twice, they share their states."""
    limit, place, rate, bulkhead = plan.limit, plan.place("limit"), None, None
    if limit is None:
        return Limits()
    if limit.adaptive or limit.requests or limit.tokens:
        rate = RateLimiting(limit, registry, place)
    if limit.concurrency:
        bulkhead = Bulkhead(limit, registry, place, forecast=rate.forecast if rate else None)
    return Limits(bulkhead, rate)


def _admission(plan: Plan, around: Surroundings, others: Mapping[str, Plan]) -> Admission | None:
    lines = _limits(plan, around.registry).lines
    if not lines:
        return None
    return Admission(lines, {target: _limits(other, around.registry).lines for target, other in others.items()})


def _hedging(plan: Plan, around: Surroundings) -> Hedging | None:
    policy = plan.hedge
    if policy is None:
        return None
    return Hedging(policy, pace=StateOf(around.registry, Latencies, policy=policy, place=plan.place("hedge")))


def _held(*layers: Layer[Any] | None) -> Sequence[Layer[Any]]:
    return [layer for layer in layers if layer is not None]


def compose(layers: Sequence[Layer[T]], innermost: Proceed[T]) -> Proceed[T]:
    """One way through layers, outermost first, to what is behind them."""
    proceed = innermost
    for layer in reversed(layers):
        proceed = _bind(layer, proceed)
    return proceed


def _bind(layer: Layer[T], proceed: Proceed[T]) -> Proceed[T]:
    # A method is called faster than an object.
    step = layer if isfunction(layer) or ismethod(layer) else layer.__call__
    return lambda call: step(call, proceed)
