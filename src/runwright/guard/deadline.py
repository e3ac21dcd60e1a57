"""The outermost layer: one absolute time that every later wait has to fit into."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from runwright.core.event import GuardDecided
from runwright.guard.call import Call, Proceed
from runwright.guard.timeout import too_late

T = TypeVar("T")


def deadline(call: Call[T], proceed: Proceed[T]) -> Awaitable[T]:
    """Refuse a call that begins too late. Raises DeadlineExceeded."""
    if call.deadline is not None and call.deadline <= asyncio.get_running_loop().time():
        call.note(GuardDecided(layer="deadline", action="refused", target=call.target))
        raise too_late(call)
    return proceed(call)


def fits(call: Call[T], wait_s: float) -> bool:
    """Whether the call can wait that long and still be made."""
    return call.deadline is None or asyncio.get_running_loop().time() + wait_s < call.deadline
