"""The single calls behind a sum of costs, each with its step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec

from runwright.core.cost import CallOrder
from runwright.errors import InvalidRequest
from runwright.service.call_views import CallQuery, CallView
from runwright.service.views import Page as ListPage
from runwright.studio.page import Ask, Page

ORDERS: tuple[CallOrder, ...] = get_args(CallOrder)
ASKED = tuple(name for name in CallQuery.__struct_fields__ if name != "limit")


class CallsView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of calls, and what was asked for."""

    calls: ListPage[CallView]
    asked: CallQuery
    agents: Sequence[str]
    orders: Sequence[CallOrder] = ORDERS


async def list_calls(ask: Ask) -> CallsView:
    """A page of calls. Raises InvalidRequest."""
    try:
        asked = msgspec.convert({name: ask.query[name] for name in ASKED if name in ask.query}, CallQuery)
    except msgspec.ValidationError as error:
        raise InvalidRequest("These calls cannot be listed.", problems=[("", str(error))]) from error
    return CallsView(
        calls=await ask.app.costs.calls(asked),
        asked=asked,
        agents=sorted({entry.agent.name for entry in ask.app.registry.all()}),
    )


PAGES = (Page(path="/costs/calls", view=list_calls, template="calls.html", title="Calls"),)
