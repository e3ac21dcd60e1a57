"""Limits of requests and tokens, in virtual time."""

import asyncio
from collections.abc import Coroutine
from itertools import accumulate, count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.core.budget import Spend
from runwright.core.model import Quota
from runwright.core.policy import Hedge, Limit, Plan
from runwright.errors import BudgetExceeded, CallShed, ProviderUnavailable, RateLimited
from runwright.guard import Call, Registry, Sending, Surroundings
from runwright.guard.chain import guard
from runwright.guard.heard import Heard
from runwright.guard.rate import Gate, RateLimiting
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of

TEN_A_SECOND = Limit(requests=600, tokens=60_000, burst=0.01)
"""10 requests a second and 6 at once; 1000 tokens a second and 600 at once."""


class Target:
    """A target behind a limit, that keeps when each call was sent; `answer` says how it answers."""

    def __init__(self, policy: Limit, *, registry: Registry | None = None, answer: object = "answer") -> None:
        self.registry = registry or Registry(Random(1))
        self.guard = guard(Plan(limit=policy), Surroundings(registry=self.registry))
        self.sent: list[tuple[float, int, Any]] = []
        self._upstream = Upstream(answer)
        self.notes = Notes()

    async def call(self, tokens: int = 0, name: object = "", **changes: Any) -> Any:
        """Call with an estimate of so many tokens."""

        async def send(call: Call[Any], sending: Sending) -> Any:
            self.sent.append((asyncio.get_running_loop().time(), tokens, name))
            return await self._upstream.send(call, sending)

        fields: dict[str, Any] = {"kind": "model", "target": "m", "note": self.notes, "estimate": Spend(tokens)}
        return await self.guard(call_of(send, **(fields | changes)))

    @property
    def times(self) -> list[float]:
        """When calls were sent, to the millisecond."""
        return [round(at, 3) for at, _, _ in self.sent]

    @property
    def gate(self) -> Gate:
        """The state of the target."""
        (found,) = (state for _, _, state in self.registry.all(Gate))
        return found


async def later(delay_s: float, work: Coroutine[Any, Any, Any]) -> Any:
    """Do it after a time."""
    await asyncio.sleep(delay_s)
    return await work


def over_any_window(flow: list[tuple[float, float]], *, rate: float, burst: float) -> float:
    """By how much the worst stretch of time passes what is allowed."""
    sums = list(accumulate((amount for _, amount in flow), initial=0.0))
    return max(
        sums[end + 1] - sums[begin] - burst - rate * (flow[end][0] - flow[begin][0])
        for end in range(len(flow))
        for begin in range(end + 1)
    )


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 600), st.booleans()), min_size=1, max_size=30))
def test_both_rates_hold_over_every_window(arrivals: list[tuple[float, int, bool]]) -> None:
    """However calls arrive, both limits hold over every stretch of time, and all are sent, each class in order."""
    target = Target(TEN_A_SECOND)
    numbers = count()

    async def arrive(delay_s: float, tokens: int, priority: str) -> None:
        await asyncio.sleep(delay_s)
        await target.call(tokens, (priority, next(numbers)), priority=priority)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for delay_s, tokens, is_background in arrivals:
                group.create_task(arrive(delay_s, tokens, "background" if is_background else "interactive"))

    run_virtual(main())
    assert len(target.sent) == len(arrivals)
    assert over_any_window([(at, 1.0) for at, _, _ in target.sent], rate=10, burst=6) <= 1e-4
    assert over_any_window([(at, float(tokens)) for at, tokens, _ in target.sent], rate=1000, burst=600) <= 1e-2
    for priority in ("interactive", "background"):
        order = [number for _, _, (of, number) in target.sent if of == priority]
        assert order == sorted(order)


def test_large_calls_are_not_passed_by_small_ones() -> None:
    """A call of many tokens is sent in its turn, however many small ones come after it."""
    target = Target(Limit(tokens=6000, burst=1 / 60))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for place in range(100):
                group.create_task(later(place / 25, target.call(5, f"small {place}")))
                if place == 20:
                    group.create_task(later(place / 25 + 0.01, target.call(80, "large")))

    run_virtual(main())
    names = [name for _, _, name in target.sent]
    assert names.index("large") == 21


def test_a_call_above_the_whole_burst_borrows() -> None:
    """It is sent when the burst is whole, and the next one waits until it is paid for."""
    target = Target(Limit(tokens=6000, burst=0.1, queue_s=100))

    async def main() -> None:
        for tokens in (600, 3000, 1):
            await target.call(tokens)

    run_virtual(main())
    assert target.times == [0, 6, 30.01]


def test_background_work_goes_behind_but_not_for_ever() -> None:
    """Those somebody waits for go first; after half a minute background work is in turn with them."""
    target = Target(Limit(requests=60, burst=0.01))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(target.call(name="first"))
            group.create_task(later(0.1, target.call(name="background", priority="background")))
            for place in range(50):
                group.create_task(later(0.2 + place * 0.95, target.call(name=place)))

    run_virtual(main())
    names = [name for _, _, name in target.sent]
    assert 25 < names.index("background") < 35


def test_a_wait_that_does_not_fit_fails_now() -> None:
    """The call behind others that comes too late is refused at once, with the time when it could come again."""
    target = Target(Limit(requests=60, burst=0.01))

    async def main() -> list[Any]:
        calls = [target.call(deadline=2.5) for _ in range(5)]
        done = asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert [decision.action for decision in target.notes.decisions] == ["refused", "refused"]
        return await done

    results = run_virtual(main())
    assert results[:3] == ["answer"] * 3
    refused = results[3:]
    assert [type(each) for each in refused] == [CallShed, CallShed]
    assert [each.retry_after_s for each in refused if isinstance(each, CallShed)] == pytest.approx([3, 3])
    assert "the run has no time for that; see guard.limit" in str(refused[0])
    assert target.times == [0, 1, 2]


def test_a_wait_is_noted_with_what_it_came_from() -> None:
    """A call that waited says how long, and what was left before and after; one that did not says nothing."""
    target = Target(Limit(tokens=6000, burst=0.1))
    trails = [call_of(Upstream().send).trail for _ in range(2)]

    async def main() -> None:
        for trail in trails:
            await target.call(500, trail=trail)

    run_virtual(main())
    (decision,) = target.notes.decisions
    assert (decision.layer, decision.action, decision.wait_s) == ("rate", "waited", pytest.approx(4))
    assert decision.figures == {"tokens_left_before": 100, "tokens_left": 0}
    assert [trail.waited_s for trail in trails] == [0, pytest.approx(4)]


def test_what_was_not_used_lets_the_next_go_earlier() -> None:
    """A call that used less than its estimate gives the difference to the one that waits."""

    async def answer(_: Call[Any], sending: Sending) -> str:
        await asyncio.sleep(1)
        return "answer"

    def used(_: str) -> Spend:
        return Spend(100)

    target = Target(Limit(tokens=6000, burst=0.1), answer=answer)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(target.call(600, spent=used))

    run_virtual(main())
    assert target.times == [0, 1]


@pytest.mark.parametrize("is_sent", [False, True], ids=["not_sent", "refused_by_the_provider"])
def test_what_failed_before_it_used_anything_gives_its_tokens_back(is_sent: bool) -> None:
    """A call that another layer stopped gives all back; one that the provider refused counts as a request alone."""
    policy = Limit(requests=600, tokens=60_000, burst=0.01, adaptive=False)
    registry = Registry()
    target = Target(policy, registry=registry, answer=RateLimited("slow") if is_sent else "answer")

    async def main() -> dict[str, Any]:
        if is_sent:
            with pytest.raises(RateLimited):
                await target.call(500)
        else:
            await _stopped(target, registry, policy)
        return target.gate.meter.figures()

    assert run_virtual(main()) == {"requests_left": 5 if is_sent else 6, "tokens_left": 600}


async def _stopped(target: Target, registry: Registry, policy: Limit) -> None:
    async def stop(call: Call[Any]) -> Any:
        raise BudgetExceeded

    with pytest.raises(BudgetExceeded):
        await RateLimiting(policy, registry, "")(call_of(Upstream().send, target="m", estimate=Spend(500)), stop)


def test_calls_with_other_errors_count_as_estimated() -> None:
    """What a call used that broke is not known, so its estimate stands."""
    target = Target(Limit(tokens=60_000, burst=0.01), answer=ProviderUnavailable("gone"))

    async def main() -> dict[str, Any]:
        with pytest.raises(ProviderUnavailable):
            await target.call(500)
        return target.gate.meter.figures()

    assert run_virtual(main()) == {"tokens_left": 100}


@pytest.mark.parametrize("moment_s", [0.0, 0.5, 1.0])
def test_a_cancelled_call_leaves_nothing(moment_s: float) -> None:
    """Wherever a call is cancelled that was not sent yet, the others go as if it had never come."""

    async def main(steps: int | None) -> tuple[list[float], dict[str, Any], int]:
        target = Target(Limit(requests=60, tokens=6000, burst=1 / 60))
        async with asyncio.TaskGroup() as group:
            group.create_task(target.call(50, "first"))
            await asyncio.sleep(0)
            doomed = None if steps is None else asyncio.create_task(target.call(100, "doomed"))
            group.create_task(target.call(50, "second"))
            if doomed is not None:
                await asyncio.sleep(moment_s)
                for _ in range(steps or 0):
                    await asyncio.sleep(0)
                if not any(name == "doomed" for _, _, name in target.sent):
                    doomed.cancel()
                    await asyncio.wait([doomed])
                else:
                    await doomed
        assert not target.gate.line.waiting
        times = [at for at in target.times]
        return times, target.gate.meter.figures(), len(asyncio.all_tasks())

    without = run_virtual(main(None))
    cancelled = [run_virtual(main(steps)) for steps in range(8)]
    assert without[0] == [0, 1]
    assert all(each == without for each in cancelled if len(each[0]) == 2)
    assert any(len(each[0]) == 2 for each in cancelled)


def test_a_full_queue_sheds_background_work_first() -> None:
    """A call that somebody waits for takes the place of the youngest background call; else the newcomer is refused."""
    target = Target(Limit(requests=60, burst=0.01, queue=2))

    async def main() -> list[Any]:
        kinds = ["interactive", "background", "background", "interactive", "interactive", "interactive", "background"]
        return await asyncio.gather(
            *(target.call(name=place, priority=kind) for place, kind in enumerate(kinds)), return_exceptions=True
        )

    results = run_virtual(main())
    assert [isinstance(each, CallShed) for each in results] == [False, True, True, False, False, True, True]
    assert [name for _, _, name in target.sent] == [0, 3, 4]


def test_no_queue_at_all() -> None:
    """With `queue=0` nobody waits."""
    target = Target(Limit(requests=60, burst=0.01, queue=0))

    async def main() -> None:
        await target.call()
        with pytest.raises(CallShed):
            await target.call()

    run_virtual(main())
    assert target.times == [0]


def test_a_limit_without_figures_that_follows_nobody_is_no_layer() -> None:
    """What could never hold anybody back costs nothing."""
    target = Target(Limit(adaptive=False))
    run_virtual(target.call())
    assert not list(target.registry.all(Gate))


def test_what_the_provider_says_holds_back() -> None:
    """With nothing left, calls wait until so much has come back, without any limit of our own."""

    async def answer(_: Call[Any], sending: Sending) -> str:
        sending.quota(Quota(requests=60, requests_left=0, requests_reset_s=60.0))
        return "answer"

    target = Target(Limit(), answer=answer)

    async def main() -> None:
        for _ in range(3):
            await target.call()

    run_virtual(main())
    assert target.times == [0, 1, 2]
    assert target.notes.decisions[0].figures["provider_requests_left"] == 0


class TooManyRequests(Exception):
    """As HTTP clients raise it."""

    status_code = 429
    headers = {"Retry-After": "5"}  # noqa: RUF012 - as a client would


def test_refusals_of_other_libraries_count_too() -> None:
    """An error that carries the status 429 slows a target down, whoever raised it."""
    target = Target(Limit(), answer=TooManyRequests())

    async def main() -> None:
        with pytest.raises(TooManyRequests):
            await target.call(kind="tool")

    run_virtual(main())
    (decision,) = target.notes.decisions
    assert (decision.action, decision.reason) == ("slowed", "it answered 429 with Retry-After")
    assert 5 <= decision.wait_s <= 6


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 600), st.floats(0, 3)), max_size=20))
def test_nothing_leaks_when_calls_are_given_up(arrivals: list[tuple[float, int, float]]) -> None:
    """However calls are cancelled, waiting or under way, at the end nobody waits, nothing is open, all comes back."""

    async def answer(_: Call[Any], sending: Sending) -> str:
        await asyncio.sleep(0.5)
        return "answer"

    target = Target(TEN_A_SECOND, answer=answer)

    async def arrive(delay_s: float, tokens: int, patience_s: float) -> None:
        await asyncio.sleep(delay_s)
        task = asyncio.create_task(target.call(tokens))
        await asyncio.wait([task], timeout=patience_s)
        task.cancel()
        await asyncio.wait([task])

    async def main() -> None:
        await target.call()
        async with asyncio.TaskGroup() as group:
            for arrival in arrivals:
                group.create_task(arrive(*arrival))
        assert len(asyncio.all_tasks()) == 1
        await asyncio.sleep(60)
        assert target.gate.is_idle
        assert target.gate.meter.figures() == {"requests_left": 6, "tokens_left": 600}

    run_virtual(main())
    assert all(heard.is_idle for _, _, heard in target.registry.all(Heard))


def test_a_hedge_counts_as_what_was_sent() -> None:
    """A call that was doubled counts twice: what the one that lost used is not known, so its estimate stands."""

    async def answer(call: Call[Any], sending: Sending) -> str:
        await asyncio.sleep(2 if call.trail.attempts == 1 else 0)
        return "answer"

    limit = Limit(requests=600, tokens=60_000, burst=0.01, per_s=1e6, adaptive=False)
    plan = Plan(limit=limit, hedge=Hedge(after_s=1, extra=1))
    registry = Registry()
    proceed = guard(plan, Surroundings(registry=registry))

    def used(_: str) -> Spend:
        return Spend(10)

    async def main() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _ in range(2):
            upstream = Upstream(answer)
            await proceed(call_of(upstream.send, estimate=Spend(100), spent=used))
            (gate,) = (gate for _, _, gate in registry.all(Gate))
            found.append({name: round(float(left)) for name, left in gate.meter.figures().items()})
        return found

    assert run_virtual(main()) == [{"requests_left": 5, "tokens_left": 590}, {"requests_left": 3, "tokens_left": 480}]
