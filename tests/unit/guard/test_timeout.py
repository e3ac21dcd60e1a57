"""The time bounds of one attempt, in virtual time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runwright.core.policy import Timeout
from runwright.errors import DeadlineExceeded, ProviderTimeout, RunwrightError, ToolTimeout
from runwright.guard import Call, Sending
from runwright.guard.timeout import Attempt
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Upstream, call_of


def streaming(*gaps_s: float) -> Upstream:
    """An upstream that gives a chunk after each of these silences, and then its answer."""

    async def answer(_: Call[Any], sending: Sending) -> str:
        for gap_s in gaps_s:
            await asyncio.sleep(gap_s)
            sending.chunk()
        return "whole"

    return Upstream(answer)


@pytest.mark.parametrize(
    ("policy", "gaps_s", "error", "after_s"),
    [
        (Timeout(total_s=3, idle_s=None), (2, 2), ProviderTimeout, 3),
        (Timeout(first_token_s=2, idle_s=None), (3,), ProviderTimeout, 2),
        (Timeout(first_token_s=5, idle_s=1), (4, 2), ProviderTimeout, 5),
        (Timeout(idle_s=1), (0.5, 0.9, 0.9, 1.5), ProviderTimeout, 3.3),
        (Timeout(idle_s=3, total_s=4), (2, 2, 2), ProviderTimeout, 4),
    ],
    ids=["total", "first_token", "idle_shorter_than_first", "idle", "total_before_idle"],
)
def test_each_bound(policy: Timeout, gaps_s: tuple[float, ...], error: type[RunwrightError], after_s: float) -> None:
    """An attempt ends at the first of its bounds that passes, at that very moment."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(error):
            await Attempt[Any](policy)(call_of(streaming(*gaps_s).send, kind="model", is_streamed=True))
        return loop.time()

    assert run_virtual(main()) == pytest.approx(after_s)


def test_within_all_bounds() -> None:
    """A stream whose silences are all short goes on for as long as it likes."""
    policy = Timeout(first_token_s=2, idle_s=1)
    call = call_of(streaming(*[0.9] * 100).send, kind="model", is_streamed=True)
    assert run_virtual(Attempt[Any](policy)(call)) == "whole"


def test_the_first_chunk_ends_its_bound() -> None:
    """A stream that began in time may be silent for as long as it likes where no silence is bounded."""
    policy = Timeout(first_token_s=2, idle_s=None)
    call = call_of(streaming(1, 50, 50).send, kind="model", is_streamed=True)
    assert run_virtual(Attempt[Any](policy)(call)) == "whole"


def test_bounds_of_chunks_are_for_streams() -> None:
    """An answer that is not streamed has no first chunk to wait for."""
    call = call_of(streaming(50).send, kind="model")
    assert run_virtual(Attempt[Any](Timeout(first_token_s=2, idle_s=None))(call)) == "whole"


def test_the_run_has_no_time() -> None:
    """The run's own bound is told as such, before the attempt and during it."""

    async def main() -> tuple[int, float]:
        upstream = streaming(5)
        loop = asyncio.get_running_loop()
        with pytest.raises(DeadlineExceeded):
            await Attempt[Any](None)(call_of(upstream.send, deadline=3.0, timeout_s=10.0))
        with pytest.raises(DeadlineExceeded):
            await Attempt[Any](None)(call_of(upstream.send, deadline=3.0))
        return len(upstream.calls), loop.time()

    assert run_virtual(main()) == (1, 3.0)


@pytest.mark.parametrize("made", ["partial", ValueError("partial")], ids=["answer", "error"])
def test_a_swallowed_cancellation(made: object) -> None:
    """A sender that makes something of its cancellation is heard, and nobody takes its task for cancelled later."""

    async def stubborn(_: Call[Any], __: Sending) -> object:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return made

    async def main() -> tuple[object, int]:
        task = asyncio.current_task()
        assert task is not None
        try:
            answer = await Attempt[Any](Timeout(total_s=1))(call_of(Upstream(stubborn).send))
        except ValueError as error:
            answer = error
        return answer, task.cancelling()

    assert run_virtual(main()) == (made, 0)


def test_a_tool_is_late() -> None:
    """A tool's bound is its own."""
    with pytest.raises(ToolTimeout, match=r"'x' did not answer within 1 s; see limits\.tool_timeout_s"):
        run_virtual(Attempt[Any](None)(call_of(streaming(5).send, timeout_s=1.0)))


def test_cancelled_from_outside_while_late() -> None:
    """A cancellation of somebody else wins over a time-out of the same moment."""

    async def main() -> bool:
        task = asyncio.create_task(Attempt[Any](None)(call_of(streaming(5).send, timeout_s=1.0)))
        asyncio.get_running_loop().call_at(1.0, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert run_virtual(main())


def test_nothing_stays_behind() -> None:
    """An attempt that ends in any way leaves no timer and no task."""

    async def main() -> tuple[float, int]:
        call = call_of(streaming(1).send, timeout_s=100.0)
        await Attempt[Any](Timeout(idle_s=50))(call)
        await asyncio.sleep(0)
        return asyncio.get_running_loop().time(), len(asyncio.all_tasks())

    assert run_virtual(main()) == (1.0, 1)


def test_many_attempts_share_a_timer() -> None:
    """Attempts that begin and end at different times are each late at their own time, and only those that are."""

    async def main() -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        attempt = Attempt[Any](None)

        async def late(begin_s: float, bound_s: float) -> float:
            await asyncio.sleep(begin_s)
            with pytest.raises(ToolTimeout):
                await attempt(call_of(streaming(1000).send, timeout_s=bound_s))
            return loop.time()

        fine = [attempt(call_of(streaming(3).send, timeout_s=3.5 + index)) for index in range(20)]
        moments = await asyncio.gather(late(0, 50), late(1, 2), late(2, 10), late(2, 0.5), *fine)
        return [moment for moment in moments if isinstance(moment, float)], loop.time()

    assert run_virtual(main()) == ([50.0, 3.0, 12.0, 2.5], 50.0)


def test_loops_in_threads_have_timers_of_their_own() -> None:
    """The same guard bounds calls in several loops at once."""
    attempt = Attempt[Any](None)

    async def main(bound_s: float) -> float:
        with pytest.raises(ToolTimeout):
            await attempt(call_of(streaming(1000).send, timeout_s=bound_s))
        return asyncio.get_running_loop().time()

    def late(bound_s: float) -> float:
        return run_virtual(main(bound_s))

    with ThreadPoolExecutor(4) as pool:
        bounds = [float(bound) for bound in range(1, 40)]
        assert list(pool.map(late, bounds)) == bounds
