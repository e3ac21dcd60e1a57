"""What is learned from a provider: its headers, its pauses and its refusals, in virtual time."""

import asyncio
from contextlib import nullcontext
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.event import GuardDecided
from runwright.core.model import Quota
from runwright.core.policy import Limit, Plan
from runwright.errors import RateLimited
from runwright.guard import Call, Registry, Sending, Surroundings
from runwright.guard.chain import guard
from runwright.guard.gcra import Gcra
from runwright.guard.heard import LONGEST_S, RECOVER_S, Aimd, Heard
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of

CALLS = 1200
WORKERS = 60
QUOTA_PER_S = 10.0


class Provider:
    """Lets its quota pass, with a burst of a second, and answers 429 to the rest; a refused call does not count."""

    def __init__(self, *, says_what_is_left: bool = False, retry_after_s: float | None = None) -> None:
        self.passed = 0
        self.refused = 0
        self._quota = Gcra(QUOTA_PER_S, QUOTA_PER_S)
        self._says = says_what_is_left
        self._retry_after_s = retry_after_s

    async def answer(self, call: Call[Any], sending: Sending) -> str:
        """Answer after a fifth of a second, refuse at once."""
        now = asyncio.get_running_loop().time()
        if self._quota.wait_s(1, now):
            self.refused += 1
            raise RateLimited("slow down", retry_after_s=self._retry_after_s)
        self._quota.charge(1, now)
        await asyncio.sleep(0.2)
        if self._says:
            left = int(self._quota.left(now))
            reset_s = max(0.0, self._quota.tat - now)
            sending.quota(Quota(requests=int(QUOTA_PER_S), requests_left=left, requests_reset_s=reset_s))
        self.passed += 1
        return "answer"


def unheard(decision: GuardDecided) -> None:
    """Do not keep a decision."""


async def as_sdks_do(provider: Provider, random: Random) -> None:
    """Three attempts, half a second doubled between them, with up to a quarter off."""
    numbers = count()

    async def work() -> None:
        while next(numbers) < CALLS:
            for attempt in range(3):
                try:
                    call = call_of(provider.answer)
                    await provider.answer(call, Sending(call, now=0.0))
                    break
                except RateLimited:
                    await asyncio.sleep(min(8.0, 0.5 * 2**attempt) * (1 - 0.25 * random.random()))

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())


async def as_guarded(provider: Provider, random: Random) -> float:
    """Two processes that know nothing of each other nor of the quota; gives how long it took."""
    numbers = count()

    async def work(proceed: Any) -> None:
        while next(numbers) < CALLS:
            for attempt in count():
                try:
                    await proceed(call_of(provider.answer, target="m", note=unheard))
                    break
                except RateLimited:
                    await asyncio.sleep(min(20.0, 0.5 * 2**attempt) * random.random())

    async with asyncio.TaskGroup() as group:
        for seed in range(2):
            plan = Plan(limit=Limit(queue_s=10_000))
            process = guard(plan, Surroundings(registry=Registry(Random(seed))))
            for _ in range(WORKERS // 2):
                group.create_task(work(process))
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("says_what_is_left", [False, True], ids=["refuses_only", "with_headers"])
@pytest.mark.parametrize("retry_after_s", [None, 1.0], ids=["", "retry_after"])
def test_two_processes_find_their_quota(says_what_is_left: bool, retry_after_s: float | None) -> None:
    """Two processes that share a quota without knowing it meet a tenth of the refusals a success that SDKs meet."""
    bare, ours = Provider(), Provider(says_what_is_left=says_what_is_left, retry_after_s=retry_after_s)
    run_virtual(as_sdks_do(bare, Random(7)))
    took_s = run_virtual(as_guarded(ours, Random(7)))
    assert ours.passed == CALLS
    assert ours.refused / ours.passed <= 0.10 * bare.refused / bare.passed
    assert took_s <= 2 * CALLS / QUOTA_PER_S


def test_a_refusal_pauses_all_who_call_the_target() -> None:
    """Retry-After holds back every call of the target, under whatever limit, and the time is not met to the letter."""

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        registry = Registry(Random(3))
        refusing = guard(Plan(limit=Limit()), Surroundings(registry=registry))
        other = guard(Plan(limit=Limit(requests=1000)), Surroundings(registry=registry))
        notes = Notes()
        with pytest.raises(RateLimited):
            await refusing(call_of(Upstream(RateLimited("slow", retry_after_s=7)).send, target="m", note=notes))
        assert notes.actions == ["rate slowed"]
        assert notes.decisions[0].figures["paused_s"] == pytest.approx(7.5, abs=0.5)
        await other(call_of(Upstream("free").send, target="another"))
        free_s = loop.time()
        await other(call_of(Upstream("held").send, target="m", note=notes))
        assert notes.actions == ["rate slowed", "rate waited"]
        return free_s, loop.time()

    free_s, held_s = run_virtual(main())
    assert free_s == 0
    assert 7 < held_s <= 8


def test_who_follows_nobody_is_not_slowed() -> None:
    """Without `adaptive` a refusal changes nothing."""

    async def main() -> float:
        proceed = guard(Plan(limit=Limit(requests=1000, adaptive=False)), Surroundings(registry=Registry()))
        notes = Notes()
        for answer in (RateLimited("slow", retry_after_s=7), "answer"):
            with pytest.raises(RateLimited) if isinstance(answer, RateLimited) else nullcontext():
                await proceed(call_of(Upstream(answer).send, target="m", note=notes))
        assert not notes.decisions
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0


def test_who_sends_little_gets_no_pace() -> None:
    """A refusal of a target that passed less than a call a second is left to the resends and their waits."""
    heard = Heard()
    heard.add(0, 0.0)
    heard.refused(None, sent_at=0.0, now=0.5)
    assert heard.pace.at(0.5) is None
    assert heard.wait_s(1, 0, 0.5) == 0


def test_a_pause_has_an_end() -> None:
    """Whatever a provider asks for, it is asked again after ten minutes."""
    heard = Heard()
    heard.refused(4.29e6, sent_at=0.0, now=0.0)
    heard.seen(Quota(requests_left=0, requests_reset_s=3e7, is_window=True), 0, 0.0)
    assert heard.wait_s(1, 0, 0.0) == LONGEST_S
    assert heard.wait_s(1, 0, LONGEST_S) == 0


def test_one_crowd_halves_the_pace_once() -> None:
    """Refusals of calls that were sent before the last halving find the pace, and a later one halves it again."""
    heard = Heard()
    for _ in range(100):
        heard.add(0, 0.5)
    for refused in range(90):
        heard.refused(None, sent_at=0.5, now=1.0 + refused / 1000)
    assert heard.pace.at(1.1) == pytest.approx(5, rel=0.1)
    heard.refused(None, sent_at=1.2, now=1.3)
    assert heard.pace.at(1.3) == pytest.approx(2.5, rel=0.1)


@given(st.floats(1, 1000), st.floats(0, 4 * RECOVER_S))
def test_a_pace_comes_back_evenly_and_is_forgotten(passed_per_s: float, after_s: float) -> None:
    """It is half of what passed, all of it after a minute, never faster than that line, and none at twice that."""
    pace = Aimd()
    pace.refused(passed_per_s, sent_at=0.0, now=0.0, resumes_at=0.0)
    at = pace.at(after_s)
    if after_s >= 3 * RECOVER_S:
        assert at is None
        assert pace.wait_s(1, after_s) == 0
    else:
        assert at == pytest.approx(passed_per_s * (0.5 + 0.5 * after_s / RECOVER_S))


@given(st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=30))
def test_no_refusals_stop_a_target_for_good(refusals: list[tuple[float, bool]]) -> None:
    """After any refusals, a call a minute is still let pass."""
    heard, now = Heard(), 0.0
    for gap_s, is_late in refusals:
        now += gap_s
        now += heard.wait_s(1, 0, now)
        heard.add(0, now)
        heard.refused(None, sent_at=now - 30 if is_late else now, now=now)
        heard.ended(0)
    assert heard.wait_s(1, 0, now) <= 61
    assert heard.wait_s(1, 0, now + 61) == 0


def test_calls_on_their_way_are_not_counted_as_left() -> None:
    """What an answer says is left was counted before calls that were sent since; those sent long ago are in it."""
    heard = Heard()
    for _ in range(3):
        heard.add(100, 0.0)
    heard.seen(Quota(requests_left=10, requests_reset_s=60.0, tokens_left=1000, tokens_reset_s=60.0), 100, 0.5)
    assert heard.figures(0.5) == {"provider_requests_left": 8, "provider_tokens_left": 800}
    heard.seen(Quota(requests_left=10, requests_reset_s=60.0, tokens_left=1000, tokens_reset_s=60.0), 100, 20.0)
    assert heard.figures(20.0) == {"provider_requests_left": 10, "provider_tokens_left": 1000}


@pytest.mark.parametrize(
    ("quota", "waits_s"),
    [
        (Quota(requests=60, requests_left=0, requests_reset_s=60.0), 1),
        (Quota(requests=60, requests_left=0, requests_reset_s=60.0, is_window=True), 60),
        (Quota(requests_left=0, requests_reset_s=9.0), 9),
        (Quota(requests=30, requests_left=0), 2),
        (Quota(requests_left=0), 1),
        (Quota(requests=60, requests_left=1, requests_reset_s=59.0), 0),
        (Quota(tokens=1000, tokens_left=0, tokens_reset_s=10.0), 5),
        (Quota(tokens=100, tokens_left=0, tokens_reset_s=10.0), 10),
    ],
    ids=["evenly", "window", "no_limit", "no_reset", "neither", "one_left", "tokens", "larger_than_all"],
)
def test_how_long_it_takes_until_there_is_enough(quota: Quota, waits_s: float) -> None:
    """What is used comes back evenly, or all at the reset, and at the reset at the latest."""
    heard = Heard()
    heard.seen(quota, 0, 0.0)
    assert heard.wait_s(1, 500, 0.0) == pytest.approx(waits_s)
