"""What is particular to entries in Redis; what every store of entries does is tested with the port."""

from __future__ import annotations

import pytest

from runwright.backends.redis import RedisKeyValue, RedisPool
from runwright.core.sizes import Share

pytestmark = pytest.mark.anyio


async def test_all_processes_share_entries(pool: RedisPool) -> None:
    """What one store of entries holds, another one over the same server finds; one with another prefix does not."""
    await RedisKeyValue(pool).set("model", b"k", b"v", ttl_s=10)
    assert await RedisKeyValue(pool).get("model", b"k") == b"v"
    assert await RedisKeyValue(pool, prefix="other").get("model", b"k") is None


async def test_thousands_of_entries(pool: RedisPool) -> None:
    """Many entries are counted and cleared piece by piece, and nothing else of the server is touched."""
    held = RedisKeyValue(pool)
    await pool.run_all([("SET", f"runwright:cache:model:{n}", "xxx", "PX", 60_000) for n in range(3000)])
    await pool.run_all([("SET", f"runwright:cache:tool:{n}", "yy", "PX", 60_000) for n in range(700)])
    await pool.run("SET", "of somebody else", "x")
    size = await held.size()
    assert size.spaces == (Share(name="model", count=3000, bytes=9000), Share(name="tool", count=700, bytes=1400))
    assert await held.clear("model") == 3000
    assert await held.clear() == 700
    assert await pool.run("KEYS", "*") == [b"of somebody else"]


async def test_namespaces_are_texts_not_patterns(pool: RedisPool) -> None:
    """Clearing a namespace whose name looks like a pattern clears that namespace alone."""
    held = RedisKeyValue(pool, prefix="a[b]*")
    for space in ("mo*", "model"):
        await held.set(space, b"k", b"v", ttl_s=10)
    assert await held.clear("mo*") == 1
    assert await held.get("model", b"k") == b"v"


async def test_the_server_forgets(pool: RedisPool) -> None:
    """What is past its time is gone at the server."""
    held = RedisKeyValue(pool)
    await held.set("a", b"short", b"v", ttl_s=10)
    await held.set("a", b"long", b"v", ttl_s=1000)
    await pool.run("PEXPIRE", "runwright:cache:a:short", -1)
    assert (await held.size()).spaces == (Share(name="a", count=1, bytes=1),)


async def test_the_limit_is_the_servers(pool: RedisPool) -> None:
    """The size tells how much memory the server may use, if it has a bound."""
    held = RedisKeyValue(pool)
    assert (await held.size()).limit is None
    await pool.run("CONFIG", "SET", "maxmemory", "100mb")
    assert (await held.size()).limit == 100 << 20
    await pool.run("CONFIG", "SET", "maxmemory", "0")
