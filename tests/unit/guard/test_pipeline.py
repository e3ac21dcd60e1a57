"""All layers together, in virtual time."""

import asyncio
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.core.budget import Spend
from runwright.core.policy import Backoff, Breaker, Budget, Fallback, Guard, Hedge, Limit, Retry, Timeout, plan
from runwright.errors import GuardError, ProviderRejected, ProviderUnavailable, RateLimited, RunwrightError
from runwright.guard import Call, Payer, Registry, Sending, Surroundings
from runwright.guard.breaker import LocalBreaker
from runwright.guard.call import Proceed
from runwright.guard.chain import guard
from runwright.guard.hedge import Latencies
from runwright.guard.retry import Bucket
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Upstream, call_of, is_cancelled_at

POLICIES = Guard(
    retry=Retry(attempts=3, bucket=60, backoff=Backoff(base_s=1)),
    breaker=Breaker(window=6, minimum=4, open_s=4, open_cap_s=16),
    limit=Limit(requests=30, per_s=10, concurrency=4, queue_s=30),
    timeout=Timeout(total_s=5, idle_s=2),
    hedge=Hedge(after_s=2, extra=0.2),
    budget=Budget(calls=1_000, per="day"),
)


def guarded(seed: int = 1) -> tuple[Proceed[Any], Registry]:
    """A guard with every policy, around `a` and its fallback `b`."""
    registry = Registry(Random(seed))
    other = plan(("app", POLICIES))
    whole = plan(("app", POLICIES), ("run", Guard(fallback=Fallback(models=("b",)))))
    return guard(whole, Surroundings(registry=registry), others={"b": other}), registry


def model_call(upstream: Upstream, **changes: Any) -> Call[Any]:
    """A streamed call of the model `a`."""
    return call_of(
        upstream.send, kind="model", target="a", is_streamed=True, payer=Payer(run="r"), estimate=Spend(), **changes
    )


FAULTS = {"down": ProviderUnavailable(), "limited": RateLimited(retry_after_s=1), "bad": ProviderRejected()}


async def one(proceed: Proceed[Any], script: list[tuple[str, float]], last_s: float | None) -> None:
    """A call whose attempts go as a script says, and that has so many seconds."""
    loop = asyncio.get_running_loop()
    parts = iter(script)

    async def work(_: Call[Any], sending: Sending) -> str:
        fate, after_s = next(parts, script[-1])
        await asyncio.sleep(after_s)
        if fate in FAULTS:
            raise FAULTS[fate]
        if fate == "chunk":
            sending.chunk()
            await asyncio.sleep(1)
            raise FAULTS["down"]
        return "answer"

    deadline = None if last_s is None else loop.time() + last_s
    call = model_call(Upstream(work), deadline=deadline)
    try:
        await proceed(call)
    except RunwrightError as error:
        assert deadline is None or loop.time() <= deadline + 1e-9, error


@settings(deadline=None, max_examples=60)
@given(
    fates=st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from(["good", "chunk", *FAULTS]), st.floats(0, 7)), min_size=1, max_size=8),
            st.none() | st.floats(0.1, 15),
            st.none() | st.floats(0, 10),
            st.floats(0, 3),
        ),
        min_size=1,
        max_size=15,
    ),
    seed=st.integers(0, 1000),
)
def test_whatever_happens(
    fates: list[tuple[list[tuple[str, float]], float | None, float | None, float]], seed: int
) -> None:
    """Whatever upstreams and callers do: bounds and deadlines hold, and nothing stays behind."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        proceed, registry = guarded(seed)
        tasks: list[asyncio.Task[None]] = []
        for script, last_s, cancel_s, gap_s in fates:
            task = loop.create_task(one(proceed, script, last_s))
            if cancel_s is not None:
                loop.call_later(cancel_s, task.cancel)
            tasks.append(task)
            await asyncio.sleep(gap_s)
            assert all(0 <= each.tokens <= each.capacity for _, _, each in registry.all(Bucket))
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or task.exception() is None
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert all(0 <= each.failed <= each.seen <= 6 for _, _, each in registry.all(LocalBreaker))
        # A probe's place is free: when the rest is over a call gets through.
        await asyncio.sleep(200)
        try:
            await proceed(model_call(Upstream("answer")))
        except GuardError as error:
            raise AssertionError from error

    run_virtual(main())


def states(registry: Registry) -> list[object]:
    """What is known of the targets, without what was only looked up."""
    found: list[object] = [(target, each.tokens) for target, _, each in registry.all(Bucket)]
    found += [(target, each.seen, each.failed) for target, _, each in registry.all(LocalBreaker)]
    found += [(target, each.saved, each.is_idle) for target, _, each in registry.all(Latencies)]
    return found


def test_cancelled_anywhere() -> None:
    """A first attempt that is cancelled at any wait leaves bucket, breaker and hedge as a call that was never made."""

    async def work(_: Call[Any], __: Sending) -> str:
        for _step in range(3):
            await asyncio.sleep(0.1)
        return "answer"

    async def main() -> int:
        for at in range(1, 50):
            proceed, registry = guarded()
            if not await is_cancelled_at(proceed(model_call(Upstream(work))), at):
                return at
            assert states(registry) == [("a", 60), ("a", 0, 0), ("a", 0.0, True)]
            assert asyncio.all_tasks() == {asyncio.current_task()}
        raise AssertionError

    assert run_virtual(main()) == 4
