"""What happened, from the roll-ups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from runwright.core.histogram import from_bytes
from runwright.core.stats import CallKind, OutcomeRow, StatBy, StatFilter, StatRow
from runwright.core.usage import Usage
from runwright.store.database import Database
from runwright.store.rollups import HOUR
from runwright.store.rows import Row, micros, moment
from runwright.store.schema import rollup_hour

_of = rollup_hour.c
CALLS: tuple[CallKind, ...] = ("model", "tool", "http")
_KEYS: dict[StatBy, ColumnElement[Any]] = {
    "hour": _of.hour,
    "day": _of.hour // 24,
    "agent": _of.agent,
    "model": _of.name,
    "tool": _of.name,
}
_SUMS = (
    _of.calls,
    case((_of.status == "failed", _of.calls), else_=0),
    _of.unpriced,
    _of.cost_nano,
    _of.input_tokens,
    _of.output_tokens,
    _of.cached_input_tokens,
    _of.cache_write_tokens,
    _of.reasoning_tokens,
    _of.requests,
    _of.estimated,
)


class SqlStatStore:
    """The StatStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self, by: StatBy, where: StatFilter) -> Sequence[StatRow]:
        """Counts, sums and histograms by key, in the order of keys."""
        key, chosen = _KEYS[by], _chosen(where)
        sums = select(key, *(func.sum(column) for column in _SUMS)).where(chosen).group_by(key).order_by(key)
        latencies: dict[Any, int] = {}
        with self._database.read() as connection:
            for of, latency in connection.execute(select(key, _of.latency).where(chosen)):
                latencies[of] = latencies.get(of, 0) + from_bytes(latency)
            found = connection.execute(sums).all()
        return [_row(by, row, latencies[row[0]]) for row in found]

    def outcomes(self, since: datetime | None, target: str | None = None) -> Sequence[OutcomeRow]:
        """How calls ended from the hour of `since` on, by kind and target; without those that a recording answered."""
        is_good = _of.status == "completed"
        ends = ((is_good, _of.calls), (~is_good, _of.calls), (is_good, _of.retried), (~is_good, _of.retried))
        sums = (func.sum(_of.attempts), *(func.sum(case((which, count), else_=0)) for which, count in ends))
        conditions: list[ColumnElement[bool]] = [_of.kind.in_(CALLS)]
        if since is not None:
            conditions.append(_of.hour >= micros(since) // HOUR)
        if target is not None:
            conditions.append(_of.name == target)
        query = select(_of.kind, _of.name, *sums).where(*conditions)
        query = query.group_by(_of.kind, _of.name).order_by(_of.kind, _of.name)
        with self._database.read() as connection:
            return [_outcome(row) for row in connection.execute(query)]


def _outcome(row: Row) -> OutcomeRow:
    kind, target, attempts, good, bad, again, vain = row
    return OutcomeRow(
        kind=kind,
        target=target,
        attempts=int(attempts),
        successes=int(good),
        failures=int(bad),
        retried_successes=int(again),
        retried_failures=int(vain),
    )


def _chosen(where: StatFilter) -> ColumnElement[bool]:
    conditions = [_of.kind == where.kind]
    if where.since is not None:
        conditions.append(_of.hour >= micros(where.since) // HOUR)
    if where.until is not None:
        conditions.append(_of.hour < micros(where.until) // HOUR)
    if where.agents is not None:
        conditions.append(_of.agent.in_(where.agents))
    return and_(*conditions)


def _row(by: StatBy, row: Row, latency: int) -> StatRow:
    key, calls, errors, unpriced, nano_usd, *usage, estimated = row
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
    used = dict(zip((*names, "requests"), map(int, usage), strict=True))
    return StatRow(
        key=_named(by, key),
        calls=int(calls),
        errors=int(errors),
        unpriced=int(unpriced),
        nano_usd=int(nano_usd),
        latency=latency,
        usage=Usage(**used, is_estimated=bool(estimated)),
    )


def _named(by: StatBy, key: Any) -> str:  # noqa: ANN401 - a driver's value
    if by == "hour":
        return f"{moment(int(key) * HOUR):%Y-%m-%dT%H}"
    if by == "day":
        return f"{moment(0) + timedelta(days=int(key)):%Y-%m-%d}"
    return str(key)
