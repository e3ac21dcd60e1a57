"""The layer before all work: where too many wait already, a call is refused at once, background work first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from runwright.core.event import GuardDecided
from runwright.errors import CallShed
from runwright.guard.call import Call, Proceed
from runwright.guard.line import Line

T = TypeVar("T")

Lines = Sequence[Callable[[str], Line]]
"""Where calls of a target wait."""


class Admission:
    """Refuses a call that would have to wait behind too many, unless one of its other targets is free."""

    def __init__(self, lines: Lines, others: Mapping[str, Lines]) -> None:
        self._lines = lines
        self._others = others
        self._target: str | None = None
        self._found: Sequence[Line] = ()

    def __call__(self, call: Call[T], proceed: Proceed[T]) -> Awaitable[T]:
        """Let the call begin. Raises CallShed."""
        if call.target != self._target:
            self._found = [find(call.target) for find in self._lines]
            self._target = call.target
        for line in self._found:
            if line.waiting and line.is_crowded(call.priority) and not self._is_elsewhere(call):
                raise _shed(call, line)
        return proceed(call)

    def _is_elsewhere(self, call: Call[Any]) -> bool:
        """Whether another target would take the call."""
        return any(
            not any(find(target).is_crowded(call.priority) for find in lines) for target, lines in self._others.items()
        )


def _shed(call: Call[Any], line: Line) -> CallShed:
    age_s = line.age_s
    after_s = max(1.0, age_s)
    call.note(
        GuardDecided(
            layer="admission",
            action="shed",
            target=call.target,
            attempt=call.attempt,
            wait_s=after_s,
            reason=f"{call.priority} work, and {line.waiting} calls wait already",
            figures={"waiting": line.waiting, "age_s": round(age_s, 3)},
        )
    )
    return CallShed(
        f"{line.waiting} calls wait for {call.target!r}, the first for {age_s:.3g} s; try again later, "
        "or raise guard.limit.queue.",
        retry_after_s=after_s,
    )
