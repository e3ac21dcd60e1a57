"""What happened, from the roll-ups, and who asked for it, from the runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Select, and_, case, func, select

from runwright.core.histogram import from_bytes, one
from runwright.core.ids import first_id
from runwright.core.money import IMPORTED
from runwright.core.run import ErrorInfo
from runwright.core.stats import (
    CallerBy,
    CallerRows,
    CallKind,
    FailedRun,
    FailedRuns,
    OutcomeRow,
    StatBy,
    StatFilter,
    StatRow,
)
from runwright.core.usage import Usage
from runwright.store.database import Database
from runwright.store.rollups import HOUR
from runwright.store.rows import Row, micros, moment
from runwright.store.schema import NOT_COMPLETED, rollup_hour, runs

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
_WIDTH = len(_SUMS) + 1
_USAGE = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "requests")
_OF_RUN = (
    runs.c.created_at,
    runs.c.started_at,
    runs.c.ended_at,
    runs.c.status,
    runs.c.replay_of,
    runs.c.cost_source,
    runs.c.cost_nano,
    *(runs.c[name] for name in _USAGE),
    runs.c.is_estimated,
)
_ERROR_BYTES = 2048
"""As much of an error is read: what it says of its fault stands at its beginning."""
_END_BYTES = 64
"""As much of the end of a longer one: more than what stands behind its message."""
_OF_FAILED = (
    runs.c.id,
    runs.c.agent,
    runs.c.version,
    runs.c.created_at,
    runs.c.ended_at,
    runs.c.replay_of,
    runs.c.cost_source,
    func.substr(runs.c.error, 1, _ERROR_BYTES).label("error"),
    func.substr(runs.c.error, -_END_BYTES).label("end"),
)
_BEGINNING = re.compile(rb'\{"code":"([^"\\]*)","message":"((?:[^"\\]|\\u[0-9a-f]{4}|\\[^u])*)', re.DOTALL)
_END = re.compile(rb'"(?:,"retryable":(true))?(?:,"step":(\d+))?\}\Z')
_decode_error = msgspec.json.Decoder(ErrorInfo).decode


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

    def callers(self, by: CallerBy, where: StatFilter, *, limit: int) -> CallerRows:
        """Runs that began in the span and are over, by who asked for them, from the newest `limit` rows of runs."""
        # Ids are found in an index, and only so many rows are read.
        newest = _begun(where).limit(limit + 1).subquery()
        query = select(runs.c[by], *_OF_RUN).join(newest, newest.c.id == runs.c.id).order_by(newest.c.id.desc())
        sums: dict[str | None, list[int]] = {}
        with self._database.read() as connection:
            found = connection.execute(query).all()
        for key, *run in found[:limit]:
            _add_run(sums.setdefault(key, [0] * _WIDTH), run)
        rows = [_sum_row(key, values) for key, values in sums.items() if values[0]]
        rows.sort(key=lambda row: (row.key is not None, row.key or ""))
        return CallerRows(rows=rows, cut=moment(found[limit - 1].created_at) if len(found) > limit else None)

    def failed(self, where: StatFilter, *, limit: int) -> FailedRuns:
        """Runs that began in the span and failed, of the newest `limit` of all agents; those that `callers` counts."""
        # Of all agents, because the index does not tell them apart: it would be read to its end for one that seldom
        # fails.
        newest = _begun(replace(where, agents=None)).where(runs.c.status == "failed", NOT_COMPLETED).limit(limit + 1)
        page = newest.subquery()
        query = select(*_OF_FAILED).join(page, page.c.id == runs.c.id).order_by(page.c.id.desc())
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return FailedRuns(
            runs=list(_failed_runs(found[:limit], where)),
            cut=moment(found[limit - 1].created_at) if len(found) > limit else None,
        )

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


def _begun(where: StatFilter) -> Select[tuple[str]]:
    """The ids of runs that began in the span, newest first."""
    query = select(runs.c.id).order_by(runs.c.id.desc())
    if where.agents is not None:
        query = query.where(runs.c.agent.in_(where.agents))
    if where.since is not None:
        query = query.where(runs.c.id >= first_id("run", where.since))
    if where.until is not None:
        query = query.where(runs.c.id < first_id("run", where.until))
    return query


def _failed_runs(rows: Sequence[Row], where: StatFilter) -> Iterator[FailedRun]:
    for run_id, agent, version, created, ended, replay_of, source, error, tail in rows:
        is_of = where.agents is None or agent in where.agents
        if is_of and error is not None and replay_of is None and source != IMPORTED:
            at = moment(created if ended is None else ended)
            yield FailedRun(id=run_id, agent=agent, version=version, at=at, error=_error(bytes(error), bytes(tail)))


def _error(raw: bytes, tail: bytes) -> ErrorInfo:
    """An error, or the beginning of a long one with what stands behind its message."""
    begun = _BEGINNING.match(raw)
    if len(raw) < _ERROR_BYTES or begun is None:
        return _decode_error(raw)
    text = begun[2].decode("utf-8", "ignore")
    ended = _END.search(tail)
    return ErrorInfo(
        code=begun[1].decode(),
        message=msgspec.json.decode(f'"{text}"'),
        retryable=ended is not None and ended[1] is not None,
        step=int(ended[2]) if ended is not None and ended[2] is not None else None,
    )


def _add_run(sums: list[int], run: Sequence[Any]) -> None:
    """Count a run that is over, in the order of `_SUMS`, with its histogram last."""
    created, started, ended, status, replay_of, source, nano_usd, *used = run
    if ended is None or replay_of is not None or source == IMPORTED:
        return
    took = max(0, ended - (started or created))
    values = (1, status == "failed", nano_usd is None, nano_usd or 0, *used, one(took))
    sums[:] = [before + more for before, more in zip(sums, values, strict=True)]


def _row(by: StatBy, row: Row, latency: int) -> StatRow:
    return _sum_row(_named(by, row[0]), (*row[1:], latency))


def _sum_row(key: str | None, sums: Sequence[Any]) -> StatRow:
    calls, errors, unpriced, nano_usd, *usage, estimated, latency = sums
    used = dict(zip(_USAGE, map(int, usage), strict=True))
    return StatRow(
        key=key,
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
