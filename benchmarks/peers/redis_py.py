"""redis-py on a real Valkey: one client whose hits are compared, and a connection for each command."""

import asyncio
import os

import redis.asyncio as redis

from peers import servers

VALUE = os.urandom(4096)


def loop_hit(calls: int) -> float:
    async def main() -> float:
        async with servers.running() as port, redis.Redis(host="127.0.0.1", port=port) as client:
            await client.set("key", VALUE)
            return await servers.median_us(lambda: client.get("key"), calls)

    return asyncio.run(main())


def pool(calls: int, delay_s: float) -> dict[str, float]:
    """A connection for each command."""

    async def main() -> dict[str, float]:
        async with servers.running(delay_s) as port:

            async def once() -> None:
                async with redis.Redis(host="127.0.0.1", port=port) as client:
                    await client.set("key", VALUE)

            return {"us": await servers.median_us(once, calls)}

    return asyncio.run(main())
