"""The first page: what runs, what failed, what waits for a person, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from runwright.core.ports import RunFilter
from runwright.core.run import RunStatus
from runwright.service.approval_views import ApprovalQuery, ApprovalView
from runwright.service.stat_views import StatQuery
from runwright.service.views import CostGroup, CostQuery, RunView
from runwright.studio.page import Ask, Page
from runwright.studio.usage import Figures, figures

SHOWN = 6
DAY = timedelta(days=1)
LOOKED_AT: tuple[RunStatus, ...] = ("running", "failed", "waiting")


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that ended in an hour."""

    at: str
    runs: int
    failed: int


class HomeView(msgspec.Struct, frozen=True, kw_only=True):
    """What matters now. `today` and `before` are what was spent on this day (UTC) and the one before."""

    position: int
    is_empty: bool
    running: Sequence[RunView]
    failed: Sequence[RunView]
    waiting: Sequence[RunView]
    approvals: Sequence[ApprovalView]
    today: CostGroup | None
    before: CostGroup | None
    hours: Sequence[Hour]
    agents: Sequence[Figures]


async def show_home(ask: Ask) -> HomeView:
    """What matters now, from rows of runs and sums by the hour."""
    app, now = ask.app, datetime.now(UTC)
    position = await app.live.position()
    running, failed, waiting = await asyncio.gather(*(_newest(ask, status) for status in LOOKED_AT))
    costs, approvals, hours, agents = await asyncio.gather(
        app.costs.report(CostQuery(by="day", since=f"{now - DAY:%Y-%m-%d}")),
        app.approvals.find(ApprovalQuery(limit=SHOWN)),
        _hours(ask, now),
        _agents(ask),
    )
    days = {each.key: each for each in costs.data}
    return HomeView(
        position=position,
        is_empty=not (await app.runs.find(RunFilter(limit=1), is_brief=True)).data,
        running=running,
        failed=[run for run in failed if run.created_at > now - DAY],
        waiting=[run for run in waiting if run.reason not in {"approval", "input"}],
        approvals=approvals.data,
        today=days.get(f"{now:%Y-%m-%d}"),
        before=days.get(f"{now - DAY:%Y-%m-%d}"),
        hours=hours,
        agents=agents,
    )


async def _newest(ask: Ask, status: RunStatus) -> Sequence[RunView]:
    return (await ask.app.runs.find(RunFilter(status=status, limit=SHOWN), is_brief=True)).data


async def _hours(ask: Ask, now: datetime) -> Sequence[Hour]:
    """The last 24 hours, those without a run included."""
    report = await ask.app.stats.report(StatQuery(by="hour", kind="run", since="23h"))
    found = {each.key: each for each in report.data}
    keys = [f"{now - timedelta(hours=ago):%Y-%m-%dT%H}" for ago in range(23, -1, -1)]
    return [
        Hour(at=key, runs=found[key].calls if key in found else 0, failed=found[key].errors if key in found else 0)
        for key in keys
    ]


async def _agents(ask: Ask) -> Sequence[Figures]:
    """The dearest agents, then the slowest; none for the part that is fetched again and does not show them."""
    if ask.fragment == "now":
        return ()
    found = await figures(ask, "agent", since="7d")
    return sorted(found, key=lambda each: (float(each.usd or 0), each.p95_s or 0), reverse=True)[:SHOWN]


PAGES = (Page(path="/", view=show_home, template="home.html", title="Home", nav="Home"),)
