"""How much agents and templates are used: the figures that several pages show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from runwright.service.stat_views import StatGroup, StatQuery
from runwright.studio.page import Ask

PERIOD = "30d"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What runs of one agent, or of the agents of one template, came to; `name` is None for templates nobody knows."""

    name: str | None
    runs: int
    failed: int
    p95_s: float | None
    usd: str | None


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in the last 30 days: runs that ended, and their model calls."""

    ran: StatGroup
    called: StatGroup


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
    ran = await ask.app.stats.report(StatQuery(by="agent", kind="run", since=PERIOD, agent=agent, template=template))
    called = await ask.app.stats.report(StatQuery(by="agent", since=PERIOD, agent=agent, template=template))
    return Used(ran=ran.total, called=called.total)
