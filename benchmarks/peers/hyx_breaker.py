"""hyx's breaker."""

import asyncio

from hyx.circuitbreaker import consecutive_breaker

from peers import faults
from peers.faults import Send


def half_open(callers: int) -> int:
    async def main() -> int:
        breaker = consecutive_breaker(failure_threshold=5, recovery_time_secs=1, recovery_threshold=1)

        async def call(send: Send) -> object:
            async with breaker:
                return await send()

        return await faults.let_through(call, callers=callers, open_s=1.1)

    return asyncio.run(main())
