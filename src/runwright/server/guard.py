"""The guard over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from runwright.server.reference import documented
from runwright.server.wire import Answer, body_of, queried, served
from runwright.service.guard import GuardQuery, GuardReport
from runwright.service.simulation_views import SimulationQuery, SimulationReport

router = APIRouter(prefix="/api/v1", tags=["guard"])

_simulation_query = msgspec.json.Decoder(SimulationQuery)


class GuardParameters(BaseModel):
    """Calls that ended from the hour of then on: `2026-11-01`, or an age, as `7d`; of one model or tool, or of all."""

    model_config = ConfigDict(extra="forbid")

    target: str | None = None
    since: str | None = "7d"


@router.get("/guard", **documented(GuardReport))
async def get_guard(request: Request, asked: Annotated[GuardParameters, Query()]) -> Response:
    """How calls fare with resends, by model and tool, the state of breakers, retry buckets, limits, and budgets now."""
    return Answer(await served(request).guard.report(queried(asked.model_dump(), GuardQuery)))


@router.post("/guard/simulate", **documented(SimulationReport, body=SimulationQuery))
async def post_simulation(request: Request) -> Response:
    """What other policies would have made of the recorded calls of an agent, beside the record and today's policies."""
    return Answer(await served(request).simulations.report(await body_of(request, _simulation_query)))
