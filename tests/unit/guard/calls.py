"""Calls and senders for tests of the guard."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from runwright.core.event import GuardDecided
from runwright.guard import Call, Sending, Trail

Send = Callable[[Call[Any], Sending], Awaitable[Any]]


class Upstream:
    """What calls are sent to: gives or raises these in order, the last one again and again. Keeps the calls it got."""

    def __init__(self, *answers: object) -> None:
        self._answers: list[Any] = list(answers)
        self.calls: list[Call[Any]] = []

    async def send(self, call: Call[Any], sending: Sending) -> Any:
        """Make one attempt."""
        self.calls.append(call)
        answer: Any = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if inspect.iscoroutinefunction(answer):
            answer = await answer(call, sending)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Notes:
    """Keeps the decisions of the guard."""

    def __init__(self) -> None:
        self.decisions: list[GuardDecided] = []

    def __call__(self, decision: GuardDecided) -> None:
        """Take a decision."""
        self.decisions.append(decision)

    @property
    def actions(self) -> list[str]:
        """What was decided, as `layer action`."""
        return [f"{decision.layer} {decision.action}" for decision in self.decisions]


def call_of(send: Send, **changes: Any) -> Call[Any]:
    """A call of a read tool without bounds, with these fields changed."""
    plain = Call[Any](kind="tool", target="x", effect="read", send=send, trail=Trail(), note=Notes())
    return msgspec.structs.replace(plain, **changes)
