"""Stats: how many calls, how many failed, what they took, by time, by what did it, and by who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from msgspec.structs import replace

from runwright.core.histogram import percentile
from runwright.core.ports import Clock, StatStore
from runwright.core.stats import StatFilter, StatKind, StatRow
from runwright.core.usage import Usage
from runwright.service import errors
from runwright.service.costs import moment, priced
from runwright.service.error_views import ErrorQuery, ErrorReport
from runwright.service.stat_views import StatGroup, StatQuery, StatReport

NEWEST = 10_000
"""Rows of runs that are read to say who asked for them."""

Keyed: TypeAlias = Sequence[tuple[str | None, Sequence[StatRow]]]


class Stats:
    """What a caller can ask about what happened. `templates` tells the template of each agent that is known."""

    def __init__(self, store: StatStore, clock: Clock, *, templates: Callable[[], Mapping[str, str]]) -> None:
        self._store = store
        self._clock = clock
        self._templates = templates

    async def report(self, query: StatQuery) -> StatReport:
        """What happened, from sums by the hour, and by user and group from the newest runs. Raises InvalidRequest."""
        return await asyncio.to_thread(self._report, query)

    async def errors(self, query: ErrorQuery) -> ErrorReport:
        """What failed, grouped, from the newest failed runs. Raises InvalidRequest."""
        return await asyncio.to_thread(self._errors, query)

    def _report(self, query: StatQuery) -> StatReport:
        templates = self._known(query.by == "template" or query.template is not None)
        where = self._where(query, templates, kind=_kind(query))
        if query.by == "user" or query.by == "group":
            callers = self._store.callers(query.by, where, limit=NEWEST)
            report = _reported(query, where, [(row.key, [row]) for row in callers.rows])
            return report if callers.cut is None else replace(report, since=callers.cut, is_cut=True)
        if query.by == "template":
            return _reported(query, where, _by_template(self._store.totals("agent", where), templates))
        return _reported(query, where, [(row.key, [row]) for row in self._store.totals(query.by, where)])

    def _errors(self, query: ErrorQuery) -> ErrorReport:
        where = self._where(query, self._known(query.template is not None))
        found = self._store.failed(where, limit=errors.NEWEST)
        runs = [run for run in found.runs if query.code in {None, run.error.code}]
        groups = errors.grouped(runs)
        return ErrorReport(
            since=found.cut or where.since,
            until=where.until,
            data=groups[: errors.GROUPS],
            total=len(runs),
            more=len(groups[errors.GROUPS :]),
            is_cut=found.cut is not None,
        )

    def _known(self, is_asked: bool) -> Mapping[str, str]:
        return self._templates() if is_asked else {}

    def _where(
        self, query: StatQuery | ErrorQuery, templates: Mapping[str, str], *, kind: StatKind = "run"
    ) -> StatFilter:
        now = self._clock.now()
        return StatFilter(
            kind=kind,
            since=hour(moment("since", query.since, now)),
            until=hour(moment("until", query.until, now)),
            agents=_agents(query, templates),
        )


def _reported(query: StatQuery, where: StatFilter, keyed: Keyed) -> StatReport:
    return StatReport(
        by=query.by,
        kind=where.kind,
        since=where.since,
        until=where.until,
        data=[_group(key, *rows) for key, rows in keyed],
        total=_group(None, *(row for _, rows in keyed for row in rows)),
    )


def _kind(query: StatQuery) -> StatKind:
    match query.by:
        case "model" | "tool":
            return query.by
        case "user" | "group":
            return "run"
        case _:
            return query.kind


def hour(moment: datetime | None) -> datetime | None:
    """The whole hour of a time."""
    return None if moment is None else moment.replace(minute=0, second=0, microsecond=0)


def _agents(query: StatQuery | ErrorQuery, templates: Mapping[str, str]) -> Sequence[str] | None:
    """The agents that were asked for, None for all."""
    if query.template is None:
        return None if query.agent is None else [query.agent]
    return [name for name, template in templates.items() if template == query.template and query.agent in {None, name}]


def _by_template(rows: Sequence[StatRow], templates: Mapping[str, str]) -> Keyed:
    """Rows of agents under their templates, by name; those of agents that nobody knows come last."""
    found: dict[str | None, list[StatRow]] = {}
    for row in rows:
        found.setdefault(templates.get(row.key or ""), []).append(row)
    return sorted(found.items(), key=lambda each: (each[0] is None, each[0] or ""))


def _group(key: str | None, *rows: StatRow) -> StatGroup:
    calls, unpriced = sum(row.calls for row in rows), sum(row.unpriced for row in rows)
    latency = sum(row.latency for row in rows)
    return StatGroup(
        key=key,
        calls=calls,
        errors=sum(row.errors for row in rows),
        p50_s=percentile(latency, 0.5),
        p95_s=percentile(latency, 0.95),
        usd=priced(sum(row.nano_usd for row in rows), calls, unpriced),
        unpriced_calls=unpriced,
        usage=sum((row.usage for row in rows), Usage()),
    )
