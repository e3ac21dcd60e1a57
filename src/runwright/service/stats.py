"""Stats: how many calls, how many failed, what they took, by hour, day, agent, model or tool."""

from __future__ import annotations

import asyncio
from datetime import datetime

from runwright.core.histogram import percentile
from runwright.core.ports import Clock, StatStore
from runwright.core.stats import StatFilter, StatKind, StatRow
from runwright.core.usage import Usage
from runwright.service.costs import moment, priced
from runwright.service.stat_views import StatGroup, StatQuery, StatReport


class Stats:
    """What a caller can ask about what happened."""

    def __init__(self, store: StatStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def report(self, query: StatQuery) -> StatReport:
        """What happened, from sums by the hour: steps are not read. Raises InvalidRequest."""
        now = self._clock.now()
        kind: StatKind = query.by if query.by == "model" or query.by == "tool" else query.kind
        where = StatFilter(
            kind=kind,
            since=hour(moment("since", query.since, now)),
            until=hour(moment("until", query.until, now)),
            agent=query.agent,
        )
        rows = await asyncio.to_thread(self._store.totals, query.by, where)
        return StatReport(
            by=query.by,
            kind=kind,
            since=where.since,
            until=where.until,
            data=[_group(row.key, row) for row in rows],
            total=_group(None, *rows),
        )


def hour(moment: datetime | None) -> datetime | None:
    """The whole hour of a time."""
    return None if moment is None else moment.replace(minute=0, second=0, microsecond=0)


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
