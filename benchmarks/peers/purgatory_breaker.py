"""purgatory's breaker."""

import asyncio

from purgatory import AsyncCircuitBreakerFactory

from peers import faults
from peers.faults import Send


def half_open(callers: int) -> int:
    async def main() -> int:
        factory = AsyncCircuitBreakerFactory(default_threshold=5, default_ttl=1)

        async def call(send: Send) -> object:
            async with await factory.get_breaker("target"):
                return await send()

        return await faults.let_through(call, callers=callers, open_s=1.1)

    return asyncio.run(main())
