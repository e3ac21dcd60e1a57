"""Redis over HTTP."""

import httpx2


async def test_without_redis(client: httpx2.AsyncClient) -> None:
    """Where no Redis is set there are no pools."""
    assert (await client.get("/api/v1/redis")).json() == {"object": "redis_report", "data": []}
