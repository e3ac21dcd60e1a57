"""Asking another model."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from runwright.core.budget import Spend
from runwright.core.policy import Backoff, Breaker, Fallback, Plan, Retry
from runwright.errors import (
    BreakerOpen,
    BudgetExceeded,
    ConfigError,
    DeadlineExceeded,
    ModelUnknown,
    ProviderAuth,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
    RunwrightError,
)
from runwright.guard import Call, Registry, Sending, Surroundings
from runwright.guard.call import Proceed
from runwright.guard.chain import guard
from runwright.guard.fallback import most_telling
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Send, Upstream, call_of, is_cancelled_at

DOWN = ProviderUnavailable("down")


def guarded(*, mid_stream: bool = False, others: Sequence[str] = ("b", "c"), **policies: Any) -> Proceed[Any]:
    """A guard of a call to `a` that falls back on others, with these policies for each."""
    plan = Plan(fallback=Fallback(models=tuple(others), mid_stream=mid_stream), **policies)
    return guard(plan, Surroundings(registry=Registry(Random(1))), others=dict.fromkeys(others, Plan(**policies)))


async def test_quoted_anew() -> None:
    """What the call is expected to use is that of the target which it is sent to."""
    other = Upstream("answer")

    def quote(ref: str) -> Spend:
        return Spend(nano_usd=len(ref) * 7)

    call = call_of(targets(a=Upstream(DOWN), b=other), target="a", quote=quote)
    assert await guarded()(call) == "answer"
    assert other.calls[0].estimate == Spend(nano_usd=7)


def targets(**upstreams: Upstream) -> Send:
    """Sends to the upstream of the call's target."""

    async def send(call: Call[Any], sending: Sending) -> Any:
        return await upstreams[call.target].send(call, sending)

    return send


@pytest.mark.parametrize(
    "error",
    [DOWN, RateLimited(), ProviderAuth(), ModelUnknown(), ConfigError()],
    ids=lambda error: type(error).__name__,
)
async def test_troubles_of_one_target(error: Exception) -> None:
    """What another target may do better is sent there, and that is told."""
    notes = Notes()
    call = call_of(targets(a=Upstream(error), b=Upstream("answer")), target="a", note=notes)
    assert await guarded()(call) == "answer"
    assert call.trail.target == "b"
    (switched,) = notes.decisions
    assert (switched.action, switched.target, switched.figures) == ("switched", "b", {"from": "a"})
    assert switched.reason.startswith(type(error).__name__)


@pytest.mark.parametrize("error", [ProviderRejected(), BudgetExceeded(), KeyError("x")])
async def test_troubles_of_the_question(error: Exception) -> None:
    """What every target would say is said once."""
    notes, other = Notes(), Upstream(1)
    with pytest.raises(type(error)):
        await guarded()(call_of(targets(a=Upstream(error), b=other), target="a", note=notes))
    assert (other.calls, notes.decisions) == ([], [])


async def test_each_target_has_its_own_chain() -> None:
    """Attempts count anew at each target, and the buckets and breakers are their own."""
    retry = Retry(attempts=2, backoff=Backoff(base_s=0.0001))
    a, b, c, notes = Upstream(DOWN), Upstream(DOWN), Upstream(DOWN, "answer"), Notes()
    assert await guarded(retry=retry)(call_of(targets(a=a, b=b, c=c), target="a", note=notes)) == "answer"
    assert [[each.attempt for each in upstream.calls] for upstream in (a, b, c)] == [[1, 2]] * 3
    assert [note.figures["bucket"] for note in notes.decisions if note.action == "resend"] == [486] * 3


async def test_a_resting_target_is_passed_over() -> None:
    """A target whose breaker is open costs no time."""
    a, b = Upstream(DOWN), Upstream("answer")
    proceed = guarded(breaker=Breaker(minimum=2))
    for _ in range(3):
        assert await proceed(call_of(targets(a=a, b=b), target="a")) == "answer"
    assert (len(a.calls), len(b.calls)) == (2, 3)


async def test_all_failed() -> None:
    """The error is the first target's, and names what became of the others; the raised object itself stays clean."""
    sent = targets(a=Upstream(DOWN), b=Upstream(RateLimited("slow")), c=Upstream(ProviderAuth("no")))
    for _ in range(2):
        with pytest.raises(ProviderUnavailable) as caught:
            await guarded()(call_of(sent, target="a"))
        assert str(caught.value) == "down ('a' failed, and so did 'b': RateLimited: slow; 'c': ProviderAuth: no)"
    assert DOWN.message == "down"


def test_what_tells_most() -> None:
    """What a target said tells more than that it rests; an error of another library gets a note."""
    rests, other = BreakerOpen("rests", retry_after_s=3), TimeoutError("late")
    told = most_telling([("a", rests), ("b", RateLimited("slow", retry_after_s=2))])
    assert isinstance(told, RunwrightError)
    assert (type(told), told.retry_after_s) == (RateLimited, 2)
    assert told.message == "slow ('b' failed, and so did 'a': BreakerOpen: rests)"
    assert most_telling([("a", rests)]) is rests
    assert most_telling([("a", rests), ("b", other)]) is other
    assert other.__notes__ == ["'b' failed, and so did 'a': BreakerOpen: rests"]


async def test_the_same_target_twice() -> None:
    """A model that falls back on itself is not asked again."""
    upstream = Upstream(DOWN)
    with pytest.raises(ProviderUnavailable):
        await guarded(others=["a"])(call_of(upstream.send, target="a"))
    assert len(upstream.calls) == 1


async def breaks(_: Call[Any], sending: Sending) -> None:
    """Show a chunk, and fail."""
    sending.chunk()
    raise DOWN


async def test_a_begun_stream_stays() -> None:
    """After the first chunk nothing is sent elsewhere, and the record says why."""
    notes, other = Notes(), Upstream(1)
    with pytest.raises(ProviderUnavailable):
        await guarded()(call_of(targets(a=Upstream(breaks), b=other), target="a", note=notes, is_streamed=True))
    assert not other.calls
    assert notes.decisions[0].reason == "ProviderUnavailable: down; a part of the answer was shown already"


async def test_a_begun_stream_may_begin_again() -> None:
    """Where the policy allows it the next target begins the answer again, visibly, and may itself be sent again."""
    notes, other = Notes(), Upstream(DOWN, "whole")
    call = call_of(targets(a=Upstream(breaks), b=other), target="a", note=notes, is_streamed=True)
    proceed = guarded(mid_stream=True, retry=Retry(backoff=Backoff(base_s=0.0001)))
    assert await proceed(call) == "whole"
    assert notes.actions == ["retry gave_up", "fallback switched", "retry resend"]
    assert "of which a part was shown, begins again" in notes.decisions[1].reason


def test_no_time_for_another() -> None:
    """When the run's time is over nobody else is asked."""

    async def late(call: Call[Any], _: Sending) -> None:
        await asyncio.sleep(2)
        raise DOWN

    async def main() -> int:
        other = Upstream(late)
        with pytest.raises(DeadlineExceeded):
            await guarded()(call_of(targets(a=Upstream(DOWN), b=other, c=other), target="a", deadline=2.0))
        return len(other.calls)

    assert run_virtual(main()) == 1


def test_cancelled_anywhere() -> None:
    """A cancelled call asks nobody else."""

    async def faulty(_: Call[Any], __: Sending) -> None:
        await asyncio.sleep(0.1)
        raise DOWN

    async def main() -> list[int]:
        asked: list[int] = []
        for at in range(1, 10):
            upstream = Upstream(faulty)
            if not await is_cancelled_at(guarded()(call_of(upstream.send, target="a")), at):
                return asked
            asked.append(len(upstream.calls))
        raise AssertionError

    assert run_virtual(main()) == [1, 2, 3]
