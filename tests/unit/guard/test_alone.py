"""The guard without the rest."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from runwright.core.policy import (
    Backoff,
    Breaker,
    Budget,
    Cache,
    Fallback,
    Guard,
    Hedge,
    Limit,
    Retry,
    Similar,
    Timeout,
)
from runwright.core.step import Effect
from runwright.errors import BreakerOpen, BudgetExceeded, DeadlineExceeded, ProviderTimeout
from runwright.guard import Spend, guard_for, guarded, surroundings
from runwright.guard.breaker import LocalBreaker
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes

SCRIPT = """
import asyncio, sys
from runwright.guard import Guard, Retry, Backoff, guard_for, guarded

failures = [ConnectionError("gone"), TimeoutError()]

@guarded(Guard(retry=Retry(backoff=Backoff(base_s=0.001))))
async def fetch(name: str) -> str:
    if failures:
        raise failures.pop()
    return f"hello {name}"

async def main():
    print(await fetch("you"))
    async with guard_for().call("elsewhere"):
        print("sent")

asyncio.run(main())
loaded = [name for name in sys.modules if name.startswith("runwright.")]
print(sorted({name.split(".")[1] for name in loaded}))
"""
QUICK = Retry(backoff=Backoff(base_s=0.001))


def test_in_a_plain_script() -> None:
    """A script that imports only the guard runs, and loads neither server nor store nor engine."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["hello you", "sent", "['core', 'errors', 'guard']"]


async def test_a_function_is_sent_again() -> None:
    """It keeps its name and signature; what passes is sent again, and that is told."""
    notes, asked = Notes(), list[str]()

    @guarded(Guard(retry=QUICK), note=notes)
    async def fetch(name: str, *, times: int = 2) -> str:
        """Fetch."""
        asked.append(name)
        if len(asked) < times:
            raise ConnectionResetError("reset")
        return name.upper()

    assert await fetch("a", times=2) == "A"
    assert (fetch.__name__, fetch.__doc__, notes.actions) == ("fetch", "Fetch.", ["retry resend"])
    assert notes.decisions[0].target.endswith("test_a_function_is_sent_again.<locals>.fetch")
    with pytest.raises(ValueError, match="own"):
        await broken()


@guarded(Guard(), "x")
async def broken() -> None:
    """Fail."""
    raise ValueError("own")


async def test_once_is_sent_once() -> None:
    """A function with effects is not run again unless it says that nothing was sent."""
    ran: list[int] = []

    @guarded(Guard(retry=QUICK), effect="once")
    async def pay() -> None:
        ran.append(1)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await pay()
    assert ran == [1]


async def test_targets_are_shared() -> None:
    """Functions with the same surroundings, policies and target share a breaker; others have their own."""
    around, guard = surroundings(), Guard(retry=False, breaker=Breaker(minimum=2))

    @guarded(guard, "search", around=around)
    async def fails() -> None:
        raise ConnectionError

    @guarded(guard, "search", around=around)
    async def works() -> int:
        return 1

    @guarded(guard, "search")
    async def other() -> int:
        return 2

    for _ in range(2):
        with pytest.raises(ConnectionError):
            await fails()
    with pytest.raises(BreakerOpen):
        await works()
    with pytest.raises(BreakerOpen):
        async with guard_for(guard, around=around).call("search"):
            raise AssertionError
    assert await other() == 2


async def test_answers_are_kept() -> None:
    """With a cache an equal call is answered from the earlier one."""
    asked: list[int] = []

    @guarded(Guard(cache=True), "square")
    async def square(number: int) -> int:
        asked.append(number)
        return number**2

    assert [await square(3), await square(number=3), await square(4)] == [9, 9, 16]
    assert asked == [3, 4]


async def test_functions_of_one_factory() -> None:
    """Two functions of one name share no answer: their targets tell them apart, and without one there is no cache."""
    around = surroundings()

    def make(unit: str, target: str | None) -> Callable[[str], Any]:
        @guarded(Guard(cache=True), target, around=around)
        async def say(text: str) -> str:
            return unit + text

        return say

    assert [await make("A", "a")("q"), await make("B", "b")("q")] == ["Aq", "Bq"]
    with pytest.raises(ValueError, match="it reads unit"):
        make("A", None)


async def test_budgets() -> None:
    """Calls count by themselves, tokens by what a result says."""

    @guarded(Guard(budget=Budget(tokens=10, per="day")), spent=lambda used: Spend(tokens=used))
    async def use(tokens: int) -> int:
        return tokens

    assert await use(11) == 11
    with pytest.raises(BudgetExceeded):
        await use(1)
    blocks = guard_for(Guard(budget=Budget(calls=1, per="ever")))
    async with blocks.call("x"):
        pass
    with pytest.raises(BudgetExceeded):
        async with blocks.call("x"):
            raise AssertionError


@pytest.mark.parametrize(
    ("guard", "effect", "words"),
    [
        (Guard(fallback=Fallback(models=("a",))), "read", "fallback is for models"),
        (Guard(hedge=True), "once", "needs effect='read', not 'once'"),
        (Guard(cache=True), "idempotent", "for calls of effect 'read'"),
        (Guard(cache=Cache(of="runs")), "read", "not runs of effect 'read'"),
        (Guard(cache=Cache(similar=Similar())), "read", "answered for an agent alone"),
        (Guard(budget=Budget(calls=1)), "read", "a budget per run needs an agent's run"),
        (Guard(budget=Budget(calls=1, per="day", at_limit="wait")), "read", "take 'fail'"),
        (Guard(budget=Budget(usd="1", per="day")), "read", "spent="),
        (Guard(retry=Retry(backoff=Backoff(strategy="cubic"))), "read", "no backoff strategy 'cubic'"),
    ],
    ids=["fallback", "hedge", "cache", "runs", "similar", "run", "wait", "usd", "strategy"],
)
def test_what_cannot_hold_for_a_function(guard: Guard, effect: Effect, words: str) -> None:
    """A policy that would do nothing is refused where it is written."""
    with pytest.raises(ValueError, match=words):
        guarded(guard, effect=effect)


@pytest.mark.parametrize("guard", [Guard(retry=True), Guard(hedge=Hedge()), Guard(cache=True)])
def test_what_cannot_hold_for_a_block(guard: Guard) -> None:
    """A block cannot be run again; a policy that is switched off is no fault."""
    with pytest.raises(ValueError, match="cannot hold for a block"):
        guard_for(guard)
    guard_for(Guard(retry=False, hedge=False, cache=False))


def test_only_coroutine_functions() -> None:
    """A plain function is told at once."""
    plain: Any = len
    with pytest.raises(TypeError, match="no coroutine function"):
        guarded(Guard())(plain)


def test_within() -> None:
    """The time of a call bounds it with all its resends."""

    async def main() -> float:
        @guarded(Guard(timeout=Timeout(total_s=3)), "slow", within_s=8)
        async def slow() -> None:
            await asyncio.sleep(60)

        with pytest.raises(DeadlineExceeded, match=r"^No time was left for 'slow'; raise within_s\.$"):
            await slow()
        return asyncio.get_running_loop().time()

    assert 3 < run_virtual(main()) <= 8


def block_of(guard: Guard, body: Callable[[], Any], **options: Any) -> tuple[str, float, int, int]:
    """What a block came to, at what time, how many tasks are left, and how much was counted as failed."""

    async def main() -> tuple[str, float, int, int]:
        around = surroundings()
        task, outcome = asyncio.current_task(), "done"
        assert task is not None
        try:
            async with guard_for(guard, around=around).call("x", **options):
                await body()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any outcome is told
            outcome = f"{type(error).__name__}: {error}"
        assert task.cancelling() == 0
        # A cancellation that was meant for the block alone does not come later.
        await asyncio.sleep(0)
        (state,) = [state for _, _, state in around.registry.all(LocalBreaker)]
        return outcome, asyncio.get_running_loop().time(), len(asyncio.all_tasks()) - 1, state.failed

    return run_virtual(main())


async def fail(error: BaseException) -> None:
    """Raise after a second."""
    await asyncio.sleep(1)
    raise error


async def stubborn() -> None:
    """Go on after a cancellation."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(1)


async def clumsy() -> None:
    """Fail while cleaning up."""
    try:
        await asyncio.sleep(60)
    finally:
        raise LookupError("cleanup")


LATE = "ToolTimeout: 'x' did not answer within 3 s; see guard.timeout.total_s."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda: asyncio.sleep(1), ("done", 1, 0, 0)),
        (lambda: fail(ConnectionError("gone")), ("ConnectionError: gone", 1, 0, 1)),
        (lambda: fail(ValueError("x")), ("ValueError: x", 1, 0, 0)),
        (lambda: fail(StopAsyncIteration("x")), ("StopAsyncIteration: x", 1, 0, 0)),
        (lambda: fail(asyncio.CancelledError("own")), ("CancelledError: own", 1, 0, 0)),
        (lambda: asyncio.sleep(60), (LATE, 3, 0, 1)),
        (stubborn, (LATE, 4, 0, 1)),
        (clumsy, ("LookupError: cleanup", 3, 0, 1)),
    ],
    ids=["done", "failed", "own_fault", "stop", "own_cancel", "late", "stubborn", "clumsy"],
)
def test_a_block(body: Callable[[], Any], expected: tuple[str, float, int, int]) -> None:
    """A block's outcome reaches its caller and the breaker; a time bound ends it; nothing stays behind."""
    assert block_of(Guard(timeout=Timeout(total_s=3)), body) == expected


def test_a_block_that_ends_when_its_time_does() -> None:
    """Either way at that moment, it leaves no task and no cancellation."""
    outcome, ended_s, tasks, _ = block_of(Guard(timeout=Timeout(total_s=3)), lambda: asyncio.sleep(3))
    assert (outcome in {"done", LATE}, ended_s, tasks) == (True, 3, 0)


def test_a_streamed_block() -> None:
    """A block tells of its pieces, and falls silent for no longer than it may."""

    async def main() -> float:
        blocks = guard_for(Guard(timeout=Timeout(idle_s=2)))

        async def stream() -> None:
            async with blocks.call("x", is_streamed=True) as sending:
                for _ in range(5):
                    await asyncio.sleep(1)
                    sending.chunk()
                await asyncio.sleep(60)

        with pytest.raises(ProviderTimeout, match="fell silent for 2 s"):
            await stream()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 7


def test_a_cancelled_block() -> None:
    """A cancellation of the caller ends the block or its wait, counts as nothing, and stays a cancellation."""

    async def main() -> list[bool]:
        around = surroundings()
        blocks = guard_for(Guard(limit=Limit(requests=1, per_s=30, burst=1)), around=around)

        async def work() -> None:
            async with blocks.call("x"):
                await asyncio.sleep(50)

        tasks = [asyncio.create_task(work()) for _ in range(2)]
        for task in tasks:
            asyncio.get_running_loop().call_at(10, task.cancel)
        await asyncio.wait(tasks)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert all(state.seen == 0 for _, _, state in around.registry.all(LocalBreaker))
        return [task.cancelled() for task in tasks]

    assert run_virtual(main()) == [True, True]
