"""cashews, in memory, with its lock against stampedes."""

import asyncio

from cashews import Cache

from peers import faults
from peers.faults import Send


async def _cached() -> "faults.Callable[[Send], faults.Awaitable[object]]":
    cache = Cache()
    cache.setup("mem://")
    sends: list[Send] = []

    @cache(ttl="1h", lock=True, key="answer")
    async def asked() -> object:
        return await sends[-1]()

    async def call(send: Send) -> object:
        sends.append(send)
        return await asked()

    return call


def stampede(askers: int) -> int:
    async def main() -> int:
        return await faults.stampede(await _cached(), askers=askers)

    return asyncio.run(main())


def followers(followers: int) -> dict[str, int]:
    async def main() -> dict[str, int]:
        return await faults.followers_served(await _cached(), followers=followers)

    return asyncio.run(main())
