"""One of several processes that share a limit, a breaker and a budget; prints what it was let do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

from runwright.backends.redis import PoolOptions, RedisLedger, RedisPool, RedisSharing
from runwright.core.budget import Account, Allowance, Spend
from runwright.core.policy import Breaker, Budget, Limit
from runwright.guard.ledger import Hold

CALLERS = 50
PROCESSES = 4
LIMIT = Limit(requests=40, per_s=1e6, burst=1.0)
BREAKER = Breaker(window=10, minimum=4, open_s=1000)
ALLOWANCE = Allowance(Account("app", "ever"), Budget(tokens=1000))
TOKENS = 7


async def main(url: str, number: int) -> None:
    """Wait for the others, then have many callers ask at once."""
    loop = asyncio.get_running_loop()
    # Each machine has a clock of its own.
    loop.time = _skewed(loop.time, 1000.0 * number)
    pool = RedisPool(PoolOptions(url=url))
    await pool.open()
    meter = RedisSharing(pool).meter(LIMIT, None, name="app:x")
    breaker = RedisSharing(pool).breaker(BREAKER, name="app:x")
    ledger = RedisLedger(pool)
    await pool.run("INCR", "ready")
    while int(await pool.run("GET", "ready")) < PROCESSES:  # noqa: ASYNC110 - other processes set no event
        await asyncio.sleep(0.01)

    async def spend() -> bool:
        hold = await ledger.reserve((ALLOWANCE,), Spend(TOKENS))
        if not isinstance(hold, Hold):
            return False
        await ledger.settle(hold, Spend(TOKENS))
        return True

    passed = await asyncio.gather(*(meter.reserve(0) for _ in range(CALLERS)))
    permits = await asyncio.gather(*(breaker.enter() for _ in range(CALLERS)))
    paid = await asyncio.gather(*(spend() for _ in range(CALLERS)))
    told = {"passed": passed.count(0.0), "probes": CALLERS - permits.count(None), "paid": paid.count(True)}
    print(json.dumps(told))  # noqa: T201 - the answer of this process
    await pool.close()


def _skewed(time: Callable[[], float], by_s: float) -> Callable[[], float]:
    return lambda: time() + by_s


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
