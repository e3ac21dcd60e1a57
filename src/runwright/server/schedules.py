"""Schedules over HTTP."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from runwright.core.labels import LARGEST
from runwright.core.schedule import Schedule
from runwright.server.reference import documented
from runwright.server.runs import Limit, claim_of
from runwright.server.wire import Answer, body_of, decode, read_body, served
from runwright.service.schedules import FiringView, ScheduleView, TriggerView
from runwright.service.views import Page

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])

_data = msgspec.json.Decoder(dict[str, object])

Before = Annotated[int | None, Query(ge=0, le=LARGEST, description="The number of the last firing that is known.")]


def _key(request: Request, body: bytes) -> str | None:
    claim = claim_of(request.scope, body)
    return None if claim is None else f"{claim.scope} {claim.key}"


@router.get("", **documented(Page[ScheduleView]))
async def list_schedules(
    request: Request, *, agent: str | None = None, after: str | None = None, limit: Limit = 50
) -> Response:
    """Schedules by name."""
    return Answer(await served(request).schedules.find(agent=agent, after=after, limit=limit))


@router.post("", **documented(ScheduleView, body=Schedule, status=201))
async def create_schedule(request: Request) -> Response:
    """Make a schedule. With an Idempotency-Key a repeat gives the one that is there."""
    body = await read_body(request.receive)
    view = await served(request).schedules.create(decode(_data, body), key=_key(request, body))
    return Answer(view, status_code=201, headers={"location": f"/api/v1/schedules/{quote(view.name, safe='')}"})


@router.get("/{schedule}", **documented(ScheduleView))
async def get_schedule(request: Request, schedule: str) -> Response:
    """One schedule."""
    return Answer(await served(request).schedules.get(schedule))


@router.put("/{schedule}", **documented(ScheduleView, body=Schedule))
async def replace_schedule(request: Request, schedule: str) -> Response:
    """Replace a schedule; what it did stays."""
    return Answer(await served(request).schedules.update(schedule, await body_of(request, _data)))


@router.patch("/{schedule}", **documented(ScheduleView, body=Schedule))
async def patch_schedule(request: Request, schedule: str) -> Response:
    """Change parts of a schedule by a JSON merge patch (RFC 7396)."""
    return Answer(await served(request).schedules.patch(schedule, await body_of(request, _data)))


@router.delete("/{schedule}", **documented(None, status=204))
async def delete_schedule(request: Request, schedule: str) -> Response:
    """Forget a schedule; its runs stay."""
    await served(request).schedules.delete(schedule)
    return Response(status_code=204)


@router.post("/{schedule}/pause", **documented(ScheduleView))
async def pause_schedule(request: Request, schedule: str) -> Response:
    """Let nothing begin until the schedule is resumed."""
    return Answer(await served(request).schedules.pause(schedule))


@router.post("/{schedule}/resume", **documented(ScheduleView))
async def resume_schedule(request: Request, schedule: str) -> Response:
    """Go on with the next time to come."""
    return Answer(await served(request).schedules.resume(schedule))


@router.post("/{schedule}/trigger", **documented(TriggerView, status=202))
async def trigger_schedule(request: Request, schedule: str) -> Response:
    """Start a run now, whatever the schedule does. With an Idempotency-Key a repeat gives the same run."""
    body = await read_body(request.receive)
    view = await served(request).schedules.trigger(schedule, key=_key(request, body))
    return Answer(view, status_code=202, headers={"location": f"/api/v1/runs/{view.run_id}"})


@router.get("/{schedule}/firings", **documented(Page[FiringView]))
async def list_firings(request: Request, schedule: str, *, after: Before = None, limit: Limit = 50) -> Response:
    """What became of the times of a schedule, newest first."""
    return Answer(await served(request).schedules.firings(schedule, before=after, limit=limit))
