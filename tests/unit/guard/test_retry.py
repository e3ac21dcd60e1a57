"""Sending again, in virtual time."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.core.policy import Backoff, Plan, Retry
from runwright.core.step import Effect
from runwright.errors import BreakerOpen, NotSent, ProviderRejected, ProviderUnavailable, RateLimited
from runwright.guard import Call, Registry, Sending, Surroundings
from runwright.guard.backoff import LONGEST_RETRY_AFTER_S
from runwright.guard.call import Proceed
from runwright.guard.chain import guard
from runwright.guard.retry import CLEAN_GAIN, THROTTLED_COST, TRANSIENT_COST, Bucket
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of, is_cancelled_at

DOWN = ProviderUnavailable("down")
STEADY = Backoff(strategy="constant", base_s=1, jitter="none")


def guarded(policy: Retry, seed: int = 1) -> tuple[Proceed[Any], Bucket]:
    """A guard that only sends again, and its bucket for the target of `call_of`."""
    registry = Registry(Random(seed))
    proceed = guard(Plan(retry=policy), Surroundings(registry=registry))
    return proceed, registry.state(Bucket, target="x", policy=policy, place="default")


def test_what_helps_is_told() -> None:
    """A call that fails twice is sent a third time; each wait is told, and is twice as long after a 429."""

    async def main() -> None:
        notes, upstream = Notes(), Upstream(DOWN, RateLimited("slow down"), "answer")
        proceed, bucket = guarded(Retry(backoff=STEADY))
        call = call_of(upstream.send, note=notes)
        assert await proceed(call) == "answer"
        assert asyncio.get_running_loop().time() == 3 == call.trail.waited_s
        assert [each.attempt for each in upstream.calls] == [1, 2, 3]
        assert [(d.action, d.attempt, d.wait_s, d.reason, d.figures) for d in notes.decisions] == [
            ("resend", 2, 1, "ProviderUnavailable: down", {"bucket": 486}),
            ("resend", 3, 2, "RateLimited: slow down", {"bucket": 481}),
        ]
        # The first resend did not help, so its cost stays paid.
        assert bucket.tokens == 500 - TRANSIENT_COST

    run_virtual(main())


async def test_plain_success_tells_nothing() -> None:
    """A call that succeeds at once gives a token back and says nothing."""
    notes = Notes()
    proceed, bucket = guarded(Retry())
    bucket.tokens = 7
    await proceed(call_of(Upstream(1).send, note=notes))
    assert (notes.decisions, bucket.tokens) == ([], 7 + CLEAN_GAIN)


@pytest.mark.parametrize(
    ("policy", "errors", "effect", "deadline", "reason"),
    [
        (Retry(attempts=2), [DOWN], "read", None, "no attempt is left of 2"),
        (Retry(bucket=TRANSIENT_COST - 1), [DOWN], "read", None, "the retry bucket is empty"),
        (Retry(backoff=STEADY), [DOWN], "read", 0.9, "the run's time does not last for another wait"),
        (Retry(), [RateLimited(retry_after_s=5)], "read", 4.0, "the run's time does not last for another wait"),
        (Retry(), [RateLimited(retry_after_s=LONGEST_RETRY_AFTER_S + 1)], "read", None, "left alone for 121 s"),
        (Retry(), [DOWN], "once", None, "its effect is 'once' and it did not raise NotSent"),
    ],
    ids=["attempts", "bucket", "deadline", "retry_after_deadline", "retry_after_long", "effect"],
)
def test_giving_up_is_told(
    policy: Retry, errors: Sequence[Exception], effect: Effect, deadline: float | None, reason: str
) -> None:
    """Whatever ends the resends, the error of the target is raised at once and the reason is told."""

    async def main() -> float:
        notes = Notes()
        call = call_of(Upstream(*errors).send, note=notes, effect=effect, deadline=deadline)
        with pytest.raises(type(errors[-1])):
            await guarded(policy)[0](call)
        last = notes.decisions[-1]
        assert (last.layer, last.action) == ("retry", "gave_up")
        assert reason in last.reason
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) <= (0.0 if deadline is not None else 1.0)


async def test_no_resend_after_a_chunk() -> None:
    """When a part of a stream was shown, it is not begun again."""

    async def broken(_: Call[Any], sending: Sending) -> None:
        sending.chunk()
        raise DOWN

    notes, upstream = Notes(), Upstream(broken)
    with pytest.raises(ProviderUnavailable):
        await guarded(Retry())[0](call_of(upstream.send, note=notes, is_streamed=True))
    assert len(upstream.calls) == 1
    assert notes.decisions[0].reason == "ProviderUnavailable: down; a part of the answer was shown already"


def test_once_may_be_sent_again_when_nothing_left() -> None:
    """NotSent says that the effect cannot have happened."""

    async def main() -> object:
        return await guarded(Retry())[0](call_of(Upstream(NotSent(), NotSent(), 1).send, effect="once"))

    assert run_virtual(main()) == 1


@pytest.mark.parametrize("error", [ProviderRejected(), ValueError(), BreakerOpen(retry_after_s=0.1)])
async def test_what_cannot_pass_is_not_sent_again(error: Exception) -> None:
    """A refusal, a fault of code and the guard's own word are final, and need no explanation."""
    notes, upstream = Notes(), Upstream(error)
    with pytest.raises(type(error)):
        await guarded(Retry())[0](call_of(upstream.send, note=notes))
    assert (len(upstream.calls), notes.decisions) == (1, [])


def test_retry_after_is_a_floor() -> None:
    """Of many who were told to come back after 3 s none comes earlier, and they come one by one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        arrivals: list[float] = []

        async def again(_: Call[Any], __: Sending) -> None:
            arrivals.append(loop.time())

        proceed, _ = guarded(Retry(backoff=Backoff(base_s=2)))
        calls = [proceed(call_of(Upstream(RateLimited(retry_after_s=3), again).send)) for _ in range(50)]
        await asyncio.gather(*calls)
        assert (3 <= min(arrivals) < 3.5, 6.5 < max(arrivals) <= 7) == (True, True)
        assert len(set(arrivals)) == 50

    run_virtual(main())


def test_an_outage_is_not_multiplied() -> None:
    """After the first 50 calls of a full outage at most 1.05 attempts a call go to the target."""

    async def main() -> float:
        upstream = Upstream(DOWN)
        proceed, _ = guarded(Retry())
        for nth in range(1050):
            if nth == 50:
                upstream.calls.clear()
            with pytest.raises(ProviderUnavailable):
                await proceed(call_of(upstream.send))
        return len(upstream.calls) / 1000

    assert run_virtual(main()) <= 1.05


@pytest.mark.parametrize(("attempts", "least"), [(3, 0.994), (4, 0.998)])
def test_independent_faults_are_hidden(attempts: int, least: float) -> None:
    """Where 15 of 100 attempts fail by chance the bucket does not stand in the way."""

    async def main() -> float:
        random, good = Random(7), 0

        async def faulty(_: Call[Any], __: Sending) -> None:
            if random.random() < 0.15:
                raise DOWN

        proceed, _ = guarded(Retry(attempts=attempts))
        for _ in range(5000):
            try:
                await proceed(call_of(Upstream(faulty).send))
                good += 1
            except ProviderUnavailable:
                pass
        return good / 5000

    assert run_virtual(main()) >= least


outcomes = st.sampled_from(["good", "down", "limited", "told", "bad"])
ERRORS = {
    "down": DOWN,
    "limited": RateLimited(),
    "told": RateLimited(retry_after_s=4),
    "bad": ProviderRejected(),
}


@settings(deadline=None)
@given(
    calls=st.lists(st.lists(outcomes, min_size=1, max_size=6), min_size=1, max_size=20),
    bucket=st.integers(0, 60),
    attempts=st.integers(1, 5),
    last_s=st.none() | st.floats(0.1, 20),
    seed=st.integers(0, 1000),
)
def test_bucket_and_deadline_hold(
    calls: list[list[str]], bucket: int, attempts: int, last_s: float | None, seed: int
) -> None:
    """The bucket stays within its bounds, attempts within theirs, and waits never reach beyond the deadline."""

    async def one(proceed: Proceed[Any], outcome: list[str], state: Bucket) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if last_s is None else loop.time() + last_s
        upstream = Upstream(*(ERRORS.get(each, "answer") for each in outcome))
        call = call_of(upstream.send, deadline=deadline)
        try:
            await proceed(call)
        except (ProviderUnavailable, RateLimited, ProviderRejected):
            pass
        assert 1 <= len(upstream.calls) <= attempts
        assert 0 <= state.tokens <= bucket
        assert deadline is None or loop.time() <= deadline

    async def main() -> None:
        proceed, state = guarded(Retry(attempts=attempts, bucket=bucket), seed)
        half = len(calls) // 2
        for outcome in calls[:half]:
            await one(proceed, outcome, state)
        await asyncio.gather(*(one(proceed, outcome, state) for outcome in calls[half:]))

    run_virtual(main())


def test_cancelled_anywhere() -> None:
    """A call that is cancelled at any of its waits has paid for no resend that did not come to an end."""

    async def faulty(call: Call[Any], _: Sending) -> None:
        await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)
        if call.attempt < 4:
            raise DOWN

    async def main() -> list[int]:
        left: list[int] = []
        for at in range(1, 100):
            proceed, bucket = guarded(Retry(backoff=STEADY))
            if not await is_cancelled_at(proceed(call_of(Upstream(faulty).send)), at):
                return left
            left.append(500 - bucket.tokens)
        raise AssertionError

    # Two waits of each attempt, and one before each resend.
    assert run_virtual(main()) == [0] * 5 + [14] * 3 + [28] * 3
    assert THROTTLED_COST < TRANSIENT_COST
