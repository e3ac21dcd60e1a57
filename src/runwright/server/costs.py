"""Costs over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from runwright.core.cost import CostBy
from runwright.server.reference import documented
from runwright.server.wire import Answer, body_of, served
from runwright.service.views import CostQuery, CostReport, RunCost

router = APIRouter(prefix="/api/v1", tags=["costs"])

_query = msgspec.json.Decoder(CostQuery)


class CostParameters(BaseModel):
    """What to sum up: calls that ended from `since` until before `until`: `2026-11-01`, or how long ago, as `30d`."""

    model_config = ConfigDict(extra="forbid")

    by: CostBy = "model"
    since: str | None = None
    until: str | None = None
    agent: str | None = None
    on_model: str | None = None


@router.get("/costs", **documented(CostReport))
async def get_costs(request: Request, asked: Annotated[CostParameters, Query()]) -> Response:
    """What calls cost by agent, model, day, group or user; with `on_model` what they would cost on another model."""
    return Answer(await served(request).costs.report(CostQuery(**asked.model_dump())))


@router.post("/costs", **documented(CostReport, body=CostQuery))
async def ask_costs(request: Request) -> Response:
    """The same with `prices`, the text of a file of prices: what calls would cost at these. Changes nothing."""
    return Answer(await served(request).costs.report(await body_of(request, _query)))


@router.get("/runs/{run}/cost", **documented(RunCost))
async def get_run_cost(request: Request, run: str) -> Response:
    """What a run cost, step by step and line by line."""
    return Answer(await served(request).costs.run(run))
