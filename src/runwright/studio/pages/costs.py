"""What calls cost, over time and by what they were for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import msgspec

from runwright.core.cost import CostKey
from runwright.errors import InvalidRequest
from runwright.service.stat_views import StatGroup, StatQuery
from runwright.service.views import CostQuery, CostReport
from runwright.studio.page import Ask, Page

KEYS: tuple[CostKey, ...] = get_args(CostKey)
DAY = timedelta(days=1)
BY_HOURS = 4 * DAY
"""The longest span whose chart has a point an hour."""


class CostsView(msgspec.Struct, frozen=True, kw_only=True):
    """What calls cost, and the same over time: `points` are model calls by the hour or day.

    `calls` are the queries of `/costs/calls` behind each sum of the report, and last behind all of them; None where
    calls are not told apart so.
    """

    report: CostReport
    calls: Sequence[Mapping[str, str] | None]
    every: Literal["hour", "day"]
    points: Sequence[StatGroup]
    since: str
    until: str
    agent: str
    on_model: str
    agents: Sequence[str]
    keys: Sequence[CostKey] = KEYS


async def show_costs(ask: Ask) -> CostsView:
    """Costs by what was asked for. Raises InvalidRequest."""
    asked = ask.query
    by: CostKey | None = next((key for key in KEYS if key == asked.get("by", "model")), None)
    if by is None:
        detail = f"one of {', '.join(KEYS)}, not {asked['by'][:40]!r}"
        raise InvalidRequest(f"What to sum up by is {detail}.", problems=[("/by", detail)])
    since, until, agent = asked.get("since", "30d"), asked.get("until"), asked.get("agent")
    on_model = asked.get("on_model")
    report = await ask.app.costs.report(CostQuery(by=by, since=since, until=until, agent=agent, on_model=on_model))
    every = _every(report)
    over_time = await ask.app.stats.report(StatQuery(by=every, kind="model", since=since, until=until, agent=agent))
    span = {name: text for name, text in (("since", since), ("until", until), ("agent", agent)) if text}
    return CostsView(
        report=report,
        calls=[*(_behind(row.key, report, span) for row in report.data), span],
        every=every,
        points=over_time.data,
        since=since,
        until=until or "",
        agent=agent or "",
        on_model=on_model or "",
        agents=sorted({entry.agent.name for entry in ask.app.registry.all()}),
    )


def _behind(key: str | None, report: CostReport, span: Mapping[str, str]) -> Mapping[str, str] | None:
    """The query of the calls with a key, in the span that was asked for."""
    if report.by == "template":
        return None
    if key is None:
        return {**span, "without": report.by}
    if report.by != "day":
        return {**span, report.by: key}
    begun = datetime.fromisoformat(key).replace(tzinfo=UTC)
    # The first and the last day may be parts of days.
    since, until = max(begun, report.since or begun), min(begun + DAY, report.until or begun + DAY)
    return {**span, "since": since.isoformat(), "until": until.isoformat()}


def _every(report: CostReport) -> Literal["hour", "day"]:
    until = report.until or datetime.now(UTC)
    return "hour" if report.since is not None and until - report.since <= BY_HOURS else "day"


PAGES = (Page(path="/costs", view=show_costs, template="costs.html", title="Costs", nav="Costs"),)
