"""Decisions that cannot be told, as when the journal is full: whatever a layer took is given back. In virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from runwright.core.budget import NOTHING, Spend
from runwright.core.event import GuardDecided
from runwright.core.policy import (
    Backoff,
    Breaker,
    Budget,
    Cache,
    Guard,
    Hedge,
    Limit,
    Plan,
    Retry,
    ScopedBudget,
    plan,
)
from runwright.errors import ProviderUnavailable, RateLimited, StorageError
from runwright.guard import Answers, Call, Codec, Registry, Sending, Surroundings
from runwright.guard.breaker import LocalBreaker
from runwright.guard.bulkhead import Dock
from runwright.guard.chain import guard
from runwright.guard.hedge import Latencies
from runwright.guard.rate import Gate
from runwright.guard.retry import Bucket
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Upstream, call_of


def untold(action: str) -> Callable[[GuardDecided], None]:
    """Raises where this is to be told."""

    def note(decision: GuardDecided) -> None:
        if f"{decision.layer} {decision.action}" == action:
            raise StorageError("the disk is full")

    return note


class Guarded:
    """A guard under a plan, and what is known of the target `x`."""

    def __init__(self, chosen: Plan) -> None:
        self.around = Surroundings(registry=Registry(), answers=Answers())
        self.proceed = guard(chosen, self.around)

    def state(self, kind: type[Any]) -> Any:
        """The one state of a kind."""
        (found,) = (state for _, _, state in self.around.registry.all(kind))
        return found

    async def fails(self, action: str, *answers: object, **changes: Any) -> None:
        """Make a call that cannot tell this."""
        with pytest.raises(StorageError, match="the disk is full"):
            await self.proceed(call_of(Upstream(*answers).send, note=untold(action), **changes))


async def second(_: Call[Any], __: Sending) -> str:
    """Answers after a second."""
    await asyncio.sleep(1)
    return "yes"


def test_a_resend() -> None:
    """A resend that cannot be told is not paid."""

    async def main() -> int:
        guarded = Guarded(Plan(retry=Retry(backoff=Backoff(base_s=1))))
        await guarded.fails("retry resend", ProviderUnavailable())
        return guarded.state(Bucket).tokens

    assert run_virtual(main()) == Retry().bucket


@pytest.mark.parametrize(
    ("layer", "limit"),
    [("rate", Limit(requests=60, burst=0.01, adaptive=False)), ("bulkhead", Limit(concurrency=1, adaptive=False))],
    ids=["rate", "bulkhead"],
)
def test_a_wait(layer: str, limit: Limit) -> None:
    """A permit or a slot that was waited for is there for the next one, when the wait cannot be told."""

    async def main() -> float:
        guarded = Guarded(Plan(limit=limit))
        first = asyncio.ensure_future(guarded.proceed(call_of(Upstream(second).send)))
        await asyncio.sleep(0)
        await guarded.fails(f"{layer} waited", "yes")
        await first
        await guarded.proceed(call_of(Upstream("yes").send))
        assert guarded.state(Gate if layer == "rate" else Dock).line.waiting == 0
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 1


def test_a_refusal_of_the_provider() -> None:
    """What a 429 did not use comes back, also when it cannot be told that the target is slowed down."""

    async def main() -> dict[str, Any]:
        guarded = Guarded(Plan(limit=Limit(tokens=60_000, burst=0.01)))
        await guarded.fails("rate slowed", RateLimited(retry_after_s=1), estimate=Spend(500))
        figures: dict[str, Any] = guarded.state(Gate).meter.figures()
        return figures

    assert run_virtual(main())["tokens_left"] == 600


def used(_: object) -> Spend:
    """What an answer used."""
    return Spend(10)


def test_a_reservation() -> None:
    """A reservation that was waited for is given back, when the wait cannot be told."""

    async def main() -> None:
        budget = ScopedBudget(Budget(tokens=100, per="day"), "app")
        guarded = Guarded(Plan(budgets=(budget,)))
        call = call_of(Upstream(second).send, estimate=Spend(60), spent=used)
        first: asyncio.Future[Any] = asyncio.ensure_future(guarded.proceed(call))
        await asyncio.sleep(0)
        await guarded.fails("budget waited", "yes", estimate=Spend(60))
        await first
        (standing,) = await guarded.around.ledger.active()
        assert (standing.spent, standing.reserved) == (Spend(10), NOTHING)

    run_virtual(main())


@pytest.mark.parametrize("action", ["breaker probing", "breaker closed", "breaker opened"])
def test_a_probe(action: str) -> None:
    """The place of a probe is free again."""

    async def main() -> tuple[bool, str]:
        guarded = Guarded(Plan(breaker=Breaker(window=2, minimum=2, open_s=4)))
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                await guarded.proceed(call_of(Upstream(ProviderUnavailable()).send))
        await asyncio.sleep(4)

        async def chunk(_: Call[Any], sending: Sending) -> str:
            sending.chunk()
            return "yes"

        answer = ProviderUnavailable() if action == "breaker opened" else chunk
        await guarded.fails(action, answer, is_streamed=True)
        state = guarded.state(LocalBreaker)
        return state.is_probed, state.position

    position = {"breaker probing": "half_open", "breaker closed": "closed", "breaker opened": "open"}[action]
    assert run_virtual(main()) == (False, position)


def test_a_hedge() -> None:
    """A call is not doubled that cannot tell so, and that is not paid."""

    async def main() -> float:
        guarded = Guarded(Plan(hedge=Hedge(after_s=0.5, extra=0.5)))
        await guarded.proceed(call_of(Upstream("yes").send))
        await guarded.proceed(call_of(Upstream("yes").send))
        pace = guarded.state(Latencies)
        before = pace.saved
        await guarded.fails("hedge doubled", second)
        assert len(asyncio.all_tasks()) == 1
        return float(pace.saved - before)

    # What the call itself saved, as each one that fails.
    assert run_virtual(main()) == 0.5


def test_a_flight() -> None:
    """Who cannot tell that it waits for another one's call does not: the call ends with the last one that waits."""

    async def main() -> None:
        guarded = Guarded(Plan(cache=Cache()))
        codec = Codec[Any](lambda answer: str(answer).encode(), bytes.decode, "text")
        asked: dict[str, Any] = {"key": lambda: b"q", "codec": codec}
        first = asyncio.ensure_future(guarded.proceed(call_of(Upstream(second).send, **asked)))
        await asyncio.sleep(0)
        await guarded.fails("flight joined", "yes", **asked)
        first.cancel()
        await asyncio.wait([first])
        assert guarded.around.answers is not None
        assert len(guarded.around.answers.flights) == 0
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_whose_place_is_taken_tells_itself() -> None:
    """Who takes the place of background work is not hindered by what that one cannot tell."""

    async def main() -> list[Any]:
        guarded = Guarded(Plan(limit=Limit(requests=60, burst=0.01, queue=1, adaptive=False)))

        def calling(note: Callable[[GuardDecided], None], **changes: Any) -> Awaitable[Any]:
            return guarded.proceed(call_of(Upstream("yes").send, note=note, **changes))

        calls = [
            calling(untold("")),
            calling(untold("rate refused"), priority="background"),
            calling(untold("rate refused")),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, background, last = run_virtual(main())
    assert (first, last) == ("yes", "yes")
    assert isinstance(background, StorageError)


@pytest.mark.parametrize("nth", range(1, 12))
def test_all_together(nth: int) -> None:
    """Whichever decision cannot be told, nothing is held by anybody afterwards."""

    async def main() -> None:
        chosen = plan(
            (
                "app",
                Guard(
                    retry=Retry(attempts=3, backoff=Backoff(base_s=1)),
                    breaker=Breaker(window=4, minimum=4, open_s=1),
                    limit=Limit(requests=60, per_s=60, burst=0.03, concurrency=2),
                    hedge=Hedge(after_s=1, extra=1),
                    budget=Budget(calls=100, per="day"),
                ),
            )
        )
        guarded, told = Guarded(chosen), 0

        def note(_: GuardDecided) -> None:
            nonlocal told
            told += 1
            if told == nth:
                raise LookupError

        async def slow(_: Call[Any], __: Sending) -> str:
            await asyncio.sleep(2)
            return "yes"

        fates = [(slow,), (ProviderUnavailable(), slow), (RateLimited(), "yes"), (slow,), ("yes",)]
        ended = await asyncio.gather(
            *(guarded.proceed(call_of(Upstream(*fate).send, note=note)) for fate in fates), return_exceptions=True
        )
        assert sum(isinstance(each, LookupError) for each in ended) == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(300)
        assert guarded.state(Dock).is_idle
        assert guarded.state(Gate).is_idle
        assert not guarded.state(LocalBreaker).is_probed
        assert all(each.reserved == NOTHING for each in await guarded.around.ledger.active())

    run_virtual(main())
