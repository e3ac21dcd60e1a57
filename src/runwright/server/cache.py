"""The cache over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from runwright.server.auth import caller
from runwright.server.reference import documented
from runwright.server.wire import Answer, body_of, served
from runwright.service.cache import CacheCleared, CacheSpace, CacheView
from runwright.service.similar import JudgeBody, PairQuery, PairView, ShadowQuery, ShadowReport
from runwright.service.views import Page

router = APIRouter(prefix="/api/v1", tags=["cache"])

_judge_body = msgspec.json.Decoder(JudgeBody)


class CacheParameters(BaseModel):
    """What to forget: everything, or only answers of models, results of tools, or results of runs."""

    model_config = ConfigDict(extra="forbid")

    of: CacheSpace | None = None


class ShadowParameters(BaseModel):
    """Of which agent; of all when left out."""

    model_config = ConfigDict(extra="forbid")

    agent: str | None = None


class PairParameters(BaseModel):
    """Which pairs: of one agent, and those that were judged instead of those to be judged."""

    model_config = ConfigDict(extra="forbid")

    agent: str | None = None
    judged: bool = False
    limit: int = Field(default=20, ge=1, le=100)


@router.get("/cache", **documented(CacheView))
async def get_cache(request: Request) -> Response:
    """What the cache holds, and what it did since the server started."""
    return Answer(await served(request).cache.stats())


@router.delete("/cache", **documented(CacheCleared))
async def clear_cache(request: Request, asked: Annotated[CacheParameters, Query()]) -> Response:
    """Forget what is kept."""
    return Answer(await served(request).cache.clear(asked.of))


@router.get("/cache/shadow", **documented(ShadowReport))
async def get_shadow(request: Request, asked: Annotated[ShadowParameters, Query()]) -> Response:
    """How often answers to similar questions would have been wrong, and what is missing to switch them on."""
    return Answer(await served(request).similar.report(ShadowQuery(agent=asked.agent)))


@router.get("/cache/pairs", **documented(Page[PairView]))
async def list_pairs(request: Request, asked: Annotated[PairParameters, Query()]) -> Response:
    """Pairs of similar questions whose answers differ, those first that are the most likely to be wrong."""
    query = PairQuery(agent=asked.agent, judged=asked.judged, limit=asked.limit)
    return Answer(await served(request).similar.pairs(query))


@router.post("/cache/pairs/{run}/{step}", **documented(PairView, body=JudgeBody))
async def judge_pair(request: Request, run: str, step: int) -> Response:
    """Say whether the kept answer would have done as well."""
    body = await body_of(request, _judge_body)
    by = body.by or caller(request.scope)
    return Answer(await served(request).similar.judge(run, step, msgspec.structs.replace(body, by=by)))
