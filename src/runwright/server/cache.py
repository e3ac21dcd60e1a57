"""The cache over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from runwright.server.reference import documented
from runwright.server.wire import Answer, served
from runwright.service.cache import CacheCleared, CacheSpace, CacheView

router = APIRouter(prefix="/api/v1", tags=["cache"])


class CacheParameters(BaseModel):
    """What to forget: everything, or only answers of models, results of tools, or results of runs."""

    model_config = ConfigDict(extra="forbid")

    of: CacheSpace | None = None


@router.get("/cache", **documented(CacheView))
async def get_cache(request: Request) -> Response:
    """What the cache holds, and what it did since the server started."""
    return Answer(await served(request).cache.stats())


@router.delete("/cache", **documented(CacheCleared))
async def clear_cache(request: Request, asked: Annotated[CacheParameters, Query()]) -> Response:
    """Forget what is kept."""
    return Answer(await served(request).cache.clear(asked.of))
