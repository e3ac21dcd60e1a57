"""States of the guard over Redis, by name."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from runwright.backends.redis.breaker import RedisBreaker
from runwright.backends.redis.limit import RedisMeter
from runwright.backends.redis.pool import RedisPool
from runwright.core.policy import Breaker, Limit, Policy
from runwright.guard.heard import Heard


class RedisSharing:
    """Makes states that all processes share whose policy is the same. The Sharing port."""

    def __init__(self, pool: RedisPool, *, prefix: str = "runwright") -> None:
        self._pool = pool
        self._prefix = prefix

    def meter(self, policy: Limit, heard: Heard | None, *, name: str) -> RedisMeter:
        """The count of a limit in requests or tokens."""
        # Who waits how long is each process's own matter.
        same = Limit(requests=policy.requests, tokens=policy.tokens, per_s=policy.per_s, burst=policy.burst)
        return RedisMeter(self._pool, self._key("limit", same, name), policy=policy, heard=heard)

    def breaker(self, policy: Breaker, *, name: str) -> RedisBreaker:
        """A breaker."""
        return RedisBreaker(self._pool, self._key("breaker", policy, name), policy)

    def _key(self, kind: str, policy: Policy, name: str) -> str:
        digest = blake2b(msgspec.json.encode(policy), digest_size=8).hexdigest()
        return f"{self._prefix}:{kind}:{name}:{digest}"
