"""The pool of connections, against a real server."""

from __future__ import annotations

import asyncio
import logging

import pytest

from runwright.backends.redis import PoolOptions, RedisPool, RedisPools, Script
from runwright.errors import ConfigError, StorageError
from tests.valkey import Valkey, until

pytestmark = pytest.mark.anyio


async def test_commands_are_answered(pool: RedisPool) -> None:
    """Commands go to the server one by one or together, and their answers come back in order."""
    await pool.run("SET", "a", b"\x00\xff")
    assert await pool.run("GET", "a") == b"\x00\xff"
    assert await pool.run_all([("INCR", "n"), ("INCR", "n"), ("GET", "n")]) == [1, 2, b"2"]


async def test_scripts_are_sent_once(pool: RedisPool) -> None:
    """A script that the server does not know yet is sent, and then called by its hash."""
    script = Script("return {KEYS[1], ARGV[1]}")
    assert await pool.script(script, ["k"], [7]) == [b"k", b"7"]
    assert await pool.run("SCRIPT", "EXISTS", script.sha) == [1]
    assert await pool.script(script, ["k"], [8]) == [b"k", b"8"]


async def test_connections_are_reused(pool: RedisPool) -> None:
    """However many commands come one after the other, they share a connection."""
    for _ in range(200):
        await pool.run("PING")
    stats = pool.stats()
    assert (stats.connects, stats.available, stats.in_use) == (1, 1, 0)
    assert stats.commands >= 200
    assert stats.reuse_ratio >= 0.99


async def test_no_more_connections_than_allowed(shared_valkey: Valkey) -> None:
    """Commands beyond the most connections wait for one."""
    pool = RedisPool(PoolOptions(url=shared_valkey.url, max_connections=3))
    await pool.open()
    await asyncio.gather(*(pool.run("PING") for _ in range(50)))
    stats = pool.stats()
    assert stats.connects == stats.available == 3
    assert not stats.is_away
    await pool.close()


async def test_waiting_for_a_connection_has_an_end(shared_valkey: Valkey) -> None:
    """Where all connections are busy for too long a command fails, and the server does not count as away."""
    pool = RedisPool(PoolOptions(url=shared_valkey.url, max_connections=1, wait_s=0.05, timeout_s=10))
    await pool.open()
    blocking = asyncio.create_task(pool.run("BLPOP", "nothing", 5))
    await until(lambda: pool.stats().in_use == 1)
    with pytest.raises(StorageError, match="No connection available"):
        await pool.run("PING")
    assert not pool.is_away
    assert pool.stats().utilisation == 1.0
    blocking.cancel()
    other = RedisPool(PoolOptions(url=shared_valkey.url))
    await other.run("LPUSH", "nothing", "x")
    assert await pool.run("ECHO", "mine") == b"mine"
    await pool.close()
    await other.close()


async def test_cancelled_callers_mix_up_no_answers(pool: RedisPool) -> None:
    """A caller that is cancelled at any moment leaves a connection whose next answer is the next caller's own."""
    for steps in range(12):
        task = asyncio.create_task(pool.run("ECHO", f"lost {steps}"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await pool.run("ECHO", f"mine {steps}") == f"mine {steps}".encode()
    await until(lambda: pool.stats().in_use == 0)


async def test_the_answer_of_a_cancelled_caller(pool: RedisPool) -> None:
    """What a cancelled caller's command gave can be told to somebody, to take it back."""
    late: list[object] = []
    task = asyncio.create_task(pool.run("INCR", "n", late=late.append))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await until(lambda: late == [1])


async def test_idle_connections_are_closed(shared_valkey: Valkey) -> None:
    """Connections that nobody uses are closed after a while, and made again when they are needed."""
    pool = RedisPool(PoolOptions(url=shared_valkey.url, idle_s=0.05))
    await pool.open()
    await asyncio.gather(*(pool.run("PING") for _ in range(5)))
    await until(lambda: pool.stats().idle_closed == pool.stats().connects)
    assert pool.stats().available == 0
    assert await pool.run("ECHO", "again") == b"again"
    await pool.close()


async def test_a_closed_pool(shared_valkey: Valkey) -> None:
    """Closing finishes what was begun, closes every connection, and refuses what comes after."""
    pool = RedisPool(PoolOptions(url=shared_valkey.url))
    await pool.open()
    begun = asyncio.create_task(pool.run("ECHO", "begun"))
    await asyncio.sleep(0)
    await pool.close()
    assert await begun == b"begun"
    stats = pool.stats()
    assert (stats.is_closed, stats.available, stats.in_use) == (True, 0, 0)
    with pytest.raises(StorageError, match="closed"):
        await pool.run("PING")


async def test_a_command_that_fails_while_a_pool_is_closed(shared_valkey: Valkey) -> None:
    """A closed pool leaves nothing behind, also where its last command finds the server away."""
    before = asyncio.all_tasks()
    pool = RedisPool(PoolOptions(url=shared_valkey.url, timeout_s=0.1))
    begun = asyncio.create_task(pool.run("BLPOP", "nothing", 1))
    await until(lambda: pool.stats().in_use == 1)
    await pool.close()
    with pytest.raises(StorageError, match="Timeout"):
        await begun
    assert pool.is_away
    assert asyncio.all_tasks() == before


async def test_one_pool_a_server(shared_valkey: Valkey) -> None:
    """All who ask for the same server get the same pool."""
    pools = RedisPools()
    one = await pools.pool(PoolOptions(url=shared_valkey.url))
    assert await pools.pool(PoolOptions(url=shared_valkey.url)) is one
    assert [stats.port for stats in pools.stats()] == [shared_valkey.port]
    await pools.close()
    assert one.stats().is_closed


async def test_a_server_that_goes_and_comes_back(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """A server that goes is told once, commands fail at once meanwhile, and it is found when it is back."""
    caplog.set_level(logging.WARNING, logger="runwright.redis")
    pool = RedisPool(PoolOptions(url=valkey.url))
    told: list[str] = []
    pool.when_back(lambda: told.append("back"))
    await pool.open()
    await pool.run("SET", "a", "b")
    await asyncio.to_thread(valkey.stop)
    for _ in range(20):
        with pytest.raises(StorageError, match="cannot be asked"):
            await pool.run("GET", "a")
    assert pool.is_away
    assert pool.stats().error
    assert [record.message.split(": ")[0] for record in caplog.records] == [f"Redis at 127.0.0.1:{valkey.port} is away"]
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    assert await pool.run("GET", "a") is None
    assert told == ["back"]
    assert len(caplog.records) == 2
    await pool.close()


async def test_a_server_that_is_not_there_at_the_start(valkey: Valkey) -> None:
    """A pool opens without its server, and finds it when it comes."""
    valkey.stop()
    pool = RedisPool(PoolOptions(url=valkey.url))
    await pool.open()
    assert pool.is_away
    await asyncio.to_thread(valkey.start)
    await until(lambda: not pool.is_away)
    assert await pool.run("ECHO", "x") == b"x"
    await pool.close()


async def test_a_pool_closes_while_its_server_is_away(valkey: Valkey) -> None:
    """A pool whose server is away is closed at once, and looks no more."""
    valkey.stop()
    pool = RedisPool(PoolOptions(url=valkey.url))
    await pool.open()
    await pool.close()
    assert pool.stats().is_closed


async def test_a_password_is_never_shown(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """Neither errors nor logs nor statistics show the password of the URL."""
    opener = RedisPool(PoolOptions(url=valkey.url))
    await opener.run("CONFIG", "SET", "requirepass", "right-password")
    await opener.close()
    caplog.set_level(logging.DEBUG)
    wrong = valkey.url.replace("redis://", "redis://:wrong-password@")
    pool = RedisPool(PoolOptions(url=wrong))
    await pool.open()
    with pytest.raises(StorageError) as refused:
        await pool.run("PING")
    for text in (caplog.text, str(refused.value), repr(pool.stats()), pool.place):
        assert "wrong-password" not in text
    assert pool.is_away
    await pool.close()
    right = RedisPool(PoolOptions(url=valkey.url.replace("redis://", "redis://:right-password@")))
    await right.open()
    assert await right.run("ECHO", "x") == b"x"
    await right.close()


async def test_what_the_server_refuses(pool: RedisPool, caplog: pytest.LogCaptureFixture) -> None:
    """A command that the server refuses fails alone: the server is not away, and the same refusal is told once."""
    await pool.run("SET", "text", "x")
    for _ in range(3):
        with pytest.raises(StorageError, match="wrong kind"):
            await pool.run("LPUSH", "text", "y")
    assert not pool.is_away
    assert len(caplog.records) == 1


@pytest.mark.parametrize("url", ["http://:secret-word@host", "redis://:secret-word@host:port"])
async def test_urls_that_cannot_be_read(url: str) -> None:
    """A URL that cannot be read is a mistake of the settings, told without its password."""
    with pytest.raises(ConfigError, match="redis://HOST:PORT") as refused:
        RedisPool(PoolOptions(url=url))
    assert "secret-word" not in str(refused.value)
