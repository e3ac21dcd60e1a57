"""Groups over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from runwright.server.reference import documented
from runwright.server.wire import Answer, served
from runwright.service.groups import GroupView

router = APIRouter(prefix="/api/v1/groups", tags=["groups"])

Steps = Annotated[int, Query(ge=0, le=5000, description="So many steps of all runs, in the order of time.")]


@router.get("/{group:path}", **documented(GroupView))
async def get_group(request: Request, group: str, steps: Steps = 0) -> Response:
    """The runs that carry a label, as one story with totals."""
    return Answer(await served(request).groups.get(group, steps=steps))
