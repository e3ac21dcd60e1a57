"""The pace of a flow: what reaches its code does so one at a time, and leaves it time to come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from runwright.engine.escapes import watch, watched
from runwright.engine.pace import Pace


class Flow:
    """Code that is watched, what it saw, and the timers that went off."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.pace = Pace(fired=lambda nth: self.seen.append(f"timer {nth}"), restless=lambda: self.seen.append("busy"))

    def escaped(self, reason: str) -> None:
        """Nothing is expected to escape."""
        raise AssertionError(reason)

    async def answer(self, name: object) -> None:
        """An answer is there; its code takes some turns to make something of it."""
        with watched(None):
            await asyncio.sleep(0)
        await self.pace.turn()
        self.seen.append(name)
        for _ in range(20):
            await asyncio.sleep(0)
        self.seen.append(f"{name} done")


def run(work: Callable[[Flow], Awaitable[object]], *, is_uvloop: bool) -> Flow:
    """What a flow saw that did this."""

    async def watched_work() -> Flow:
        watch(asyncio.get_running_loop())
        flow = Flow()
        with watched(flow):
            await work(flow)
        return flow

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if is_uvloop else None) as runner:
        return runner.run(watched_work())


loops = pytest.mark.parametrize("is_uvloop", [False, True], ids=["asyncio", "uvloop"])


@loops
def test_answers_come_one_at_a_time(is_uvloop: bool) -> None:
    """The code comes to rest after an answer before it gets the next one, though both are there."""

    async def work(flow: Flow) -> None:
        await asyncio.gather(flow.answer(1), flow.answer(2), flow.answer(3))

    assert run(work, is_uvloop=is_uvloop).seen == [1, "1 done", 2, "2 done", 3, "3 done"]


@loops
def test_timers_are_counted_and_come_in_their_turn(is_uvloop: bool) -> None:
    """Sleeps and time-outs of the code are timers; one that is cancelled does nothing."""

    async def work(flow: Flow) -> None:
        async with asyncio.timeout(50):
            await asyncio.sleep(0.001)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), 0.001)
        flow.seen.append("over")

    assert run(work, is_uvloop=is_uvloop).seen == ["timer 1", "timer 2", "timer 3", "over"]


@loops
def test_code_that_never_rests_is_told_and_goes_on(is_uvloop: bool) -> None:
    """What waits for code that turns round and round is handed over after many turns all the same."""

    async def work(flow: Flow) -> None:
        task = asyncio.ensure_future(flow.answer(1))
        while not task.done():  # noqa: ASYNC110 - what such code meets with is what is tested
            await asyncio.sleep(0)

    assert run(work, is_uvloop=is_uvloop).seen == ["busy", 1, "1 done"]


def test_nothing_waits_after_the_end() -> None:
    """When the flow has come to its end, what it left behind gets what it waits for at once."""

    async def work(flow: Flow) -> None:
        tasks = [asyncio.ensure_future(flow.pace.turn()) for _ in range(3)]
        await asyncio.sleep(0)
        flow.pace.close()
        await asyncio.gather(*tasks, flow.pace.turn(), asyncio.sleep(0.001))
        flow.seen.append("over")

    assert run(work, is_uvloop=False).seen == ["over"]
