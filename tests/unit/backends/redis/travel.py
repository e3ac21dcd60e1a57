"""Lets time pass at a real server, whose clock nobody can move: every time that it holds becomes earlier."""

from __future__ import annotations

from runwright.backends.redis import RedisPool

TIMES = (b"r", b"t", b"until", b"leased")


async def pass_time(pool: RedisPool, seconds: float) -> None:
    """Let so many seconds pass for limits, breakers and reservations."""
    micros = round(seconds * 1_000_000)
    for key in await pool.run("KEYS", "runwright:*"):
        kind = str(await pool.run("TYPE", key))
        if "hash" in kind:
            await _move_fields(pool, key, micros)
        elif "zset" in kind:
            for member in await pool.run("ZRANGE", key, 0, -1):
                await pool.run("ZINCRBY", key, -micros, member)


async def _move_fields(pool: RedisPool, key: bytes, micros: int) -> None:
    for field in await pool.run("HKEYS", key):
        if field in TIMES and await pool.run("HGET", key, field) != b"0":
            await pool.run("HINCRBY", key, field, -micros)
