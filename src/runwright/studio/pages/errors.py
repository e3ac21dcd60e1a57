"""What failed, grouped, with an example of each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.service.error_views import ErrorQuery, ErrorReport
from runwright.studio.page import Ask, Page


class ErrorsView(msgspec.Struct, frozen=True, kw_only=True):
    """What failed, and what was asked for."""

    report: ErrorReport
    since: str
    until: str
    agent: str
    template: str
    code: str
    agents: Sequence[str]
    templates: Sequence[str]


async def show_errors(ask: Ask) -> ErrorsView:
    """What failed in a span of time. Raises InvalidRequest."""
    asked = ask.query
    query = ErrorQuery(
        since=asked.get("since", "7d"),
        until=asked.get("until"),
        agent=asked.get("agent"),
        template=asked.get("template"),
        code=asked.get("code"),
    )
    registry = ask.app.registry
    return ErrorsView(
        report=await ask.app.stats.errors(query),
        since=query.since or "",
        until=query.until or "",
        agent=query.agent or "",
        template=query.template or "",
        code=query.code or "",
        agents=sorted(entry.agent.name for entry in registry.all()),
        templates=sorted({template.name for template in registry.templates.every()}),
    )


PAGES = (Page(path="/errors", view=show_errors, template="errors.html", title="Errors", nav="Errors"),)
