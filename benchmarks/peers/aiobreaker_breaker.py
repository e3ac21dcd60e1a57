"""aiobreaker's breaker."""

import asyncio
from datetime import timedelta

from aiobreaker import CircuitBreaker

from peers import faults
from peers.faults import Send


def half_open(callers: int) -> int:
    async def main() -> int:
        breaker = CircuitBreaker(fail_max=5, timeout_duration=timedelta(seconds=1))

        async def call(send: Send) -> object:
            return await breaker.call_async(send)

        return await faults.let_through(call, callers=callers, open_s=1.1)

    return asyncio.run(main())
