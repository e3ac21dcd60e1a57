"""Redis over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from runwright.server.reference import documented
from runwright.server.wire import Answer, served
from runwright.service.redis import RedisReport

router = APIRouter(prefix="/api/v1", tags=["redis"])


@router.get("/redis", **documented(RedisReport))
async def get_redis(request: Request) -> Response:
    """The pools of connections to Redis, and whether it is there."""
    return Answer(await served(request).redis.stats())
