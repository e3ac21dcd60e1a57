"""Limits that several processes keep together, against a real server."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from runwright.backends.redis import PoolOptions, RedisPool, RedisSharing
from runwright.backends.redis.limit import ALONE, RedisMeter
from runwright.core.policy import Guard, Limit, plan
from runwright.errors import CallShed
from runwright.guard import Registry, Surroundings
from runwright.guard.chain import guard
from runwright.guard.gcra import Gcra
from runwright.guard.heard import Heard
from tests.unit.backends.redis.lossy import lossy
from tests.unit.backends.redis.travel import pass_time
from tests.unit.guard.calls import Upstream, call_of, is_cancelled_at
from tests.valkey import Valkey, until

pytestmark = pytest.mark.anyio

SLOW = Limit(requests=10, tokens=1000, per_s=1_000_000, burst=1.0)
"""So slow that nothing comes back during a test."""


def meter(pool: RedisPool, policy: Limit = SLOW) -> RedisMeter:
    """The meter of one process."""
    return RedisSharing(pool).meter(policy, None, name="app:x")


async def test_processes_share_a_limit(pool: RedisPool, shared_valkey: Valkey) -> None:
    """What passes through one process is missing for the other; both together let no more pass than the burst."""
    other_pool = RedisPool(PoolOptions(url=shared_valkey.url))
    one, other = meter(pool), meter(other_pool)
    waits = await asyncio.gather(*(each.reserve(1) for each in (one, other) for _ in range(20)))
    assert waits.count(0.0) == 10
    assert all(wait_s == 0 or 0 < wait_s <= 100_000 for wait_s in waits)
    await pass_time(pool, 300_000)
    assert [await other.reserve(1) for _ in range(4)].count(0.0) == 3
    await other_pool.close()


async def test_limits_of_other_names_are_others(pool: RedisPool) -> None:
    """Another target, place or figure of the policy is another limit; who waits how long is not part of it."""
    sharing = RedisSharing(pool)
    one = sharing.meter(Limit(requests=1, per_s=1e6, burst=1.0), None, name="app:x")
    assert await one.reserve(0) == 0
    assert await sharing.meter(Limit(requests=1, per_s=1e6, burst=1.0), None, name="app:y").reserve(0) == 0
    assert await sharing.meter(Limit(requests=1, per_s=2e6, burst=1.0), None, name="app:x").reserve(0) == 0
    assert await sharing.meter(Limit(requests=1, per_s=1e6, burst=1.0, queue=3), None, name="app:x").reserve(0) > 0


@pytest.mark.parametrize("seed", range(5))
async def test_the_script_is_gcra(pool: RedisPool, seed: int) -> None:
    """In any order of reservations, settlements and pauses the script says what the algorithm in Python says."""
    draw = Random(seed)
    policy = Limit(tokens=1000, per_s=1_000_000, burst=0.3)
    shared, model, now = meter(pool, policy), Gcra(1000 / 1_000_000, 300.0), 0.0
    for _ in range(60):
        amount = draw.randint(0, 500)
        deed = draw.choice(["reserve", "settle", "undo", "wait"])
        if deed == "wait":
            pause_s = draw.uniform(0, 300_000)
            now += pause_s
            await pass_time(pool, pause_s)
        elif deed == "reserve":
            wait_s = await shared.reserve(amount)
            assert wait_s == pytest.approx(model.wait_s(amount, now), abs=5)
            if not wait_s:
                model.charge(amount, now)
        else:
            used = None if deed == "undo" else draw.randint(0, 800)
            shared.settle(amount, used, 0.0)
            model.settle(amount, used or 0, now)
            await pool.quiet()
        asked = await shared.wait_s(1, 300)
        assert asked == pytest.approx(model.wait_s(300, now), abs=5)


async def test_forecasts_take_nothing(pool: RedisPool) -> None:
    """Asking when calls could pass, also more than the burst, changes nothing."""
    one = meter(pool)
    assert await one.wait_s(10, 1000) == 0
    assert await one.wait_s(13, 0) == pytest.approx(300_000, abs=5)
    assert await one.reserve(1000) == 0
    assert one.figures() == {"requests_left": 9.0, "tokens_left": 0.0}


async def test_cancelled_reservations_come_back(pool: RedisPool) -> None:
    """However a reservation is cancelled, what it took is there again."""
    heard = Heard()
    one = RedisSharing(pool).meter(SLOW, heard, name="app:x")
    at = 1
    while await is_cancelled_at(one.reserve(100), at):
        at += 1
    assert at > 1
    one.settle(100, None, 0.0)
    await pool.quiet()
    assert await one.wait_s(10, 1000) == pytest.approx(0, abs=1)
    assert heard.is_idle


async def test_the_layers_use_it(pool: RedisPool) -> None:
    """Calls of two apps with the same limit pass together as often as the limit says; the others are refused."""
    chosen = plan(("app", Guard(limit=Limit(requests=5, per_s=1e6, burst=1.0, queue_s=0.5), retry=False)))
    ways = [guard(chosen, Surroundings(registry=Registry(sharing=RedisSharing(pool)))) for _ in range(2)]
    upstream = Upstream("yes")
    ended = await asyncio.gather(
        *(way(call_of(upstream.send)) for way in ways for _ in range(4)), return_exceptions=True
    )
    assert len(upstream.calls) == ended.count("yes") == 5
    assert sum(isinstance(each, CallShed) for each in ended) == 3


async def test_alone_while_the_server_is_away(valkey: Valkey) -> None:
    """While the server is away each process keeps the whole limit by itself; afterwards they share it again."""
    pools = [RedisPool(PoolOptions(url=valkey.url)) for _ in range(2)]
    one, other = (meter(pool, Limit(requests=3, per_s=1e6, burst=1.0)) for pool in pools)
    assert [await one.reserve(0) for _ in range(4)].count(0.0) == 3
    await asyncio.to_thread(valkey.stop)
    assert [await one.reserve(0) for _ in range(5)].count(ALONE) == 3
    assert [await other.reserve(0) for _ in range(5)].count(ALONE) == 3
    assert one.figures() == {"requests_left": 0.0, "kept": "alone"}
    one.settle(0, None, ALONE)
    assert one.figures()["requests_left"] == 1.0
    await asyncio.to_thread(valkey.start)
    await until(lambda: not any(pool.is_away for pool in pools))
    waits = [await each.reserve(0) for each in (one, other) for _ in range(3)]
    assert waits.count(0.0) == 3
    for pool in pools:
        await pool.close()


async def test_each_permit_is_settled_where_it_was_counted(valkey: Valkey) -> None:
    """What was taken before the server went away, or meanwhile, is given back there, whenever that is; and once."""
    pools = [RedisPool(PoolOptions(url=valkey.url)) for _ in range(2)]
    policy = Limit(requests=10, tokens=1000, per_s=1e6, burst=1.0)
    one, other = (meter(pool, policy) for pool in pools)
    before = [await one.reserve(100) for _ in range(3)]
    await asyncio.to_thread(valkey.stop)
    alone = [await one.reserve(50) for _ in range(3)]
    assert (before, alone) == ([0.0] * 3, [ALONE] * 3)
    one.settle(100, None, before[0])
    one.settle(100, 250, before[1])
    one.settle(50, None, alone[0])
    assert one.figures() == {"requests_left": 8.0, "tokens_left": 900.0, "kept": "alone"}
    assert not one.is_idle
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pools[0].is_away)
    # The server begins anew, so that 50 tokens more were used than it knows of, and one request less.
    assert await other.reserve(500) == 0
    assert await one.reserve(0) == 0
    one.settle(50, 80, alone[1])
    await pools[0].quiet()
    assert await other.reserve(0) == 0
    assert other.figures() == pytest.approx({"requests_left": 8.0, "tokens_left": 450.0}, abs=0.01)
    assert await one._alone.wait_s(8, 870) == pytest.approx(0, abs=1)  # pyright: ignore[reportPrivateUsage] - what it counted alone
    assert await one._alone.wait_s(8, 900) > 0  # pyright: ignore[reportPrivateUsage] - as above
    for pool in pools:
        await pool.close()


async def test_what_may_have_been_told_counts_once(pool: RedisPool, shared_valkey: Valkey) -> None:
    """A settlement whose answer was lost is told again, and counts once; what came meanwhile counts too."""
    async with lossy(shared_valkey.port) as way:
        lost = RedisPool(PoolOptions(url=way.url))
        one = meter(lost)
        assert [await one.reserve(100) for _ in range(2)] == [0.0, 0.0]
        # From here on the server knows the script.
        one.settle(100, 0, 0.0)
        await lost.quiet()
        way.is_losing = True
        one.settle(100, 400, 0.0)
        await until(lambda: lost.is_away)
        one.settle(100, 150, 0.0)
        way.is_losing = False
        await until(lambda: not lost.is_away)
        assert await one.reserve(0) == 0
        await lost.quiet()
        await lost.close()
    other = meter(pool)
    assert await other.reserve(0) == 0
    assert other.figures()["tokens_left"] == pytest.approx(550, abs=0.01)


async def test_processes_leave_nothing_for_ever(pool: RedisPool) -> None:
    """However many processes settled under a limit, what is kept of it does not grow, and what each told ends."""
    for _ in range(3):
        one = meter(pool)
        one.settle(100, 50, await one.reserve(100))
        await pool.quiet()
    keys = {key: await pool.run("TYPE", key) for key in await pool.run("KEYS", "*")}
    (limit,) = (key for key, kind in keys.items() if "hash" in str(kind))
    assert sorted(await pool.run("HKEYS", limit)) == [b"r", b"t"]
    assert len(keys) == 4
    assert all([await pool.run("PTTL", key) > 0 for key in keys])
