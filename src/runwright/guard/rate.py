"""The layer that keeps calls within the limits of their target, in requests and in tokens."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from runwright.core.event import GuardDecided
from runwright.core.model import Quota
from runwright.core.policy import Limit
from runwright.errors import ModelError
from runwright.guard.call import Call, Proceed, sent_at, was_sent
from runwright.guard.heard import Heard
from runwright.guard.line import Forecast, Line
from runwright.guard.meter import LocalMeter, Meter
from runwright.guard.registry import Registry, StateOf
from runwright.guard.verdict import asked_s, verdict

T = TypeVar("T")
_ANY_LIMIT = Limit()


class Gate:
    """The meter of a target, and the line before it."""

    def __init__(self, meter: Meter, policy: Limit) -> None:
        self.meter = meter
        self.line = Line("rate", policy)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits, and nothing is owed."""
        return not self.line.waiting and self.meter.is_idle


class _Taking:
    """What a call takes of a meter, in a line."""

    def __init__(self, meter: Meter, tokens: int) -> None:
        self._meter = meter
        self._tokens = tokens
        self.permit = 0.0

    async def take(self) -> float:
        """Take, and give 0; or give the seconds until it could pass."""
        self.permit = await self._meter.reserve(self._tokens)
        return max(0.0, self.permit)

    def give(self) -> None:
        """Give it back."""
        self._meter.settle(self._tokens, None, self.permit)


class RateLimiting:
    """Lets an attempt pass when the target's limits allow it, and learns from what comes back."""

    def __init__(self, policy: Limit, registry: Registry, place: str) -> None:
        self._policy = policy
        self._registry = registry
        self._place = place
        self._gates = StateOf(registry, self._gate, policy=policy, place=place)

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Wait, make the attempt, and put what it used in the place of its estimate."""
        gate, reserved, trail = self._gates(call.target), call.estimate.tokens, call.trail
        meter, line = gate.meter, gate.line
        permit = 1.0 if line.waiting else await meter.reserve(reserved)
        if permit > 0:
            taking = _Taking(meter, reserved)
            await line.wait(call, taking, forecast=meter.wait_s, figures=meter.figures)
            permit = taking.permit
        attempts, used = trail.attempts, reserved
        try:
            result = await proceed(call)
            if call.spent is not None and self._policy.tokens is not None:
                used = call.spent(result).tokens
            return result
        except BaseException as error:
            if not was_sent(call, since=attempts):
                used = None
            elif isinstance(error, Exception):
                if isinstance(error, ModelError) and error.is_unused and not trail.is_begun:
                    used = 0
                self._learn(gate, call, error)
            raise
        finally:
            meter.settle(reserved, used, permit)
            if line.waiting:
                line.look()

    def seen(self, call: Call[Any], quota: Quota) -> None:
        """The provider said something about its limits in its answer to a call."""
        gate = self._gates(call.target)
        gate.meter.seen(quota, call.estimate.tokens)
        gate.line.look()

    def line(self, target: str) -> Line:
        """Those who wait for a target."""
        return self._gates(target).line

    def forecast(self, target: str) -> Forecast:
        """When calls that come after all who wait already could be sent."""
        gate = self._gates(target)

        async def wait_s(requests: int, tokens: int) -> float:
            return await gate.meter.wait_s(gate.line.waiting + requests, gate.line.tokens + tokens)

        return wait_s

    def _gate(self, target: str, policy: Limit) -> Gate:
        """What was heard of a target, all who call it share, whatever limits they set themselves."""
        heard = None
        if policy.adaptive:
            heard = self._registry.state(Heard, target=target, policy=_ANY_LIMIT, place="")
        sharing = self._registry.sharing
        if sharing is None or not (policy.requests or policy.tokens):
            return Gate(LocalMeter(policy, heard), policy)
        return Gate(sharing.meter(policy, heard, name=f"{self._place}:{target}"), policy)

    def _learn(self, gate: Gate, call: Call[T], error: Exception) -> None:
        if not self._policy.adaptive:
            return
        if isinstance(error, ModelError) and error.quota is not None:
            gate.meter.seen(error.quota, call.estimate.tokens)
        if verdict(error) != "throttled":
            return
        pause_s = asked_s(error)
        if pause_s is not None:
            # Processes that were refused together do not come back together.
            pause_s += self._registry.random.random() * min(pause_s, 1.0)
        gate.meter.refused(pause_s, asyncio.get_running_loop().time() - sent_at(call))
        call.note(
            GuardDecided(
                layer="rate",
                action="slowed",
                target=call.target,
                attempt=call.attempt,
                wait_s=pause_s or 0.0,
                reason="it answered 429" if pause_s is None else "it answered 429 with Retry-After",
                figures=gate.meter.figures(),
            )
        )
