"""Deadlines: one absolute time for the run, a time-out for the call; whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from runwright.errors import DeadlineExceeded, ProviderTimeout, RunwrightError, ToolTimeout

if TYPE_CHECKING:
    from runwright.guard.chain import Call

T = TypeVar("T")


async def deadline(call: Call, attempt: Callable[[], Awaitable[T]]) -> T:
    """Bound a call in time. Raises DeadlineExceeded for the run's, ProviderTimeout or ToolTimeout for its own."""
    now = asyncio.get_running_loop().time()
    own = None if call.timeout_s is None else now + call.timeout_s
    ends = [moment for moment in (own, call.deadline) if moment is not None]
    if not ends:
        return await attempt()
    end = min(ends)
    if end <= now:
        raise _too_late(call, is_run=True)
    scope = asyncio.timeout_at(end)
    try:
        async with scope:
            return await attempt()
    except TimeoutError:
        if not scope.expired():
            raise
        raise _too_late(call, is_run=end != own) from None


def _too_late(call: Call, *, is_run: bool) -> RunwrightError:
    if is_run:
        return DeadlineExceeded(f"The run's time was over during {call.kind} {call.target!r}; raise limits.time_s.")
    late = f"{call.target!r} did not answer within {call.timeout_s:g} s"
    if call.kind == "model":
        return ProviderTimeout(f"{late}; see limits.model_timeout_s.")
    return ToolTimeout(f"{late}; see limits.tool_timeout_s.")
