"""aiocache, in memory: its plain decorator, which the documentation shows first."""

import asyncio

from aiocache import cached

from peers import faults
from peers.faults import Send


def _cached() -> "faults.Callable[[Send], faults.Awaitable[object]]":
    sends: list[Send] = []

    @cached(ttl=3600, key="answer")
    async def asked() -> object:
        return await sends[-1]()

    async def call(send: Send) -> object:
        sends.append(send)
        return await asked()

    return call


def stampede(askers: int) -> int:
    async def main() -> int:
        return await faults.stampede(_cached(), askers=askers)

    return asyncio.run(main())


def followers(followers: int) -> dict[str, int]:
    async def main() -> dict[str, int]:
        return await faults.followers_served(_cached(), followers=followers)

    return asyncio.run(main())
