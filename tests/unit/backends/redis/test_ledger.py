"""Budgets that several processes share, against a real server."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from runwright.backends.redis import PoolOptions, RedisLedger, RedisPool
from runwright.backends.redis.ledger import LEASE_S, SharedHold
from runwright.core.budget import NOTHING, Account, Allowance, Booked, Raise, Shortage, Spend
from runwright.core.clock import SystemClock
from runwright.core.policy import Budget
from runwright.errors import StorageError, Unavailable
from runwright.guard.ledger import Hold, Ledger, LocalLedger
from tests.unit.backends.redis.lossy import lossy
from tests.unit.backends.redis.travel import pass_time
from tests.unit.guard.calls import is_cancelled_at
from tests.valkey import Valkey, until

pytestmark = pytest.mark.anyio

RUN = Allowance(Account("app", "run", "run_1"), Budget(tokens=100))
DAY = Allowance(Account("app", "day", "2026-12-31"), Budget(tokens=150, calls=3, usd="9000000"))


async def totals(ledger: Ledger, allowance: Allowance = RUN) -> tuple[Spend, Spend]:
    """What was spent and is reserved of an account."""
    standing = await ledger.standing(allowance)
    return standing.spent, standing.reserved


async def reserved(ledger: Ledger, tokens: int, *allowances: Allowance) -> Hold:
    """A reservation that is granted."""
    hold = await ledger.reserve(allowances or (RUN,), Spend(tokens))
    assert isinstance(hold, Hold)
    return hold


async def test_processes_share_accounts(pool: RedisPool) -> None:
    """What one process spent or reserved is missing for the other, on all accounts of a call or on none."""
    one, other = RedisLedger(pool), RedisLedger(pool)
    await one.settle(await reserved(one, 90, RUN, DAY), Spend(90))
    short = await other.reserve((DAY, RUN), Spend(20))
    assert isinstance(short, Shortage)
    assert (short.account, short.unit, short.spent, short.limit, short.reserved) == (
        "app run:run_1",
        "tokens",
        90,
        100,
        0,
    )
    assert await totals(other, DAY) == (Spend(90), NOTHING)
    hold = await reserved(other, 10, RUN, DAY)
    assert await totals(one) == (Spend(90), Spend(10))
    await other.settle(hold, Spend(4, calls=1))
    assert await totals(one) == (Spend(94, calls=2), NOTHING)


async def test_names_that_look_like_keys(pool: RedisPool) -> None:
    """Whatever the users of two accounts are called, they are two accounts."""
    ledger, budget = RedisLedger(pool), Budget(calls=5, per="user")
    for number, name in enumerate(("ada:held", "ada", "sum:ada", "held:ada", "ada:sum", ""), 1):
        allowance = Allowance(Account("app", "user", name), budget)
        await ledger.settle(await reserved(ledger, number, allowance), Spend(number))
        assert await totals(ledger, allowance) == (Spend(number), NOTHING)


async def test_a_hundred_at_once(pool: RedisPool) -> None:
    """Of a hundred calls at once, in two processes, as many are granted as there is room for, and no more."""
    ledgers = [RedisLedger(pool), RedisLedger(pool)]
    now = asyncio.get_running_loop().time()
    answers = await asyncio.gather(
        *(ledgers[number % 2].reserve((RUN,), Spend(7), until=now + 0.2) for number in range(100)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Hold) for answer in answers) == 14
    assert sum(isinstance(answer, TimeoutError) for answer in answers) == 86
    assert await totals(ledgers[0]) == (NOTHING, Spend(98, calls=14))


async def test_waiting_for_reservations_of_others(pool: RedisPool) -> None:
    """A call for which there is room only if others use less waits for them, in any process."""
    one, other = RedisLedger(pool), RedisLedger(pool)
    hold = await reserved(one, 90)
    waiting = [asyncio.create_task(ledger.reserve((RUN,), Spend(50))) for ledger in (one, other)]
    await until(lambda: pool.stats().commands > 4)
    await one.settle(hold, Spend(0))
    late = [await each for each in waiting]
    assert [isinstance(each, Hold) and each.is_late for each in late] == [True, True]


async def test_cancelled_reservations_come_back(pool: RedisPool) -> None:
    """However a reservation is cancelled, nothing stays reserved; and a settlement is made all the same."""
    ledger = RedisLedger(pool)
    at = 1
    while await is_cancelled_at(ledger.reserve((RUN,), Spend(10)), at):
        at += 1
    assert at > 1
    await pool.quiet()
    assert (await totals(ledger))[1] == Spend(10)
    hold = await reserved(ledger, 20)
    assert await is_cancelled_at(ledger.settle(hold, Spend(5)), 1)
    await pool.quiet()
    assert await totals(ledger) == (Spend(5), Spend(10))


async def test_a_dead_process(pool: RedisPool) -> None:
    """What a process had reserved that died counts as spent after its lease; if it lives after all, what it used."""
    dead, other = RedisLedger(pool), RedisLedger(pool)
    hold = await reserved(dead, 60)
    await pass_time(pool, LEASE_S + 1)
    await other.settle(await reserved(other, 10), Spend(10))
    assert await totals(other) == (Spend(70, calls=2), NOTHING)
    await dead.settle(hold, Spend(15))
    assert await totals(other) == (Spend(25, calls=2), NOTHING)


async def test_the_dead_are_forgotten(pool: RedisPool) -> None:
    """Of processes that died nothing stays for ever: the sums do not grow, and reservations are known for a day."""
    ids: list[bytes] = []
    for _ in range(3):
        hold = await reserved(RedisLedger(pool), 10)
        assert isinstance(hold, SharedHold)
        ids.append(hold.id.encode())
        await pass_time(pool, 86_401)
    other = RedisLedger(pool)
    assert await other.has_room((RUN,), Spend(10))
    assert await totals(other) == (Spend(30, calls=3), NOTHING)
    fields = await pool.run("HKEYS", "runwright:budget:sum:app run:run_1")
    assert sorted(fields) == [b"born", b"calls", b"r_calls", b"r_tokens", b"tokens", b"usd"]
    lapsed = "runwright:budget:lapsed:app run:run_1"
    assert await pool.run("ZRANGE", lapsed, 0, -1) == ids[-1:]
    assert 0 < await pool.run("PTTL", lapsed) <= 86_400_000


async def test_what_the_store_knows(pool: RedisPool) -> None:
    """What was spent before counts from the first use on, also where the server lost it, and raises are seen."""
    booked = Booked(Spend(95, calls=9))

    async def read(_account: Account) -> Booked:
        return booked

    ledger = RedisLedger(pool, read=read)
    short = await ledger.reserve((RUN,), Spend(10))
    assert isinstance(short, Shortage)
    assert short.spent == 95
    await reserved(ledger, 5)
    await pool.run("FLUSHALL")
    assert isinstance(await ledger.reserve((RUN,), Spend(10)), Shortage)
    booked = Booked(booked.spent, Raise(account=RUN.account.name, tokens=200, at=SystemClock().now()))
    ledger.distrust(RUN.account)
    assert await ledger.has_room((RUN,), Spend(100))
    await reserved(ledger, 100)
    assert not await ledger.has_room((RUN,), Spend(100))
    assert [standing.account for standing in await ledger.active()] == [RUN.account]


@pytest.mark.parametrize("seed", range(4))
async def test_as_the_ledger_of_one_process(pool: RedisPool, seed: int) -> None:
    """In any order of reservations and settlements the shared ledger answers as the one in memory does."""
    draw = Random(seed)
    day = Allowance(DAY.account, Budget(tokens=900, usd="9000000", calls=30))
    ledgers: list[Ledger] = [RedisLedger(pool), LocalLedger()]
    held: list[list[Hold]] = []
    for _ in range(80):
        if held and draw.random() < 0.5:
            holds, used = held.pop(draw.randrange(len(held))), draw.randint(0, 60)
            for ledger, hold in zip(ledgers, holds, strict=True):
                await ledger.settle(hold, Spend(used, nano_usd=used * 10**13))
        else:
            spend = Spend(draw.randint(0, 60), nano_usd=draw.randint(0, 10**15))
            wanted = draw.choice([(RUN,), (day,), (RUN, day), (day, day)])
            # Without time to wait for others.
            now = asyncio.get_running_loop().time()
            answers = [
                *await asyncio.gather(
                    *(ledger.reserve(wanted, spend, until=now) for ledger in ledgers), return_exceptions=True
                )
            ]
            assert len({type(answer) in (Shortage, TimeoutError) for answer in answers}) == 1
            if isinstance(answers[0], Shortage):
                assert answers[0] == answers[1]
            held += [[each for each in answers if isinstance(each, Hold)]] if isinstance(answers[0], Hold) else []
        for allowance in (RUN, day):
            assert await totals(ledgers[0], allowance) == await totals(ledgers[1], allowance)


async def test_refused_while_the_server_is_away(valkey: Valkey) -> None:
    """While the server is away no call with a shared budget is sent, and what was used is counted when it is back."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    ledger = RedisLedger(pool)
    hold = await reserved(ledger, 10)
    ever = Allowance(Account("app", "ever"), Budget(tokens=100))
    await asyncio.to_thread(valkey.stop)
    with pytest.raises(Unavailable, match="Budgets are counted in Redis, which does not answer"):
        await ledger.reserve((RUN, ever), Spend(10))
    assert not await ledger.has_room((ever,), Spend(10))
    with pytest.raises(StorageError):
        await ledger.standing(RUN)
    await ledger.settle(hold, Spend(8))
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    await pool.quiet()
    assert await totals(ledger) == (Spend(8), NOTHING)
    await ledger.settle(await reserved(ledger, 10), Spend(10))
    await pool.close()


async def test_a_budget_of_a_run_alone_needs_no_server(valkey: Valkey) -> None:
    """While the server is away a process counts what belongs to its own runs."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    ledger = RedisLedger(pool)
    await asyncio.to_thread(valkey.stop)
    await ledger.settle(await reserved(ledger, 90), Spend(95))
    assert isinstance(await ledger.reserve((RUN,), Spend(10)), Shortage)
    await pool.close()


async def test_alone_where_that_is_allowed(valkey: Valkey) -> None:
    """Where it is allowed, a process counts for itself while the server is away."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    ledger = RedisLedger(pool, is_alone=True)
    await asyncio.to_thread(valkey.stop)
    hold = await reserved(ledger, 90)
    assert not await ledger.has_room((RUN,), Spend(20))
    await ledger.settle(hold, Spend(95))
    assert isinstance(await ledger.reserve((RUN,), Spend(10)), Shortage)
    await pool.close()


async def test_what_was_counted_alone_counts_on(valkey: Valkey) -> None:
    """What a process counted while the server was away is spent when it is back, also where no store knows of it."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    ledger = RedisLedger(pool)
    await asyncio.to_thread(valkey.stop)
    await ledger.settle(await reserved(ledger, 90), Spend(95))
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    short = await ledger.reserve((RUN,), Spend(10))
    assert isinstance(short, Shortage)
    assert (short.spent, short.limit) == (95, 100)
    await ledger.settle(await reserved(ledger, 5), Spend(5))
    assert await totals(ledger) == (Spend(100, calls=2), NOTHING)
    await pool.close()


async def test_reserved_alone_and_settled_when_the_server_is_back(valkey: Valkey) -> None:
    """A call that was sent while the server was away counts there when it ends later, beside those sent meanwhile."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    ledger = RedisLedger(pool)
    await asyncio.to_thread(valkey.stop)
    await ledger.settle(await reserved(ledger, 20), Spend(20))
    holds = [await reserved(ledger, 10) for _ in range(2)]
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    await ledger.settle(holds[0], Spend(10))
    shared = await reserved(ledger, 50)
    assert await is_cancelled_at(ledger.settle(holds[1], Spend(10)), 1)
    await ledger.settle(shared, Spend(50))
    await pool.quiet()
    assert await totals(ledger) == (Spend(90, calls=4), NOTHING)
    assert isinstance(await ledger.reserve((RUN,), Spend(15)), Shortage)
    await pool.close()


async def test_what_others_spent_while_the_server_was_away(valkey: Valkey) -> None:
    """The store is asked when the server is back: what others counted meanwhile the server does not know."""
    pool, booked = RedisPool(PoolOptions(url=valkey.url)), Booked(Spend(10))

    async def read(_account: Account) -> Booked:
        return booked

    ledger = RedisLedger(pool, read=read)
    await ledger.settle(await reserved(ledger, 10), Spend(10))
    await asyncio.to_thread(valkey.stop)
    with pytest.raises(StorageError):
        await pool.run("PING")
    booked = Booked(Spend(95))
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    assert isinstance(await ledger.reserve((RUN,), Spend(10)), Shortage)
    await pool.close()


async def test_settled_while_the_server_is_away_by_who_is_cancelled(valkey: Valkey) -> None:
    """What was used is counted when the server is back, also where whoever settles is cancelled meanwhile."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    ledger = RedisLedger(pool)
    holds = [await reserved(ledger, 10) for _ in range(3)]
    await asyncio.to_thread(valkey.stop)
    for at, hold in enumerate(holds, 1):
        await is_cancelled_at(ledger.settle(hold, Spend(8)), at)
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    await pool.quiet()
    assert await totals(ledger) == (Spend(24, calls=3), NOTHING)
    await pool.close()


@pytest.mark.parametrize("is_alone", [False, True], ids=["refused", "alone"])
async def test_what_may_have_been_done_counts_once(pool: RedisPool, shared_valkey: Valkey, is_alone: bool) -> None:
    """Of a reservation whose answer was lost nothing stays, and a settlement whose answer was lost counts once."""
    async with lossy(shared_valkey.port) as way:
        lost = RedisPool(PoolOptions(url=way.url))
        ledger, other = RedisLedger(lost, is_alone=is_alone), RedisLedger(pool)
        holds = [await reserved(ledger, 10, DAY) for _ in range(2)]
        # From here on the server knows the scripts.
        await ledger.settle(holds[0], Spend(7))
        way.is_losing = True
        await ledger.settle(holds[1], Spend(8))
        way.is_losing = False
        await until(lambda: not lost.is_away)
        await lost.quiet()
        assert await totals(other, DAY) == (Spend(15, calls=2), NOTHING)
        way.is_losing = True
        if is_alone:
            await reserved(ledger, 10, DAY)
        else:
            with pytest.raises(Unavailable):
                await ledger.reserve((DAY,), Spend(10))
        assert await totals(other, DAY) == (Spend(15, calls=2), Spend(10))
        way.is_losing = False
        await until(lambda: not lost.is_away)
        await lost.quiet()
        assert await totals(other, DAY) == (Spend(15, calls=2), NOTHING)
        await lost.close()


async def test_a_lost_reservation_of_who_is_cancelled(pool: RedisPool, shared_valkey: Valkey) -> None:
    """A reservation whose caller was cancelled, and whose answer was lost, does not stay until its lease ends."""
    async with lossy(shared_valkey.port) as way:
        lost = RedisPool(PoolOptions(url=way.url))
        ledger, other = RedisLedger(lost), RedisLedger(pool)
        await ledger.settle(await reserved(ledger, 10), Spend(7))
        way.is_losing = True
        task = asyncio.create_task(ledger.reserve((RUN,), Spend(10)))
        await until(lambda: lost.stats().in_use > 0)
        task.cancel()
        await until(lambda: lost.is_away)
        way.is_losing = False
        await until(lambda: not lost.is_away)
        await lost.quiet()
        assert await totals(other) == (Spend(7), NOTHING)
        await lost.close()


async def test_more_is_owed_than_anybody_would_keep(valkey: Valkey) -> None:
    """Nothing that was used is forgotten, however many reservations are settled while the server is away."""
    pool, many = RedisPool(PoolOptions(url=valkey.url)), 10_100
    allowance = Allowance(Account("app", "ever", ""), Budget(tokens=10**9))
    ledger = RedisLedger(pool)
    first = await reserved(ledger, 1, allowance)
    holds = [first, *(SharedHold(first.accounts, first.spend, id=f"{nth}") for nth in range(1, many))]
    await asyncio.to_thread(valkey.stop)
    for hold in holds:
        await ledger.settle(hold, Spend(2))
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    # What a busy server does not answer in time is settled once it answers again.
    async with asyncio.timeout(50):
        while await totals(ledger, allowance) != (Spend(2 * many, calls=many), NOTHING):  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.05)
    await pool.close()
