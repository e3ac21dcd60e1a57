"""The recorded order: each thing comes when it is there and all before it came."""

from __future__ import annotations

import asyncio

import pytest

from runwright.engine.order import Mark, Order
from runwright.engine.pace import Pace

pytestmark = pytest.mark.anyio


class Kept:
    """An order, and what came of it: the numbers in the order of their turns, and those that did not come."""

    def __init__(self, *numbers: float, is_alone: bool = False) -> None:
        self.came: list[float] = []
        self.lost: list[float] = []
        pace = Pace(is_alone=lambda: is_alone)
        self.order = Order([Mark(number, 0.0) for number in numbers], pace=pace, lost=self.lost.append)

    async def turn(self, number: int) -> None:
        """Wait for the turn of this number, and note it."""
        await self.order.turn(number)
        self.came.append(number)


async def test_what_came_first_comes_first() -> None:
    """Whoever asks first, the answer that came first comes first."""
    kept = Kept(1, 2, 3)
    await asyncio.gather(kept.turn(3), kept.turn(1), kept.turn(2))
    assert kept.came == [1, 2, 3]


async def test_it_waits_for_what_is_not_there() -> None:
    """What came after something else waits until that is asked for, or does not come any more."""
    kept = Kept(1, 2, 3)
    task = asyncio.ensure_future(kept.turn(3))
    await kept.turn(1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    kept.order.passed(2)
    await task


async def test_where_nothing_else_is_waited_for_there_is_no_order() -> None:
    """Code that does one thing after the other may come to them in another order, or not to all of them."""
    kept = Kept(1, 2, 3, is_alone=True)
    await kept.turn(3)
    await kept.turn(1)
    assert kept.came == [3, 1]


async def test_what_the_code_never_comes_to_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """When something else waits for it longer than the recorded time and some patience, it is lost."""
    kept = Kept(1, 2)
    task = asyncio.ensure_future(kept.turn(2))
    await asyncio.sleep(0)
    # The clock of the loop, as if the patience was over.
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + 60)
    for _ in range(10):
        await asyncio.sleep(0)
    assert kept.lost == [1]
    task.cancel()


async def test_who_hangs_is_cancelled_first_and_then_waits_for_its_turn() -> None:
    """A step that was given up ends when its code gives it up, and not before what came before that."""
    kept = Kept(1, 2)
    hanging = asyncio.ensure_future(kept.order.hang(2))
    await asyncio.sleep(0)
    hanging.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not hanging.done()
    await kept.turn(1)
    assert isinstance((await asyncio.gather(hanging, return_exceptions=True))[0], asyncio.CancelledError)


async def test_what_is_expected_comes_by_itself() -> None:
    """What stopped the recorded run comes when all before it came, and what follows when that has been said."""
    kept = Kept(1, 2, 3)
    kept.order.expect(2, lambda: kept.came.append(2))
    task = asyncio.ensure_future(kept.turn(3))
    await kept.turn(1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert kept.came == [1, 2]
    kept.order.passed(2)
    await task


async def test_nothing_waits_when_the_replay_is_left() -> None:
    """Whoever waits or hangs is cancelled when the replay ends early, and nobody begins to hang after that."""
    kept = Kept(1, 2)
    tasks = [asyncio.ensure_future(work) for work in (kept.turn(2), kept.order.hang(0), kept.order.stuck())]
    await asyncio.sleep(0)
    kept.order.leave()
    ends = await asyncio.gather(*tasks, kept.order.hang(0), return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 4
