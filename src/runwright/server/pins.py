"""Pins over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from runwright.server.reference import documented
from runwright.server.wire import Answer, served
from runwright.service.pins import PinView

router = APIRouter(prefix="/api/v1", tags=["runs"])


@router.get("/runs/{run}/pin", **documented(PinView))
async def get_pin(request: Request, run: str) -> Response:
    """Whether retention leaves the run alone."""
    return Answer(await served(request).pins.get(run))


@router.post("/runs/{run}/pin", **documented(PinView))
async def pin_run(request: Request, run: str) -> Response:
    """Keep the run whatever its age, with what is needed to replay it."""
    return Answer(await served(request).pins.pin(run))


@router.post("/runs/{run}/unpin", **documented(PinView))
async def unpin_run(request: Request, run: str) -> Response:
    """Let the run go when its time comes."""
    return Answer(await served(request).pins.unpin(run))
