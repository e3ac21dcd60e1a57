"""Redis or Valkey: one pool of connections, and over it what several processes share. The extra `redis`."""

from runwright.backends.redis.key_value import RedisKeyValue
from runwright.backends.redis.ledger import RedisLedger
from runwright.backends.redis.pool import PoolOptions, RedisPool, RedisPools, Script
from runwright.backends.redis.shared import Shared, SharedOptions, open_shared
from runwright.backends.redis.sharing import RedisSharing

__all__ = [
    "PoolOptions",
    "RedisKeyValue",
    "RedisLedger",
    "RedisPool",
    "RedisPools",
    "RedisSharing",
    "Script",
    "Shared",
    "SharedOptions",
    "open_shared",
]
