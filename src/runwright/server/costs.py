"""Costs over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from runwright.core.cost import CallOrder, CostKey, Unlabelled
from runwright.server.reference import documented
from runwright.server.wire import Answer, body_of, queried, served
from runwright.service.call_views import CallQuery, CallView
from runwright.service.views import CostQuery, CostReport, Page, RunCost

router = APIRouter(prefix="/api/v1", tags=["costs"])

Limit = Annotated[int, Query(ge=1, le=500, description="Calls on a page.")]

_query = msgspec.json.Decoder(CostQuery)


class CostParameters(BaseModel):
    """What to sum up: calls that ended from `since` until before `until`: `2026-11-01`, or how long ago, as `30d`."""

    model_config = ConfigDict(extra="forbid")

    by: CostKey = "model"
    since: str | None = None
    until: str | None = None
    agent: str | None = None
    on_model: str | None = None


@router.get("/costs", **documented(CostReport))
async def get_costs(request: Request, asked: Annotated[CostParameters, Query()]) -> Response:
    """What calls cost, by what was asked for; with `on_model` what they would cost on another model."""
    return Answer(await served(request).costs.report(queried(asked.model_dump(), CostQuery)))


@router.post("/costs", **documented(CostReport, body=CostQuery))
async def ask_costs(request: Request) -> Response:
    """The same with `prices`, the text of a file of prices: what calls would cost at these. Changes nothing."""
    return Answer(await served(request).costs.report(await body_of(request, _query)))


class CallParameters(BaseModel):
    """Which calls to list: those that ended from `since` until before `until`; `without` a group or user."""

    model_config = ConfigDict(extra="forbid")

    since: str = "30d"
    until: str | None = None
    agent: str | None = None
    model: str | None = None
    group: str | None = None
    user: str | None = None
    without: Unlabelled | None = None
    order: CallOrder = "dearest"
    after: str | None = None
    limit: Limit = 50


@router.get("/costs/calls", **documented(Page[CallView]))
async def list_calls(request: Request, asked: Annotated[CallParameters, Query()]) -> Response:
    """The single calls behind the sums, the dearest or `newest` first, each with its run and step."""
    return Answer(await served(request).costs.calls(queried(asked.model_dump(), CallQuery)))


@router.get("/runs/{run}/cost", **documented(RunCost))
async def get_run_cost(request: Request, run: str) -> Response:
    """What a run cost, step by step and line by line."""
    return Answer(await served(request).costs.run(run))
