"""The guard: what stands around every call of a model or tool. Knows only core, and can be used alone.

The order of the layers stands in `chain.py`.
"""

from runwright.core.policy import (
    Backoff,
    Breaker,
    Budget,
    Cache,
    Fallback,
    Guard,
    Hedge,
    Limit,
    Retry,
    Timeout,
)
from runwright.guard.call import Call, Priority, Sending, Spend, Trail
from runwright.guard.chain import Surroundings
from runwright.guard.plans import Guards, GuardSettings, Own
from runwright.guard.registry import Registry

__all__ = [
    "Backoff",
    "Breaker",
    "Budget",
    "Cache",
    "Call",
    "Fallback",
    "Guard",
    "GuardSettings",
    "Guards",
    "Hedge",
    "Limit",
    "Own",
    "Priority",
    "Registry",
    "Retry",
    "Sending",
    "Spend",
    "Surroundings",
    "Timeout",
    "Trail",
]
