"""Equal calls that share one answer, in virtual time."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.errors import BudgetExceeded, DeadlineExceeded, ProviderUnavailable, ToolFailed
from runwright.guard import Call
from runwright.guard.flight import Flights
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of


class Slow:
    """Makes calls in one second each; counts those that it began, and those that were cancelled."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers) or ["answer"]
        self.begun = 0
        self.cancelled = 0
        self.at_work = 0

    async def __call__(self, call: Call[Any]) -> Any:
        """Make a call."""
        answer = self._answers[min(self.begun, len(self._answers) - 1)]
        self.begun += 1
        self.at_work += 1
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            # What was held takes a moment to be given back.
            await asyncio.sleep(0)
            raise
        finally:
            self.at_work -= 1
        call.trail.target = call.target
        if isinstance(answer, BaseException):
            raise answer
        return answer


def a_call(**changes: Any) -> Call[Any]:
    """A call that nobody sends but `make`."""
    return call_of(Upstream("never").send, **changes)


def test_equal_at_once() -> None:
    """200 equal calls at once are one upstream, and each of the 199 that joined says so."""

    async def main() -> None:
        flights, make = Flights(), Slow()
        calls = [a_call() for _ in range(200)]
        answers = await asyncio.gather(*(flights.share(b"k", call, make) for call in calls))
        assert answers == ["answer"] * 200
        assert make.begun == 1
        assert len(flights) == 0
        leader, *followers = calls
        assert isinstance(leader.note, Notes)
        assert leader.note.actions == []
        assert not leader.trail.is_cached
        for number, call in enumerate(followers, 1):
            assert isinstance(call.note, Notes)
            assert [(told.layer, told.action, told.figures) for told in call.note.decisions] == [
                ("flight", "joined", {"followers": number})
            ]
            assert call.trail.is_cached
            assert call.trail.target == "x"

    run_virtual(main())


def test_other_questions_and_later_ones_fly_alone() -> None:
    """Another key is another call, and so is the same key once the first has its answer: nothing is kept."""

    async def main() -> None:
        flights, make = Flights(), Slow("one", "two", "three")
        assert await asyncio.gather(*(flights.share(key, a_call(), make) for key in (b"a", b"b"))) == ["one", "two"]
        assert await flights.share(b"a", a_call(), make) == "three"

    run_virtual(main())


def test_a_leader_leaves() -> None:
    """When the leader is cancelled, all 49 who follow are served by the call that it began; one of them pays it."""

    async def main() -> None:
        flights, make = Flights(), Slow()
        calls = [a_call() for _ in range(50)]
        tasks = [asyncio.ensure_future(flights.share(b"k", call, make)) for call in calls]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == ["answer"] * 49
        assert make.begun == 1
        assert [call.trail.is_cached for call in calls[1:]] == [False, *[True] * 48]
        assert asyncio.get_running_loop().time() == 1

    run_virtual(main())


def test_the_last_one_out_ends_it() -> None:
    """When all have left the call is cancelled, and the last one leaves when it has given back what it held."""

    async def main() -> None:
        flights, make = Flights(), Slow()
        tasks = [asyncio.ensure_future(flights.share(b"k", a_call(), make)) for _ in range(5)]
        await asyncio.sleep(0.5)
        for task in tasks[:4]:
            task.cancel()
        await asyncio.sleep(0)
        assert make.at_work == 1
        tasks[4].cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert (make.cancelled, make.at_work, len(flights)) == (1, 0, 0)
        assert await flights.share(b"k", a_call(), make) == "answer"

    run_virtual(main())


def test_an_error_is_shared_and_not_kept() -> None:
    """All who wait get the error, each an object of its own, and who comes later asks anew."""

    async def main() -> None:
        flights, make = Flights(), Slow(ToolFailed("it broke"), "well")
        got = await asyncio.gather(*(flights.share(b"k", a_call(), make) for _ in range(5)), return_exceptions=True)
        assert [str(error) for error in got] == ["it broke"] * 5
        assert len({id(error) for error in got}) == 5
        assert make.begun == 1
        assert await flights.share(b"k", a_call(), make) == "well"

    run_virtual(main())


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyError("k"), asyncio.CancelledError()], ids=["exit", "key", "cancelled"]
)
def test_whatever_the_sender_raises(error: BaseException) -> None:
    """Errors of any kind come out where the calls were made, and nowhere else."""

    async def main() -> None:
        flights = Flights()
        # SystemExit must not leave a task: it is caught by who called, as the gateway does.
        with pytest.raises(type(error)):
            await flights.share(b"k", a_call(), Slow(error))
        assert len(flights) == 0

    run_virtual(main())


def test_each_has_its_own_deadline() -> None:
    """A follower without time leaves at its own deadline; the others stay."""

    async def main() -> None:
        flights, make = Flights(), Slow()
        leader = asyncio.ensure_future(flights.share(b"k", a_call(), make))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await flights.share(b"k", a_call(deadline=0.25), make)
        assert asyncio.get_running_loop().time() == 0.25
        assert await leader == "answer"

    run_virtual(main())


def test_an_only_one_without_time() -> None:
    """A call that nobody else waits for ends at its deadline, and is over then."""

    async def main() -> None:
        flights, make = Flights(), Slow()
        with pytest.raises(DeadlineExceeded):
            await flights.share(b"k", a_call(deadline=0.5), make)
        assert (make.cancelled, make.at_work, len(flights)) == (1, 0, 0)

    run_virtual(main())


@pytest.mark.parametrize("error", [DeadlineExceeded(), BudgetExceeded()], ids=["time", "money"])
def test_what_ends_the_leader_alone(error: Exception) -> None:
    """The leader's time and money are its own: those who follow ask again, together."""

    async def main() -> None:
        flights, make = Flights(), Slow(error, "answer")
        got = await asyncio.gather(*(flights.share(b"k", a_call(), make) for _ in range(10)), return_exceptions=True)
        assert got == [error, *["answer"] * 9]
        assert make.begun == 2

    run_virtual(main())


def test_a_stream_that_broke() -> None:
    """A leader that has shown a part of an answer may not be sent again; those who follow have seen nothing."""

    async def main() -> None:
        flights, make = Flights(), Slow(ProviderUnavailable(), "answer")
        leader = a_call(is_streamed=True)
        leader.trail.is_begun = True
        calls = [leader, a_call(), a_call()]
        got = await asyncio.gather(*(flights.share(b"k", call, make) for call in calls), return_exceptions=True)
        assert isinstance(got[0], ProviderUnavailable)
        assert got[1:] == ["answer"] * 2
        assert make.begun == 2

    run_virtual(main())


@given(
    waits=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=12),
    is_failing=st.booleans(),
)
def test_nothing_is_left(waits: list[tuple[int, int]], is_failing: bool) -> None:
    """Whoever comes and whoever leaves when: those who stay are served, and no call or task is left."""

    async def main() -> None:
        flights = Flights()
        make = Slow(ToolFailed("it broke") if is_failing else "answer")

        async def one(come: int, stay: int) -> object:
            await asyncio.sleep(come / 8)
            task = asyncio.ensure_future(flights.share(b"k", a_call(), make))
            await asyncio.sleep(stay / 8)
            is_leaving = not task.done() and stay < 8
            if is_leaving:
                task.cancel()
            (got,) = await asyncio.gather(task, return_exceptions=True)
            return "left" if is_leaving else got

        got = await asyncio.gather(*(one(come, stay) for come, stay in waits))
        for answer in got:
            assert answer in ("left", "answer") or isinstance(answer, ToolFailed)
        assert (make.at_work, len(flights)) == (0, 0)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


@given(steps=st.integers(0, 12))
def test_cancelled_at_every_step(steps: int) -> None:
    """A call that is cancelled after any number of the loop's steps leaves nothing behind."""

    async def main() -> None:
        flights, make = Flights(), Slow()
        task = asyncio.ensure_future(flights.share(b"k", a_call(), make))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert (make.at_work, len(flights), len(asyncio.all_tasks())) == (0, 0, 1)

    run_virtual(main())
