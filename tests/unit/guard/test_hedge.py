"""Two equal calls at once, in virtual time."""

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.core.budget import NOTHING, Spend
from runwright.core.policy import Backoff, Breaker, Budget, Guard, Hedge, Limit, Plan, Retry, plan
from runwright.core.step import Effect
from runwright.errors import ProviderUnavailable
from runwright.guard import Call, Registry, Sending, Surroundings
from runwright.guard.bulkhead import Dock
from runwright.guard.call import Proceed
from runwright.guard.chain import guard
from runwright.guard.hedge import FEWEST, Latencies
from runwright.guard.rate import Gate
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, call_of, is_cancelled_at

DOWN = ProviderUnavailable("down")
POLICY = Hedge(after_s=2, extra=0.5)


def guarded(policy: Hedge = POLICY, saved: float = 5.0, **policies: Any) -> tuple[Proceed[Any], Latencies]:
    """A guard that doubles calls, and the pace of the target of `call_of`, with so much saved."""
    registry = Registry(Random(1))
    proceed = guard(Plan(hedge=policy, **policies), Surroundings(registry=registry))
    pace = registry.state(Latencies, target="x", policy=policy, place="default")
    pace.saved = saved
    return proceed, pace


class Answers:
    """Answers after so many seconds, in the order in which calls come; an exception is raised then."""

    def __init__(self, *answers: tuple[float, object], chunk_s: float | None = None) -> None:
        self._answers = list(answers)
        self._chunk_s = chunk_s
        self.sent = 0
        self.ended: list[str] = []

    async def send(self, _: Call[Any], sending: Sending) -> object:
        """Make one attempt."""
        self.sent += 1
        name = str(self.sent)
        after_s, answer = self._answers[min(self.sent, len(self._answers)) - 1]
        try:
            await asyncio.sleep(after_s)
            if self._chunk_s is not None:
                sending.chunk()
                await asyncio.sleep(self._chunk_s)
        except asyncio.CancelledError:
            # A sender needs a while to let go, and the call waits for it.
            await asyncio.sleep(0.125)
            self.ended.append(f"{name} cancelled")
            raise
        self.ended.append(f"{name} done")
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "expected", "after_s", "ended", "actions"),
    [
        ([(1, "a")], "a", 1, ["1 done"], []),
        ([(9, "a"), (1, "b")], "b", 3.125, ["2 done", "1 cancelled"], ["hedge doubled", "hedge won"]),
        ([(3, "a"), (9, "b")], "a", 3.125, ["1 done", "2 cancelled"], ["hedge doubled", "hedge won"]),
        ([(3, "a"), (1, "b")], "a", 3.125, ["1 done", "2 cancelled"], ["hedge doubled", "hedge won"]),
        ([(3, DOWN), (9, "b")], "b", 11, ["1 done", "2 done"], ["hedge doubled", "hedge won"]),
        ([(9, "a"), (1, DOWN)], "a", 9, ["2 done", "1 done"], ["hedge doubled", "hedge won"]),
        ([(1, DOWN)], DOWN, 1, ["1 done"], []),
        ([(9, DOWN), (1, ValueError())], DOWN, 9, ["2 done", "1 done"], ["hedge doubled"]),
        ([(1, SystemExit("x"))], SystemExit("x"), 1, ["1 done"], []),
        ([(1, asyncio.CancelledError())], asyncio.CancelledError(), 1, ["1 done"], []),
    ],
    ids=[
        *("quick", "second_wins", "first_wins", "same_moment", "first_fails", "second_fails"),
        *("fails_before", "both_fail", "exit", "own_cancel"),
    ],
)
def test_who_wins(
    answers: list[tuple[float, object]], expected: object, after_s: float, ended: list[str], actions: list[str]
) -> None:
    """The first answer counts; the loser is cancelled and waited for; a failure leaves it to the other one."""

    async def main() -> float:
        notes, upstream = Notes(), Answers(*answers)
        proceed, _ = guarded()
        task = asyncio.current_task()
        assert task is not None
        if isinstance(expected, BaseException):
            with pytest.raises(type(expected)):
                await proceed(call_of(upstream.send, note=notes))
        else:
            assert await proceed(call_of(upstream.send, note=notes)) == expected
        assert (upstream.ended, notes.actions, task.cancelling()) == (ended, actions, 0)
        assert len(asyncio.all_tasks()) == 1
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == after_s


def test_a_chunk_decides() -> None:
    """Who shows a chunk goes on, however long the rest takes; after that nothing is doubled."""

    async def main() -> None:
        notes, upstream = Notes(), Answers((5, "a"), (1, "b"), chunk_s=50)
        proceed, _ = guarded()
        call = call_of(upstream.send, note=notes, is_streamed=True)
        assert await proceed(call) == "b"
        assert (asyncio.get_running_loop().time(), upstream.ended) == (53, ["1 cancelled", "2 done"])
        assert (call.trail.is_begun, call.trail.begun_at, call.trail.attempts) == (True, 3, 2)
        assert notes.decisions[-1].reason == "the second was first to begin"
        upstream = Answers((1, "a"), chunk_s=50)
        assert await proceed(call_of(upstream.send, is_streamed=True)) == "a"
        assert upstream.sent == 1

    run_virtual(main())


def test_a_winner_that_fails_is_the_outcome() -> None:
    """When who went on breaks in mid-stream, nobody else is left and nothing is sent again."""

    async def main() -> int:
        upstream = Answers((5, "a"), (1, DOWN), chunk_s=1)
        proceed, _ = guarded(retry=Retry(backoff=Backoff(base_s=1)))
        with pytest.raises(ProviderUnavailable):
            await proceed(call_of(upstream.send, is_streamed=True))
        return upstream.sent

    assert run_virtual(main()) == 2


@pytest.mark.parametrize(
    ("effect", "saved", "deadline"),
    [("idempotent", 5.0, None), ("once", 5.0, None), ("read", 0.5, None), ("read", 5.0, 1.5)],
    ids=["idempotent", "once", "no_budget", "deadline"],
)
def test_when_nothing_is_doubled(effect: Effect, saved: float, deadline: float | None) -> None:
    """What has effects, what the budget does not allow and what has no time for it is sent once."""

    async def main() -> int:
        upstream = Answers((9 if deadline is None else 1, "a"))
        proceed, _ = guarded(saved=saved)
        assert await proceed(call_of(upstream.send, effect=effect, deadline=deadline)) == "a"
        return upstream.sent

    assert run_virtual(main()) == 1


def test_the_slowest_of_what_was_measured() -> None:
    """Without a fixed time the 95th percentile of the last calls is taken, once there are enough."""

    async def main() -> None:
        proceed, pace = guarded(Hedge(), saved=0)
        for nth in range(FEWEST):
            assert pace.p95_s is None
            await proceed(call_of(Answers((nth + 1, "a")).send))
        assert pace.p95_s == 19
        notes = Notes()
        pace.saved = 1
        assert await proceed(call_of(Answers((99, "a"), (1, "b")).send, note=notes)) == "b"
        assert notes.decisions[0].wait_s == 19

    run_virtual(main())


@settings(deadline=None)
@given(
    extra=st.sampled_from([0, 0.02, 0.05, 0.3, 1]),
    times=st.lists(st.floats(0, 6), min_size=1, max_size=200),
    failing=st.sets(st.integers(0, 200)),
)
def test_no_more_than_the_share_is_doubled(extra: float, times: list[float], failing: set[int]) -> None:
    """At any moment the calls that were doubled are at most that share of those that have ended."""

    async def main() -> None:
        proceed, _ = guarded(Hedge(after_s=2, extra=extra), saved=0)
        sent = 0
        for nth, time_s in enumerate(times):
            upstream = Answers((time_s, DOWN if nth in failing else "a"))
            try:
                await proceed(call_of(upstream.send))
            except ProviderUnavailable:
                pass
            sent += upstream.sent
            assert sent - (nth + 1) <= extra * nth + 1e-6

    run_virtual(main())


def test_cancelled_anywhere() -> None:
    """A cancelled call leaves no task; it is measured not at all, and only a call that went out twice has paid."""

    async def main() -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        for at in range(1, 20):
            upstream = Answers((9, "a"), (3, "b"))
            proceed, pace = guarded()
            if not await is_cancelled_at(proceed(call_of(upstream.send)), at):
                return found
            assert (len(asyncio.all_tasks()), pace.is_idle) == (1, True)
            assert len(upstream.ended) == upstream.sent
            found.append((upstream.sent, pace.saved))
        raise AssertionError

    # The caller waits until the first one is sent, for its answer until it is doubled, and then for both.
    assert run_virtual(main()) == [(1, 5.0), (1, 5.0), (2, 4.0)]


def test_the_loser_is_not_the_caller() -> None:
    """The caller of a race that was decided is not cancelled; one that is cancelled in a race is."""

    async def main() -> list[bool]:
        proceed, _ = guarded()
        decided = asyncio.create_task(_ended(proceed, Answers((9, "a"), (1, "b"))))
        stopped = asyncio.create_task(_ended(proceed, Answers((9, "a"), (9, "b"))))
        asyncio.get_running_loop().call_at(5, stopped.cancel)
        await asyncio.wait([decided, stopped])
        return [decided.cancelled(), stopped.cancelled()]

    assert run_virtual(main()) == [False, True]


async def _ended(proceed: Proceed[Any], upstream: Answers) -> None:
    await proceed(call_of(upstream.send))
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    await asyncio.sleep(1)


def limited(**policies: Any) -> tuple[Proceed[Any], Latencies, Surroundings]:
    """A guard that doubles calls under these policies of an app, with enough saved for that."""
    around = Surroundings(registry=Registry(Random(1)))
    proceed = guard(plan(("app", Guard(hedge=POLICY, retry=False, **policies))), around)
    pace = around.registry.state(Latencies, target="x", policy=POLICY, place="app")
    pace.saved = 5.0
    return proceed, pace, around


def ten(_: object) -> Spend:
    """What an answer used."""
    return Spend(10)


def test_each_of_two_pays() -> None:
    """Each of two takes its own permit, slot and reservation; the one that lost counts as what was reserved for it."""

    async def main() -> None:
        limit = Limit(requests=600, tokens=60_000, concurrency=4, per_s=1e6, burst=0.01, adaptive=False)
        proceed, _, around = limited(limit=limit, budget=Budget(tokens=1000, per="day"))
        upstream = Answers((9, "a"), (1, "b"))
        call = call_of(upstream.send, estimate=Spend(100), spent=ten)
        task = asyncio.ensure_future(proceed(call))
        await asyncio.sleep(2.5)
        ((_, _, gate),) = around.registry.all(Gate)
        ((_, _, dock),) = around.registry.all(Dock)
        assert dock.slots.figures() == {"concurrent": 2}
        assert [each.reserved for each in await around.ledger.active()] == [Spend(200, calls=2)]
        assert await task == "b"
        figures = {name: round(float(left)) for name, left in gate.meter.figures().items()}
        assert figures == {"requests_left": 4, "tokens_left": 490}
        assert dock.is_idle
        (standing,) = await around.ledger.active()
        assert (standing.spent, standing.reserved) == (Spend(110, calls=2), NOTHING)

    run_virtual(main())


def test_what_waits_for_a_permit_is_not_slow() -> None:
    """Only what was sent can be slow: a call that waits in a line is not doubled, and its wait is not measured."""

    async def main() -> float | None:
        proceed, pace, _ = limited(limit=Limit(requests=1, per_s=5, burst=1.0, adaptive=False))
        upstream = Answers((1, "a"))
        await asyncio.gather(*(proceed(call_of(upstream.send)) for _ in range(4)))
        assert (upstream.sent, asyncio.get_running_loop().time()) == (4, 16)
        for _ in range(FEWEST - 4):
            await proceed(call_of(upstream.send))
        return pace.p95_s

    assert run_virtual(main()) == 1


@pytest.mark.parametrize(
    "policies",
    [
        {"limit": Limit(concurrency=1, adaptive=False)},
        {"limit": Limit(requests=1, per_s=20, burst=1.0, adaptive=False)},
        {"limit": Limit(requests=1, per_s=20, burst=1.0, queue=0, adaptive=False)},
        {"budget": Budget(tokens=150, per="day")},
        {"budget": Budget(calls=1, per="day")},
    ],
    ids=["slot", "line", "no_line", "reserved", "spent"],
)
@pytest.mark.parametrize("answer", ["a", DOWN], ids=["good", "bad"])
def test_no_room_for_a_second(policies: dict[str, Any], answer: object) -> None:
    """Where limits leave no room for a second one, the first is the outcome, and nothing is paid for doubling."""

    async def main() -> float:
        proceed, pace, _ = limited(**policies)
        upstream, notes = Answers((9, answer), (1, "b")), Notes()
        call = call_of(upstream.send, estimate=Spend(100), note=notes)
        if answer is DOWN:
            with pytest.raises(ProviderUnavailable):
                await proceed(call)
        else:
            assert await proceed(call) == "a"
        assert (upstream.sent, notes.actions[0], pace.saved) == (1, "hedge doubled", 5.5)
        assert "hedge won" not in notes.actions
        assert len(asyncio.all_tasks()) == 1
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 9


def test_a_probe_is_not_doubled() -> None:
    """At half-open one call sees who is back, and it is not doubled."""

    async def main() -> int:
        proceed, _, _ = limited(breaker=Breaker(window=2, minimum=2, open_s=4))
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                await proceed(call_of(Answers((0, DOWN)).send))
        await asyncio.sleep(4)
        upstream = Answers((9, "a"), (1, "b"))
        assert await proceed(call_of(upstream.send)) == "a"
        return upstream.sent

    assert run_virtual(main()) == 1


async def test_who_cannot_be_told() -> None:
    """An error of whoever is told of decisions reaches the caller as it is, and leaves no task."""

    def broken(_: object) -> None:
        raise LookupError

    proceed, _ = guarded(Hedge(after_s=0.001, extra=1))
    before = asyncio.all_tasks()
    with pytest.raises(LookupError):
        await proceed(call_of(Answers((60, "a")).send, note=broken))
    assert asyncio.all_tasks() == before
