"""Leaving a failing target alone, in virtual time."""

import asyncio
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.core.policy import Backoff, Breaker, Plan, Retry
from runwright.errors import BreakerOpen, ProviderRejected, ProviderUnavailable, RateLimited
from runwright.guard import Call, Registry, Sending, Surroundings
from runwright.guard.breaker import PROBING_S, LocalBreaker
from runwright.guard.call import Proceed
from runwright.guard.chain import guard
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of, is_cancelled_at

DOWN = ProviderUnavailable("down")
POLICY = Breaker(window=10, minimum=4, open_s=8, open_cap_s=20)


class Least(Random):
    """Draws the least."""

    def random(self) -> float:
        """Nothing."""
        return 0.0


def guarded(
    policy: Breaker = POLICY, retry: Retry | None = None, random: Random | None = None
) -> tuple[Proceed[Any], LocalBreaker]:
    """A guard with a breaker, and the breaker's state for the target of `call_of`."""
    registry = Registry(random or Random(1))
    proceed = guard(Plan(breaker=policy, retry=retry), Surroundings(registry=registry))
    return proceed, registry.state(LocalBreaker, target="x", policy=policy, place="default")


async def send(proceed: Proceed[Any], *answers: object, **changes: Any) -> str:
    """Send one call for each answer; the name of what the last one came to."""
    outcome = ""
    for answer in answers:
        try:
            await proceed(call_of(Upstream(answer).send, **changes))
            outcome = "good"
        except Exception as error:  # noqa: BLE001 - any outcome is told
            outcome = type(error).__name__
    return outcome


async def slow(_: Call[Any], __: Sending) -> None:
    """Answer after 3 seconds."""
    await asyncio.sleep(3)


@pytest.mark.parametrize(
    ("policy", "answers", "position"),
    [
        (POLICY, [DOWN] * 3, "closed"),
        (POLICY, [DOWN] * 4, "open"),
        (POLICY, [1, 1, 1, DOWN, DOWN], "closed"),
        (POLICY, [1, 1, 1, DOWN, DOWN, DOWN], "open"),
        (POLICY, [DOWN, DOWN, *[1] * 10, *[DOWN] * 4], "closed"),
        (POLICY, [DOWN, DOWN, *[1] * 10, *[DOWN] * 5], "open"),
        (POLICY, [ProviderRejected()] * 30, "closed"),
        (POLICY, [RateLimited()] * 30, "closed"),
        (POLICY, [DOWN, ProviderRejected(), DOWN, RateLimited(), DOWN, ValueError(), DOWN], "open"),
        (Breaker(failure_rate=0, minimum=1), [1] * 30, "closed"),
        (Breaker(minimum=4, slow_s=2, slow_rate=0.5), [1, 1, slow, slow], "open"),
        (Breaker(minimum=4, slow_s=4, slow_rate=0.5), [slow] * 30, "closed"),
        (Breaker(minimum=50, window=2), [DOWN, DOWN], "open"),
    ],
    ids=[
        "too_few", "all_failed", "under_the_rate", "at_the_rate", "old_ones_forgotten", "half_failed",
        "bad_questions", "throttled", "neutral_between", "nothing_failed", "slow", "not_slow", "minimum_over_window",
    ],
)  # fmt: skip
def test_when_it_opens(policy: Breaker, answers: list[object], position: str) -> None:
    """It opens by the share of failed or slow ones among the last calls; 4xx and 429 are not counted."""

    async def main() -> str:
        proceed, state = guarded(policy)
        await send(proceed, *answers)
        return state.position

    assert run_virtual(main()) == position


def test_a_stream_is_slow_to_begin() -> None:
    """A long stream that began soon is not slow."""

    async def stream(_: Call[Any], sending: Sending) -> None:
        await asyncio.sleep(1)
        sending.chunk()
        await asyncio.sleep(100)

    async def main() -> int:
        proceed, state = guarded(Breaker(slow_s=2))
        await send(proceed, stream, is_streamed=True)
        return state.slow

    assert run_virtual(main()) == 0


def test_open_closed_and_told() -> None:
    """While it is open nothing is sent; then a probe that succeeds closes it, and all of that is told."""

    async def main() -> None:
        loop, notes, upstream = asyncio.get_running_loop(), Notes(), Upstream(1)
        proceed, state = guarded(random=Least())
        await send(proceed, *[DOWN] * 4, note=notes)
        with pytest.raises(BreakerOpen, match=r"'x' has failed too often and rests for 4 s") as caught:
            await proceed(call_of(upstream.send, note=notes))
        assert (caught.value.retry_after_s, len(upstream.calls)) == (4, 0)
        await asyncio.sleep(4)
        await proceed(call_of(upstream.send, note=notes))
        assert (state.position, loop.time(), state.is_idle) == ("closed", 4, True)
        assert notes.actions == ["breaker opened", "breaker refused", "breaker probing", "breaker closed"]
        assert notes.decisions[0].figures == {"seen": 4, "failed": 4, "slow": 0, "open_s": 4.0}
        assert notes.decisions[1].wait_s == 4

    run_virtual(main())


def test_one_probe_of_fifty() -> None:
    """Of 50 who come together when the rest is over one is sent; the others are told when to ask again."""

    async def main() -> None:
        proceed, state = guarded()
        await send(proceed, *[DOWN] * 4)
        await asyncio.sleep(8)
        upstream = Upstream(slow)
        outcomes = await asyncio.gather(*(proceed(call_of(upstream.send)) for _ in range(50)), return_exceptions=True)
        refused = [each for each in outcomes if isinstance(each, BreakerOpen)]
        assert (len(upstream.calls), len(refused), state.position) == (1, 49, "closed")
        assert {each.retry_after_s for each in refused} == {PROBING_S}

    run_virtual(main())


def test_rests_grow() -> None:
    """After each failed probe it stays open for twice as long, up to the cap; a success starts anew."""

    async def main() -> list[float]:
        proceed, state = guarded(random=Least())
        await send(proceed, *[DOWN] * 4)
        rests: list[float] = []
        for answer in (DOWN, DOWN, DOWN, 1, *[DOWN] * 4):
            rests.append(state.open_s)
            await asyncio.sleep(state.rest_s())
            await send(proceed, answer)
        return [*rests[:4], state.open_s]

    assert run_virtual(main()) == [4, 8, 10, 10, 4]


@settings(deadline=None)
@given(seed=st.integers(), failures=st.integers(1, 100))
def test_the_cap_keeps_its_jitter(seed: int, failures: int) -> None:
    """At the cap, too, breakers of several processes do not open at the same moment."""

    async def main() -> float:
        proceed, state = guarded(random=Random(seed))
        await send(proceed, *[DOWN] * 4)
        for _ in range(failures):
            await asyncio.sleep(state.rest_s())
            await send(proceed, DOWN)
        return state.open_s

    assert min(20, 8 * 2**failures) / 2 <= run_virtual(main()) <= 20


@pytest.mark.parametrize("answer", [RateLimited(), ProviderRejected()], ids=["throttled", "bad_question"])
def test_a_probe_that_says_nothing(answer: Exception) -> None:
    """A probe without a verdict leaves the place to the next one."""

    async def main() -> list[str]:
        notes = Notes()
        proceed, _ = guarded()
        await send(proceed, *[DOWN] * 4)
        await asyncio.sleep(8)
        await send(proceed, answer, 1, note=notes)
        return notes.actions

    assert run_virtual(main()) == ["breaker probing", "breaker probing", "breaker closed"]


@pytest.mark.parametrize("slow_s", [None, 2, 0.5])
def test_a_streamed_probe_need_not_end(slow_s: float | None) -> None:
    """The first chunk of a probe closes it, unless it was slow; how the stream ends then changes nothing."""

    async def stream(_: Call[Any], sending: Sending) -> None:
        await asyncio.sleep(1)
        sending.chunk()
        await asyncio.sleep(100)
        raise DOWN

    async def main() -> tuple[str, str, int]:
        proceed, state = guarded(Breaker(minimum=4, open_s=8, slow_s=slow_s))
        await send(proceed, *[DOWN] * 4)
        await asyncio.sleep(8)
        probe = asyncio.create_task(send(proceed, stream, is_streamed=True))
        await asyncio.sleep(2)
        other = await send(proceed, 1)
        await asyncio.wait([probe])
        return other, state.position, state.failed

    expected = ("BreakerOpen", "open", 4) if slow_s == 0.5 else ("good", "closed", 0)
    assert run_virtual(main()) == expected


def test_late_outcomes_do_not_count() -> None:
    """A call that began before it opened, and fails long after it closed, is no news."""

    async def late(_: Call[Any], __: Sending) -> None:
        await asyncio.sleep(100)
        raise DOWN

    async def main() -> tuple[str, int]:
        proceed, state = guarded()
        waiting = [asyncio.create_task(send(proceed, late)) for _ in range(10)]
        await asyncio.sleep(0)
        await send(proceed, *[DOWN] * 4)
        await asyncio.sleep(8)
        await send(proceed, 1)
        await asyncio.wait(waiting)
        return state.position, state.seen

    assert run_virtual(main()) == ("closed", 0)


def test_retry_asks_before_it_waits() -> None:
    """A call whose failure opened the breaker is not sent again only to be refused."""

    async def main() -> tuple[float, list[str]]:
        notes, upstream = Notes(), Upstream(DOWN)
        proceed, _ = guarded(retry=Retry(attempts=9, backoff=Backoff(strategy="constant", base_s=1, jitter="none")))
        assert await send(proceed, DOWN, note=notes) == "ProviderUnavailable"
        assert await send(proceed, DOWN) == "BreakerOpen"
        assert not upstream.calls
        assert notes.decisions[-1].reason == "ProviderUnavailable: down; the breaker of 'x' is open"
        return asyncio.get_running_loop().time(), notes.actions

    assert run_virtual(main()) == (3, [*["retry resend"] * 3, "breaker opened", "retry gave_up"])


def picture(state: LocalBreaker) -> tuple[object, ...]:
    """All that a breaker knows."""
    return (state.position, state.seen, state.failed, state.slow, state.open_s)


@pytest.mark.parametrize("is_open", [False, True], ids=["closed", "half_open"])
@pytest.mark.parametrize("answer", ["good", DOWN], ids=["good", "down"])
def test_cancelled_anywhere(is_open: bool, answer: object) -> None:
    """A call that is cancelled at any of its waits leaves the breaker as it was; the probe's place is free again."""

    async def work(_: Call[Any], __: Sending) -> object:
        for _part in range(3):
            await asyncio.sleep(0.1)
        return answer

    async def main() -> int:
        for at in range(1, 100):
            proceed, state = guarded()
            if is_open:
                await send(proceed, *[DOWN] * 4)
                await asyncio.sleep(8)
            before = picture(state)
            if not await is_cancelled_at(proceed(call_of(Upstream(work).send)), at):
                return at
            assert picture(state) == before
            assert await send(proceed, 1) == "good"
        raise AssertionError

    assert run_virtual(main()) == 4


@settings(deadline=None)
@given(
    outcomes=st.lists(st.sampled_from(["good", "down", "bad", "cancel"]), min_size=1, max_size=60),
    gaps_s=st.lists(st.floats(0, 6), min_size=60, max_size=60),
    seed=st.integers(0, 1000),
)
def test_at_most_one_probe(outcomes: list[str], gaps_s: list[float], seed: int) -> None:
    """However calls come and end, while it is not closed at most one is at work that began since it opened."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        proceed, state = guarded(Breaker(window=4, minimum=2, open_s=2, open_cap_s=4), random=Random(seed))
        probes: set[int] = set()

        async def one(nth: int, outcome: str) -> None:
            async def work(_: Call[Any], __: Sending) -> None:
                is_probe = state.position != "closed"
                if is_probe:
                    assert state.position == "half_open"
                    assert not probes
                    probes.add(nth)
                try:
                    await asyncio.sleep(3)
                    if outcome == "cancel":
                        raise asyncio.CancelledError
                    if outcome != "good":
                        raise DOWN if outcome == "down" else ProviderRejected
                finally:
                    probes.discard(nth)

            await send(proceed, work)

        tasks: list[asyncio.Task[None]] = []
        for nth, outcome in enumerate(outcomes):
            tasks.append(loop.create_task(one(nth, outcome)))
            await asyncio.sleep(gaps_s[nth])
        await asyncio.wait(tasks)
        assert 0 <= state.failed <= state.seen <= 4

    run_virtual(main())
