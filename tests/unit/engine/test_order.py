"""The recorded order: answers come when all is done that came before them."""

from __future__ import annotations

import asyncio

import pytest

from runwright.engine.order import AT_ONCE_S, Mark, Order

pytestmark = pytest.mark.anyio

LATER_S = 2 * AT_ONCE_S
NEVER = Mark(1000, 0.0)


class Kept:
    """An order, and what came of it: the numbers in the order of their turns."""

    def __init__(self, *marks: Mark, stop: Mark = NEVER, is_stopped: bool = False) -> None:
        self.came: list[float] = []
        self.order = Order(marks, stop=stop, is_stopped=is_stopped, stopped=lambda: self.came.append(stop.number))

    async def turn(self, number: int) -> None:
        """Wait for the turn of this number, and note it."""
        await self.order.turn(number)
        self.came.append(number)


def begun(number: int) -> Mark:
    """The beginning of a step."""
    return Mark(number, 0.0)


def ended(number: int, after_s: float = 0.0) -> Mark:
    """The end of a step."""
    return Mark(number, after_s, is_end=True)


@pytest.mark.parametrize("gap_s", [0.0, LATER_S], ids=["at once", "later"])
async def test_answers_come_in_the_recorded_order(gap_s: float) -> None:
    """Whoever asks first, the answer that came first comes first."""
    kept = Kept(begun(1), begun(2), ended(3), ended(4, gap_s))
    kept.order.done(1)
    kept.order.done(2)
    await asyncio.gather(kept.turn(4), kept.turn(3))
    assert kept.came == [3, 4]


async def test_an_answer_waits_for_a_step_that_began_before_it() -> None:
    """What ended after another step had begun waits until that one is asked for."""
    kept = Kept(begun(1), begun(2), ended(3), ended(4))
    kept.order.done(1)
    task = asyncio.ensure_future(kept.turn(3))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    kept.order.done(2)
    await task


async def test_steps_one_after_the_other_do_not_wait() -> None:
    """Where one step came after the other there is no order to keep, also when one is not asked for."""
    kept = Kept(begun(1), ended(2), begun(3), ended(4))
    kept.order.done(3)
    await kept.turn(4)
    assert kept.came == [4]


async def test_what_the_code_never_comes_to_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is not asked for within the recorded time and some patience holds nothing up any more."""
    kept = Kept(begun(1), begun(2), ended(3), ended(4))
    kept.order.done(1)
    task = asyncio.ensure_future(kept.turn(3))
    await asyncio.sleep(0)
    # The clock of the loop, as if the patience was over.
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + 60)
    await task
    assert kept.came == [3]


async def test_a_stop_comes_when_all_before_it_is_done() -> None:
    """What stopped the recorded run comes as soon as everything before it came, and ends who hangs there."""
    kept = Kept(begun(1), begun(2), ended(3), stop=Mark(4, 0.0), is_stopped=True)
    kept.order.done(1)
    hanging = asyncio.ensure_future(kept.order.hang(0))
    await asyncio.sleep(0)
    assert kept.came == []
    kept.order.done(2)
    await kept.turn(3)
    for _ in range(10):
        await asyncio.sleep(0)
    assert kept.came == [3, 4]
    hanging.cancel()


async def test_what_ended_after_the_stop_makes_nothing_of_it() -> None:
    """A step that ended after its run was stopped hangs until then, and its cancellation is swallowed."""
    kept = Kept(begun(1), stop=Mark(2, 0.0), is_stopped=True)
    task = asyncio.ensure_future(kept.turn(3))
    await asyncio.sleep(0)
    kept.order.done(1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert kept.came == [2]
    task.cancel()
    await task
    assert kept.came == [2, 3]


async def test_nothing_waits_when_the_replay_is_left() -> None:
    """Whoever waits or hangs is cancelled when the replay ends early, and nobody begins to hang after that."""
    kept = Kept(begun(1), begun(2), ended(3), ended(4))
    kept.order.done(1)
    tasks = [asyncio.ensure_future(work) for work in (kept.turn(3), kept.order.hang(0))]
    await asyncio.sleep(0)
    kept.order.leave()
    ends = await asyncio.gather(*tasks, kept.order.hang(0), return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 3
    kept.order.close()
