"""Budgets over HTTP."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from runwright.server.auth import caller
from runwright.server.reference import documented
from runwright.server.wire import Answer, body_of, served
from runwright.service.budgets import BudgetView, RaiseBody
from runwright.service.views import Page

router = APIRouter(prefix="/api/v1", tags=["costs"])

_raise_body = msgspec.json.Decoder(RaiseBody)


@router.get("/budgets", **documented(Page[BudgetView]))
async def list_budgets(request: Request) -> Response:
    """The accounts of budgets in force: limit, spent, reserved, left, and the end of the window."""
    return Answer(await served(request).budgets.find())


@router.post("/budgets/raise", **documented(Page[BudgetView], body=RaiseBody))
async def raise_budget(request: Request) -> Response:
    """Raise an account, for its window alone. Runs that wait for it go on."""
    body = await body_of(request, _raise_body)
    return Answer(await served(request).budgets.raise_to(body, by=caller(request.scope)))
