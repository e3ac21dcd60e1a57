"""Approvals over HTTP: what waits for a person, and what the person says."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from runwright.server.reference import documented
from runwright.server.wire import Answer, body_of, served
from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalView
from runwright.service.views import Page

router = APIRouter(prefix="/api/v1/approvals", tags=["approvals"])

Limit = Annotated[int, Query(ge=1, le=500, description="Items on a page.")]

_body = msgspec.json.Decoder(ApprovalBody)


@router.get("", **documented(Page[ApprovalView]))
async def list_approvals(
    request: Request,
    *,
    run: str | None = None,
    agent: str | None = None,
    user: str | None = None,
    after: str | None = None,
    limit: Limit = 50,
) -> Response:
    """The tool calls and questions that wait for a person, those of the newest run first."""
    where = ApprovalQuery(run=run, agent=agent, user=user, after=after, limit=limit)
    return Answer(await served(request).approvals.find(where))


@router.get("/{approval}", **documented(ApprovalView))
async def get_approval(request: Request, approval: str) -> Response:
    """One of them, also when somebody has spoken of it."""
    return Answer(await served(request).approvals.get(approval))


@router.post("/{approval}/resolve", **documented(ApprovalView, body=ApprovalBody))
async def resolve_approval(request: Request, approval: str) -> Response:
    """Approve, deny or answer; the run goes on. A second time is 409, which says by whom and when it was done."""
    return Answer(await served(request).approvals.resolve(approval, await body_of(request, _body)))
