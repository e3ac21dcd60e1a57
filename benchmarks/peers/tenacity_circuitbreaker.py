"""tenacity around circuitbreaker, as people stack them: three attempts, full jitter, a breaker inside."""

import asyncio

from circuitbreaker import CircuitBreaker
from tenacity import AsyncRetrying, retry, stop_after_attempt, wait_random_exponential

from peers import faults
from peers.faults import Send
from peers.virtual import run_virtual


def cost(calls: int) -> float:
    sends: list[Send] = []
    breaker = CircuitBreaker(name="cost", failure_threshold=5, recovery_timeout=30)

    @retry(stop=stop_after_attempt(3), wait=wait_random_exponential(0.5, max=20), reraise=True)
    @breaker
    async def guarded() -> object:
        return await sends[-1]()

    async def call(send: Send) -> object:
        return await guarded()

    async def main() -> float:
        async def bare() -> str:
            return "answer"

        sends.append(bare)
        return await faults.cost_us(call, calls)

    return asyncio.run(main())


def _retrying(attempts: int) -> AsyncRetrying:
    return AsyncRetrying(stop=stop_after_attempt(attempts), wait=wait_random_exponential(0.5, max=20), reraise=True)


async def _call(send: Send) -> object:
    return await _retrying(3)(send)


def success(share: float, calls: int, attempts: int, seed: int) -> float:
    async def call(send: Send) -> object:
        return await _retrying(attempts)(send)

    return run_virtual(faults.success(call, share=share, calls=calls, seed=seed))


def outage(calls: int, skip: int) -> float:
    return run_virtual(faults.outage(_call, calls=calls, skip=skip))


def half_open(callers: int) -> int:
    breaker = CircuitBreaker(name="half-open", failure_threshold=5, recovery_timeout=1)

    async def call(send: Send) -> object:
        return await breaker.call_async(send)

    # circuitbreaker reads the machine's clock.
    return asyncio.run(faults.let_through(call, callers=callers, open_s=1.1))
