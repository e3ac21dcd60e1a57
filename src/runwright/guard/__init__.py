"""The guard: what stands around every call of a model or tool. Knows only core, and can be used alone.

The order of the layers stands in `chain.py`.
"""

from runwright.core.budget import NOBODY, Payer, Spend
from runwright.core.policy import (
    Backoff,
    Breaker,
    Budget,
    Cache,
    Fallback,
    Guard,
    GuardSettings,
    Hedge,
    Limit,
    Plugin,
    Retry,
    Similar,
    Timeout,
)
from runwright.guard.alone import Block, Blocks, guard_for, guarded, surroundings
from runwright.guard.cache import Answers
from runwright.guard.call import Call, Codec, Priority, Proceed, Sending, Trail
from runwright.guard.chain import Surroundings
from runwright.guard.key_value import MemoryKeyValue
from runwright.guard.ledger import Ledger, LocalLedger
from runwright.guard.live import LiveTarget, live
from runwright.guard.plans import Guards, Own
from runwright.guard.plugin import Offered
from runwright.guard.registry import Registry
from runwright.guard.similar import Likeness

__all__ = [
    "NOBODY",
    "Answers",
    "Backoff",
    "Block",
    "Blocks",
    "Breaker",
    "Budget",
    "Cache",
    "Call",
    "Codec",
    "Fallback",
    "Guard",
    "GuardSettings",
    "Guards",
    "Hedge",
    "Ledger",
    "Likeness",
    "Limit",
    "LiveTarget",
    "LocalLedger",
    "MemoryKeyValue",
    "Offered",
    "Own",
    "Payer",
    "Plugin",
    "Priority",
    "Proceed",
    "Registry",
    "Retry",
    "Sending",
    "Similar",
    "Spend",
    "Surroundings",
    "Timeout",
    "Trail",
    "guard_for",
    "guarded",
    "live",
    "surroundings",
]
