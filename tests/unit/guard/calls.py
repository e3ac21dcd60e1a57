"""Calls and senders for tests of the guard."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
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


class _Interrupted:
    """Awaits a coroutine; when it waits for the nth time, its task is cancelled."""

    def __init__(self, work: Awaitable[Any], at: int) -> None:
        self._work = work
        self._at = at
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass on what the coroutine waits for."""
        steps = self._work.__await__()
        error: BaseException | None = None
        try:
            while True:
                waits_for = next(steps) if error is None else steps.throw(error)
                error = None
                self.waits += 1
                task = asyncio.current_task()
                if self.waits == self._at and task is not None:
                    task.cancel()
                try:
                    yield waits_for
                except BaseException as thrown:  # noqa: BLE001 - passed on
                    error = thrown
        except StopIteration as end:
            return end.value


async def is_cancelled_at(work: Awaitable[Any], at: int) -> bool:
    """Whether this work was still going on when it waited for the nth time, and was then cancelled.

    It must not swallow the cancellation.
    """
    interrupted = _Interrupted(work, at)

    async def run() -> Any:
        return await interrupted

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if task.cancelled():
        return True
    assert interrupted.waits < at, "the cancellation was swallowed"
    # What it raised is no matter here.
    task.exception()
    return False
