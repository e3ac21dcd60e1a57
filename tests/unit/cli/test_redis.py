"""`runwright redis`."""

import msgspec
from inline_snapshot import snapshot

from runwright.cli.redis import stats
from runwright.core.pool import PoolStats
from runwright.service.redis import RedisFigures, RedisReport
from tests.unit.cli.fakes import FakeAccess, FakeCall

POOL = PoolStats(
    host="10.0.0.5",
    port=6379,
    max_connections=16,
    available=3,
    in_use=4,
    utilisation=0.25,
    reuse_ratio=0.9942,
    commands=1200,
    connects=7,
    idle_closed=2,
    is_closed=False,
    is_away=False,
)
AWAY = msgspec.structs.replace(POOL, host="10.0.0.6", is_away=True, error="Connection refused")


async def test_stats_are_a_table() -> None:
    """Each server with its state and what its pool did, then why one is away."""
    call = FakeCall(FakeAccess(redis=RedisFigures(lambda: (POOL, AWAY))))
    await stats(call=call)
    assert call.printed == snapshot("""\
SERVER	STATE	IN USE	AVAILABLE	MAX	USED	REUSE	COMMANDS	CONNECTS	IDLE CLOSED
10.0.0.5:6379	there	4	3	16	25%	99.4%	1,200	7	2
10.0.0.6:6379	away	4	3	16	25%	99.4%	1,200	7	2
10.0.0.6:6379: Connection refused
""")


async def test_without_redis() -> None:
    """Where no Redis is set, that is said, and with `--json` the list is empty."""
    call = FakeCall(FakeAccess(redis=RedisFigures(tuple)))
    await stats(call=call)
    assert "RUNWRIGHT_REDIS__URL" in call.printed
    call = FakeCall(FakeAccess(redis=RedisFigures(tuple)), is_json=True)
    await stats(call=call)
    assert msgspec.json.decode(call.printed, type=RedisReport).data == []
