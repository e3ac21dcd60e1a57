"""For operators: is it alive, ready, healthy, and what does it count."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from runwright import __version__
from runwright.errors import NotFound, error_classes
from runwright.server.reference import documented
from runwright.server.wire import Answer, decode, read_body, served
from runwright.service.drains import DrainBody, DrainView
from runwright.watch.health import ProcessHealth

router = APIRouter(tags=["operations"])
_drain_body = msgspec.json.Decoder(DrainBody)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the server needs."""

    name: str
    ok: bool
    detail: str


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """Something that will fail when its time comes, and where it stands."""

    place: str
    detail: str


class HealthView(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is, and what its agents use when they name no model."""

    status: Literal["ok", "draining", "failing"]
    version: str
    checks: list[Check]
    warnings: list[Warned]
    model: str | None
    model_reason: str
    process: ProcessHealth


class CodeView(msgspec.Struct, frozen=True, kw_only=True):
    """What the code of an error means."""

    code: str
    title: str
    status: int
    retryable: bool


@router.get("/livez")
async def livez() -> PlainTextResponse:
    """Whether the process answers. Looks at nothing else."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
async def readyz(request: Request, verbose: Annotated[str | None, Query()] = None) -> PlainTextResponse:
    """Whether the server takes work: 503 while it drains or its store cannot be written. `/health` says why.

    Whoever asks needs no key, so that only the names of the checks are told; all of them with `verbose`.
    """
    checks = await _checks(request)
    is_ready = all(check.ok for check in checks)
    word = "ready" if is_ready else "not ready"
    shown = [f"{'ok' if each.ok else 'failing'} {each.name}" for each in checks if verbose is not None or not each.ok]
    return PlainTextResponse("\n".join([*shown, word]) + "\n", status_code=200 if is_ready else 503)


@router.get("/health", **documented(HealthView))
async def health(request: Request) -> Response:
    """How the server is in detail. The status is 503 where `/readyz` says so."""
    app = served(request)
    checks = await _checks(request)
    is_ready = all(check.ok for check in checks)
    default = app.models.default_ref
    view = HealthView(
        status="draining" if app.engine.drain.is_begun else "ok" if is_ready else "failing",
        version=__version__,
        checks=checks,
        warnings=[
            Warned(place=place, detail=detail) for place, detail in await asyncio.to_thread(app.schedules.troubles)
        ],
        model=default.ref,
        model_reason=default.reason,
        process=await asyncio.to_thread(app.health.measure),
    )
    return Answer(view, status_code=200 if is_ready else 503)


@router.post("/api/v1/drain", **documented(DrainView, body=DrainBody, status=202))
async def begin_drain(request: Request) -> Response:
    """Begin no more runs, and let those at work finish; the server is not ready any more."""
    body = await read_body(request.receive)
    asked = decode(_drain_body, body) if body.strip() else DrainBody()
    return Answer(await served(request).drains.begin(asked), status_code=202)


@router.get("/api/v1/drain", **documented(DrainView))
async def get_drain(request: Request) -> Response:
    """How far a drain is."""
    return Answer(await served(request).drains.get())


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus text."""
    app = served(request)
    counted = app.metrics
    if counted is None:
        raise NotFound("Metrics are off: set RUNWRIGHT_METRICS=true.")
    counted.guard.show(app.guard.levels())
    counted.guard.show_budgets(await app.budgets.levels())
    body, media_type = await asyncio.to_thread(counted.render)
    return Response(body, media_type=media_type)


@router.get("/errors/{code}", **documented(CodeView))
async def error_code(code: str) -> Response:
    """What the code of an error means: the page that a problem's `type` names."""
    found = error_classes().get(code)
    if found is None:
        raise NotFound(f"There is no error code {code!r}.")
    title = (found.__doc__ or code).strip().partition("\n")[0]
    return Answer(CodeView(code=code, title=title, status=found.status, retryable=found.retryable))


async def _checks(request: Request) -> list[Check]:
    return [Check(name=name, ok=ok, detail=detail) for name, ok, detail in await served(request).ready()]
