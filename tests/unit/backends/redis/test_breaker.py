"""Breakers that several processes share, against a real server."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from runwright.backends.redis import PoolOptions, RedisPool, RedisSharing
from runwright.backends.redis.breaker import LEASE_S, RedisBreaker
from runwright.core.policy import Breaker, Guard, plan
from runwright.errors import BreakerOpen, ProviderUnavailable
from runwright.guard import Registry, Surroundings
from runwright.guard.breaker import BreakerState, LocalBreaker, Outcome
from runwright.guard.chain import guard
from tests.unit.backends.redis.travel import pass_time
from tests.unit.guard.calls import Upstream, call_of, is_cancelled_at
from tests.valkey import Valkey, until

pytestmark = pytest.mark.anyio

POLICY = Breaker(window=10, minimum=4, open_s=1000, open_cap_s=10_000)


def breaker(pool: RedisPool, policy: Breaker = POLICY) -> RedisBreaker:
    """The breaker of one process."""
    return RedisSharing(pool).breaker(policy, name="app:x")


async def end(state: BreakerState, outcome: Outcome) -> str:
    """Send a call that ends so."""
    permit = await state.enter()
    assert permit is not None
    return await state.leave(permit, outcome, share=1.0)


async def opened(pool: RedisPool) -> RedisBreaker:
    """A breaker that has opened."""
    state = breaker(pool)
    assert [await end(state, "failed") for _ in range(4)] == ["", "", "", "opened"]
    return state


async def test_outcomes_of_all_processes_count(pool: RedisPool) -> None:
    """Failures in two processes open the breaker for both, and for a third that saw none."""
    one, other, third = breaker(pool), breaker(pool), breaker(pool)
    assert [await end(state, "failed") for state in (one, other, one)] == ["", "", ""]
    assert await end(other, "failed") == "opened"
    assert (other.position, other.failed, other.seen, other.open_s) == ("open", 4, 4, 1000)
    assert third.rest_s() == 0
    assert await third.enter() is None
    assert third.rest_s() == pytest.approx(1000, abs=30)
    assert third.position == "open"


@pytest.mark.parametrize("seed", range(5))
async def test_the_script_is_the_breaker(pool: RedisPool, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order of outcomes and pauses the shared breaker decides as the one of a process does."""
    draw = Random(seed)
    policy = Breaker(window=6, minimum=3, slow_rate=0.8, open_s=1000, open_cap_s=4000)
    shared, model = breaker(pool, policy), LocalBreaker("x", policy)
    loop, passed_s = asyncio.get_running_loop(), 0.0
    real_time = loop.time
    monkeypatch.setattr(loop, "time", lambda: real_time() + passed_s)
    outcomes: list[Outcome] = ["good", "failed", "slow", "neutral"]
    for _ in range(80):
        permit, model_permit = await shared.enter(), await model.enter()
        assert (permit is None) == (model_permit is None)
        if permit is None or model_permit is None:
            assert shared.rest_s() == pytest.approx(model.rest_s(), abs=5)
            await pass_time(pool, 500)
            passed_s += 500
            continue
        outcome = draw.choice(outcomes)
        changes = [
            await state.leave(permit, outcome, share=0.5) for state, permit in ((shared, permit), (model, model_permit))
        ]
        await pool.quiet()
        assert changes[0] == changes[1]
        if changes[0] == "opened":
            assert shared.open_s == model.open_s


async def test_one_probe_over_all_processes(pool: RedisPool) -> None:
    """Of all who come when the rest is over, in any process, one is let through; the others are told to ask soon."""
    await opened(pool)
    await pass_time(pool, 1001)
    states = [breaker(pool) for _ in range(4)]
    permits = await asyncio.gather(*(state.enter() for state in states for _ in range(50)))
    assert sum(permit is not None for permit in permits) == 1
    assert [state.position for state in states] == ["half_open"] * 4
    holder = states[next(place for place, permit in enumerate(permits) if permit is not None) // 50]
    permit = next(permit for permit in permits if permit is not None)
    assert permit < 0
    assert await holder.leave(permit, "good", share=0) == "closed"
    assert await asyncio.gather(*(state.enter() for state in states)) == [4, 4, 4, 4]


async def test_a_probe_that_begins_to_answer(pool: RedisPool) -> None:
    """A probe that has begun to answer closes the breaker for all; how it ends says nothing more."""
    await opened(pool)
    await pass_time(pool, 1001)
    state, other = breaker(pool), breaker(pool)
    permit = await state.enter()
    assert permit is not None
    assert state.begin(permit) == "closed"
    await pool.quiet()
    assert await end(other, "good") == ""
    assert await state.leave(permit, "failed", share=0) == ""
    assert state.begin(permit) == ""
    assert state.is_idle


async def test_an_old_probe_speaks_for_no_later_one(pool: RedisPool) -> None:
    """However a probe ends that began to answer before, the next one is still on its way, and its outcome decides."""
    await opened(pool)
    await pass_time(pool, 1001)
    state = breaker(pool)
    old = await state.enter()
    assert old is not None
    assert state.begin(old) == "closed"
    await pool.quiet()
    assert [await end(state, "failed") for _ in range(4)] == ["", "", "", "opened"]
    await pass_time(pool, 1001)
    probe = await state.enter()
    assert probe is not None
    assert probe < 0
    assert state.begin(old) == ""
    assert await state.leave(old, "good", share=1.0) == ""
    assert not state.is_idle
    assert await breaker(pool).enter() is None
    assert await state.leave(probe, "failed", share=1.0) == "opened"
    assert state.is_idle


async def test_a_probe_that_lost_its_lease(pool: RedisPool) -> None:
    """A probe whose place was given to another one says nothing any more, also where both are of one process."""
    await opened(pool)
    await pass_time(pool, 1001)
    state = breaker(pool)
    lost = await state.enter()
    await pass_time(pool, LEASE_S + 1)
    probe = await state.enter()
    assert lost is not None
    assert probe is not None
    assert await state.leave(lost, "failed", share=1.0) == ""
    assert await state.leave(probe, "good", share=0.0) == "closed"
    assert state.is_idle


async def test_a_failed_probe_opens_for_longer(pool: RedisPool) -> None:
    """A probe that fails opens the breaker for twice as long, one without an outcome leaves the place to the next."""
    await opened(pool)
    await pass_time(pool, 1001)
    assert await end(breaker(pool), "neutral") == ""
    state = breaker(pool)
    assert await end(state, "failed") == "opened"
    assert state.open_s == 2000


async def test_the_probe_of_a_dead_process(pool: RedisPool) -> None:
    """The place of a probe whose process says nothing any more is given to another one after its lease."""
    await opened(pool)
    await pass_time(pool, 1001)
    assert await breaker(pool).enter() is not None
    other = breaker(pool)
    assert await other.enter() is None
    await pass_time(pool, LEASE_S + 1)
    assert await other.enter() is not None


async def test_what_began_before_counts_no_more(pool: RedisPool) -> None:
    """A call that was sent before the breaker opened says nothing about the time after."""
    state, late = breaker(pool), breaker(pool)
    permit = await late.enter()
    assert permit is not None
    for _ in range(4):
        await end(state, "failed")
    assert await late.leave(permit, "failed", share=1) == ""


async def test_cancelled_probes_come_back(pool: RedisPool) -> None:
    """However asking for a permit is cancelled, the place of the probe is free again."""
    await opened(pool)
    await pass_time(pool, 1001)
    at = 1
    while True:
        state = breaker(pool)
        if not await is_cancelled_at(state.enter(), at):
            break
        await pool.quiet()
        at += 1
    assert at > 1
    assert not state.is_idle


async def test_the_layers_use_it(pool: RedisPool) -> None:
    """Failures that one app sees keep another one from sending."""
    chosen = plan(("app", Guard(breaker=POLICY, retry=False, limit=False)))
    one, other = (guard(chosen, Surroundings(registry=Registry(sharing=RedisSharing(pool)))) for _ in range(2))
    upstream = Upstream(ProviderUnavailable("down"))
    for _ in range(4):
        with pytest.raises(ProviderUnavailable):
            await one(call_of(upstream.send))
    for way in (one, other):
        with pytest.raises(BreakerOpen):
            await way(call_of(upstream.send))
    assert len(upstream.calls) == 4


async def test_alone_while_the_server_is_away(valkey: Valkey) -> None:
    """While the server is away each process has a breaker of its own; afterwards the shared one holds."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    state = breaker(pool)
    before = await state.enter()
    assert before is not None
    await asyncio.to_thread(valkey.stop)
    assert await state.leave(before, "failed", share=1) == ""
    assert [await end(state, "failed") for _ in range(4)] == ["", "", "", "opened"]
    assert (state.position, state.seen, state.failed) == ("open", 4, 4)
    assert state.rest_s() > 0
    assert await state.enter() is None
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    assert await end(state, "good") == ""
    assert state.position == "closed"
    await pool.close()
