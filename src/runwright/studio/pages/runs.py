"""The list of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec

from runwright.core.ports import RunFilter
from runwright.core.run import RunStatus
from runwright.errors import InvalidRequest
from runwright.service.views import Page as Listed
from runwright.service.views import RunView
from runwright.studio.page import Action, Ask, Page

ON_A_PAGE = 50
FILTERS = ("agent", "status", "thread_id", "group", "user", "tag")
STATUSES: tuple[str, ...] = get_args(RunStatus)


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of runs, newest first, and what was asked for. `position` is where the store stood before."""

    position: int
    runs: Listed[RunView]
    where: dict[str, str]
    statuses: Sequence[str] = STATUSES


async def list_runs(ask: Ask) -> RunList:
    """A page of runs. Raises InvalidRequest for a status that does not exist."""
    where = {name: ask.query[name] for name in FILTERS if name in ask.query}
    status = where.get("status")
    if status is not None and status not in STATUSES:
        detail = f"one of {', '.join(STATUSES)}, not {status[:40]!r}"
        raise InvalidRequest(f"The status is {detail}.", problems=[("/status", detail)])
    after = ask.query.get("after")
    asked = msgspec.convert({**where, "after": after, "limit": ON_A_PAGE}, RunFilter)
    position = await ask.app.live.position()
    return RunList(position=position, runs=await ask.app.runs.find(asked), where=where)


PAGES = (Page(path="/runs", view=list_runs, template="runs.html", title="Runs", nav="Runs"),)
ACTIONS: tuple[Action, ...] = ()
