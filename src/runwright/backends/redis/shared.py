"""What an app shares with others over one server."""

from __future__ import annotations

import msgspec

from runwright.backends.redis.key_value import RedisKeyValue
from runwright.backends.redis.ledger import RedisLedger
from runwright.backends.redis.pool import PoolOptions, RedisPool, RedisPools
from runwright.backends.redis.sharing import RedisSharing
from runwright.core.pool import PoolStats
from runwright.guard.ledger import Read


class SharedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is shared, under keys that begin with `prefix`. `is_alone` has budgets counted here while it is away."""

    pool: PoolOptions
    prefix: str = "runwright"
    is_alone: bool = False


class Shared:
    """One server, and what several processes keep there together."""

    def __init__(self, pools: RedisPools, pool: RedisPool, options: SharedOptions) -> None:
        self.pool = pool
        self._pools = pools
        self._options = options

    def key_value(self) -> RedisKeyValue:
        """Where answers are kept."""
        return RedisKeyValue(self.pool, prefix=self._options.prefix)

    def sharing(self) -> RedisSharing:
        """Limits and breakers of all processes."""
        return RedisSharing(self.pool, prefix=self._options.prefix)

    def ledger(self, read: Read) -> RedisLedger:
        """Budgets of all processes; `read` asks the store what was spent before."""
        return RedisLedger(self.pool, read=read, is_alone=self._options.is_alone, prefix=self._options.prefix)

    def stats(self) -> tuple[PoolStats, ...]:
        """What each pool is and did."""
        return self._pools.stats()

    @property
    def state(self) -> str:
        """How the server is, for people."""
        if not self.pool.is_away:
            return "answers"
        return "is away: limits and breakers are each process's own, answers are not shared, budgets wait or are own"

    async def close(self) -> None:
        """Close all pools."""
        await self._pools.close()


async def open_shared(options: SharedOptions) -> Shared:
    """Open a server for an app. It need not be there. Raises ConfigError for a URL that cannot be read."""
    pools = RedisPools()
    return Shared(pools, await pools.pool(options.pool), options)
