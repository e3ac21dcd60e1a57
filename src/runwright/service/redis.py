"""Redis: the pools of connections that this process has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from runwright.core.pool import PoolStats


class RedisReport(msgspec.Struct, frozen=True, kw_only=True):
    """The pools, one for each server; none where Redis is not set."""

    object: Literal["redis_report"] = "redis_report"
    data: Sequence[PoolStats]


class RedisFigures:
    """What a caller can ask about Redis."""

    def __init__(self, stats: Callable[[], Sequence[PoolStats]]) -> None:
        self._stats = stats

    async def stats(self) -> RedisReport:
        """What each pool is and did."""
        return RedisReport(data=self._stats())
