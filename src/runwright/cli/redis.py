"""`runwright redis`: connections to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runwright.cli.call import Called

if TYPE_CHECKING:
    from runwright.core.pool import PoolStats


async def stats(*, call: Called) -> None:
    """Say whether Redis is there and what its pool did since its process began: ask a server for that.

    Args:
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        report = await access.redis.stats()
    if call.out.is_json:
        call.out.json(report)
        return
    if not report.data:
        call.out.text("no Redis is set: RUNWRIGHT_REDIS__URL")
        return
    columns = ("server", "state", "in use", "available", "max", "used", "reuse", "commands", "connects", "idle closed")
    call.out.table(columns, [_row(pool) for pool in report.data])
    for pool in report.data:
        if pool.error:
            call.out.text(f"{pool.host}:{pool.port}: {pool.error}")


def _row(pool: PoolStats) -> tuple[object, ...]:
    state = "closed" if pool.is_closed else "away" if pool.is_away else "there"
    shares = (f"{pool.utilisation:.0%}", f"{pool.reuse_ratio:.1%}")
    counts = (f"{pool.commands:,}", f"{pool.connects:,}", f"{pool.idle_closed:,}")
    server = f"{pool.host}:{pool.port}"
    return (server, state, pool.in_use, pool.available, pool.max_connections, *shares, *counts)
