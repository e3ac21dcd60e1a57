"""What calls cost, over time and by what they were for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import msgspec

from runwright.core.cost import CostBy
from runwright.errors import InvalidRequest
from runwright.service.stat_views import StatGroup, StatQuery
from runwright.service.views import CostQuery, CostReport
from runwright.studio.page import Ask, Page

KEYS: tuple[CostBy, ...] = get_args(CostBy)
BY_HOURS = timedelta(days=4)
"""The longest span whose chart has a point an hour."""


class CostsView(msgspec.Struct, frozen=True, kw_only=True):
    """What calls cost, and the same over time: `points` are model calls by the hour or day."""

    report: CostReport
    every: Literal["hour", "day"]
    points: Sequence[StatGroup]
    since: str
    until: str
    agent: str
    on_model: str
    agents: Sequence[str]
    keys: Sequence[CostBy] = KEYS


async def show_costs(ask: Ask) -> CostsView:
    """Costs by what was asked for. Raises InvalidRequest."""
    asked = ask.query
    by: CostBy | None = next((key for key in KEYS if key == asked.get("by", "model")), None)
    if by is None:
        detail = f"one of {', '.join(KEYS)}, not {asked['by'][:40]!r}"
        raise InvalidRequest(f"What to sum up by is {detail}.", problems=[("/by", detail)])
    since, until, agent = asked.get("since", "30d"), asked.get("until"), asked.get("agent")
    on_model = asked.get("on_model")
    report = await ask.app.costs.report(CostQuery(by=by, since=since, until=until, agent=agent, on_model=on_model))
    every = _every(report)
    over_time = await ask.app.stats.report(StatQuery(by=every, kind="model", since=since, until=until, agent=agent))
    return CostsView(
        report=report,
        every=every,
        points=over_time.data,
        since=since,
        until=until or "",
        agent=agent or "",
        on_model=on_model or "",
        agents=sorted({entry.agent.name for entry in ask.app.registry.all()}),
    )


def _every(report: CostReport) -> Literal["hour", "day"]:
    until = report.until or datetime.now(UTC)
    return "hour" if report.since is not None and until - report.since <= BY_HOURS else "day"


PAGES = (Page(path="/costs", view=show_costs, template="costs.html", title="Costs", nav="Costs"),)
