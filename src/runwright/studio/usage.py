"""How much agents and templates are used: the figures that several pages show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from runwright.service.stat_views import StatGroup, StatQuery
from runwright.studio.page import Ask

PERIOD = "30d"
CALLERS = 10


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What runs of one agent, or of the agents of one template, came to; `name` is None for templates nobody knows."""

    name: str | None
    runs: int
    failed: int
    p95_s: float | None
    usd: str | None


class Callers(msgspec.Struct, frozen=True, kw_only=True):
    """The users or groups that had the most runs; `others` are as many more. Of the newest runs alone where it is cut,
    that is from `since` on.
    """

    by: Literal["user", "group"]
    rows: Sequence[StatGroup]
    others: int
    since: datetime | None
    is_cut: bool


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in the last 30 days: runs that ended, their model calls, and who asked for the runs."""

    ran: StatGroup
    called: StatGroup
    callers: Sequence[Callers]


async def figures(
    ask: Ask, by: Literal["agent", "template"], *, since: str = PERIOD, template: str | None = None
) -> Sequence[Figures]:
    """The figures of agents or templates that ran, by name."""
    runs = await ask.app.stats.report(StatQuery(by=by, kind="run", since=since, template=template))
    calls = await ask.app.stats.report(StatQuery(by=by, since=since, template=template))
    spent = {each.key: each.usd for each in calls.data}
    return [
        Figures(name=each.key, runs=each.calls, failed=each.errors, p95_s=each.p95_s, usd=spent.get(each.key, "0"))
        for each in runs.data
    ]


async def used(ask: Ask, *, agent: str | None = None, template: str | None = None) -> Used:
    """How an agent, or the agents of a template, were used."""
    of = StatQuery(by="agent", since=PERIOD, agent=agent, template=template)
    return Used(
        ran=(await ask.app.stats.report(replace(of, kind="run"))).total,
        called=(await ask.app.stats.report(of)).total,
        callers=[await _callers(ask, "user", of), await _callers(ask, "group", of)],
    )


async def _callers(ask: Ask, by: Literal["user", "group"], of: StatQuery) -> Callers:
    report = await ask.app.stats.report(replace(of, by=by))
    rows = sorted(report.data, key=lambda each: each.calls, reverse=True)
    return Callers(by=by, rows=rows[:CALLERS], others=len(rows[CALLERS:]), since=report.since, is_cut=report.is_cut)
