"""Stats over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from runwright.core.stats import StatKey, StatKind
from runwright.server.reference import documented
from runwright.server.wire import Answer, queried, served
from runwright.service.error_views import ErrorQuery, ErrorReport
from runwright.service.stat_views import StatQuery, StatReport

router = APIRouter(prefix="/api/v1", tags=["stats"])


class StatParameters(BaseModel):
    """What to count: what ended in the hours from `since` until before `until`: `2026-11-01`, or an age, as `30d`."""

    model_config = ConfigDict(extra="forbid")

    by: StatKey = "day"
    kind: StatKind = "model"
    since: str | None = "30d"
    until: str | None = None
    agent: str | None = None
    template: str | None = None


class ErrorParameters(BaseModel):
    """Which failed runs to group: those that began from `since` until before `until`: `2026-11-01`, or an age."""

    model_config = ConfigDict(extra="forbid")

    since: str | None = "7d"
    until: str | None = None
    agent: str | None = None
    template: str | None = None
    code: str | None = None


@router.get("/stats", **documented(StatReport))
async def get_stats(request: Request, asked: Annotated[StatParameters, Query()]) -> Response:
    """Calls, errors, tokens, cost and percentiles of durations, by time, by what did it, or by who asked for it."""
    return Answer(await served(request).stats.report(queried(asked.model_dump(), StatQuery)))


@router.get("/errors", **documented(ErrorReport))
async def get_errors(request: Request, asked: Annotated[ErrorParameters, Query()]) -> Response:
    """What failed, grouped by agent, code and message, the most frequent first."""
    return Answer(await served(request).stats.errors(queried(asked.model_dump(), ErrorQuery)))
