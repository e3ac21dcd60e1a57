"""Threads over HTTP."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from runwright.server.reference import documented
from runwright.server.runs import Limit
from runwright.server.wire import Answer, decode, read_body, served
from runwright.service.threads import ThreadBody, ThreadChange, ThreadMessages, ThreadView
from runwright.service.views import Page

router = APIRouter(prefix="/api/v1/threads", tags=["threads"])

_thread_body = msgspec.json.Decoder(ThreadBody)
_thread_change = msgspec.json.Decoder(ThreadChange)


@router.get("", **documented(Page[ThreadView]))
async def list_threads(
    request: Request, *, user: str | None = None, after: str | None = None, limit: Limit = 50
) -> Response:
    """Threads, newest first."""
    return Answer(await served(request).threads.list(user=user, after=after, limit=limit))


@router.post("", **documented(ThreadView, body=ThreadBody, status=201))
async def create_thread(request: Request) -> Response:
    """Create a thread. A run that names an unknown thread creates it too."""
    body = await read_body(request.receive)
    asked = decode(_thread_body, body) if body.strip() else ThreadBody()
    view = await served(request).threads.create(asked)
    return Answer(view, status_code=201, headers={"location": f"/api/v1/threads/{quote(view.id, safe='')}"})


@router.get("/{thread}", **documented(ThreadView))
async def get_thread(request: Request, thread: str) -> Response:
    """One thread."""
    return Answer(await served(request).threads.get(thread))


@router.patch("/{thread}", **documented(ThreadView, body=ThreadChange))
async def patch_thread(request: Request, thread: str) -> Response:
    """Change title or metadata."""
    change = decode(_thread_change, await read_body(request.receive))
    return Answer(await served(request).threads.patch(thread, change))


@router.delete("/{thread}", **documented(None, status=204))
async def delete_thread(request: Request, thread: str) -> Response:
    """Remove a thread; its runs stay."""
    await served(request).threads.delete(thread)
    return Response(status_code=204)


@router.get("/{thread}/messages", **documented(ThreadMessages))
async def list_messages(request: Request, thread: str) -> Response:
    """The conversation up to the newest completed run, and what was left out of it."""
    return Answer(await served(request).threads.messages(thread))
