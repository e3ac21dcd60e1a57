"""Who is let in when many wait, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from runwright.core.policy import Limit, Plan
from runwright.errors import CallShed
from runwright.guard import Call, Registry, Sending, Surroundings
from runwright.guard.chain import guard
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, call_of

LIMIT = Limit(requests=60, burst=0.01, queue=8, queue_s=60)


def guarded(limit: Limit, **others: Plan) -> Callable[[Call[Any]], Coroutine[Any, Any, Any]]:
    """The way of calls under a limit, with these targets to fall back on."""
    way = guard(Plan(limit=limit), Surroundings(registry=Registry()), others=others)

    async def proceed(call: Call[Any]) -> Any:
        return await way(call)

    return proceed


async def answer(_: Call[Any], __: Sending) -> str:
    """Answer at once."""
    return "answer"


def test_background_work_is_shed_first_by_length() -> None:
    """At half of the queue background work is refused, and what somebody waits for is let in until it is full."""
    proceed = guarded(LIMIT)
    notes = Notes()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(proceed(call_of(answer)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(CallShed, match="4 calls wait for 'x'") as caught:
                await proceed(call_of(answer, priority="background", note=notes))
            assert caught.value.retry_after_s == 1
            group.create_task(proceed(call_of(answer)))

    run_virtual(main())
    (decision,) = notes.decisions
    assert (decision.layer, decision.action) == ("admission", "shed")
    assert decision.figures == {"waiting": 4, "age_s": 0}
    assert decision.reason == "background work, and 4 calls wait already"


def test_background_work_is_shed_by_age() -> None:
    """Where one waits for long, no background work is let in behind it."""
    proceed = guarded(Limit(requests=60, burst=0.01, queue=8, queue_s=20))

    async def main() -> None:
        await proceed(call_of(answer))
        waiting = [asyncio.create_task(proceed(call_of(answer, priority="background"))) for _ in range(2)]
        for _ in range(12):
            await proceed(call_of(answer))
        with pytest.raises(CallShed):
            await proceed(call_of(answer, priority="background"))
        await asyncio.gather(*waiting)

    run_virtual(main())


def test_a_full_queue_refuses_everybody() -> None:
    """Beyond `queue` calls, nobody is let in."""
    proceed = guarded(LIMIT)

    async def main() -> list[Any]:
        return await asyncio.gather(*(proceed(call_of(answer)) for _ in range(12)), return_exceptions=True)

    results = run_virtual(main())
    assert [isinstance(each, CallShed) for each in results] == [False] * 9 + [True] * 3


def test_a_call_with_somewhere_else_to_go_is_let_in() -> None:
    """While a target to fall back on is free, a call is not refused for the one that is crowded."""
    proceed = guarded(LIMIT, y=Plan(limit=Limit(requests=60)))
    notes = Notes()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                group.create_task(proceed(call_of(answer)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            group.create_task(proceed(call_of(answer, priority="background", note=notes)))

    run_virtual(main())
    assert not [decision for decision in notes.decisions if decision.layer == "admission"]
