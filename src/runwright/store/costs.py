"""What calls cost: from the roll-ups, or from the rows of their steps where these cannot say it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, select, tuple_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from runwright.core.cost import (
    CallFilter,
    CallOrder,
    CallPlace,
    ChargedCall,
    CostBy,
    CostCall,
    CostFilter,
    CostRow,
)
from runwright.core.money import Cost
from runwright.core.step import StepKind
from runwright.core.usage import Usage
from runwright.store.database import Database
from runwright.store.rollups import HOUR
from runwright.store.rows import Row, micros, moment, step_of
from runwright.store.schema import CHARGED, rollup_hour, runs, steps

_DAY = 86_400_000_000
_PAGE = 5_000
_KINDS: tuple[StepKind, ...] = get_args(StepKind)
_UNPRICED = -1
_ENDED = and_(CHARGED, steps.c.status.in_(("completed", "failed")))
_OF_RUN = frozenset({"agent", "group", "user"})
_USAGE = (
    steps.c.input_tokens,
    steps.c.output_tokens,
    steps.c.cached_input_tokens,
    steps.c.cache_write_tokens,
    steps.c.reasoning_tokens,
    steps.c.requests,
)
_KEYS: dict[CostBy, ColumnElement[Any]] = {
    "agent": runs.c.agent,
    "model": steps.c.name,
    "day": steps.c.ended_at // _DAY,
    "group": runs.c.group,
    "user": runs.c.user,
}
_ROLLED: dict[CostBy, ColumnElement[Any]] = {
    "agent": rollup_hour.c.agent,
    "model": rollup_hour.c.name,
    "day": rollup_hour.c.hour // (_DAY // HOUR),
}
"""What roll-ups tell apart; groups and users would make them as long as the steps."""


class SqlCostStore:
    """The CostStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self, by: CostBy, where: CostFilter) -> Sequence[CostRow]:
        """Sums by key, in the order of keys. Roll-ups know whole hours, and also what was pruned."""
        is_rolled = by in _ROLLED and _is_whole(where.since) and _is_whole(where.until)
        query = _rolled(by, where) if is_rolled else self._scanned(by, where)
        with self._database.read() as connection:
            return [_row(by, row) for row in connection.execute(query)]

    def _scanned(self, by: CostBy, where: CostFilter) -> Select[*tuple[Any, ...]]:
        key = _KEYS[by].label("key")
        unpriced = func.sum(case((steps.c.cost_nano.is_(None), 1), else_=0))
        estimated = func.max(case((steps.c.is_estimated, 1), else_=0))
        sums = [func.sum(steps.c.cost_nano), *(func.sum(column) for column in _USAGE), estimated]
        return _charged([key, func.count(), unpriced, *sums], by, where).group_by(key).order_by(key)

    def calls(self, by: CostBy, where: CostFilter) -> Iterator[CostCall]:
        """Every call, in no order."""
        of_call = (steps.c.name, steps.c.kind, steps.c.ended_at, steps.c.cost_nano, steps.c.cost_source)
        query = _charged([_KEYS[by].label("key"), *of_call, *_USAGE, steps.c.is_estimated], by, where)
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=_PAGE).execute(query):
                yield _call(by, row)

    def find(self, where: CallFilter) -> Sequence[ChargedCall]:
        """A page of calls, the dearest or newest first; those without a price are the cheapest.

        The newest are found by the index of their time. To find the dearest reads every call of the span of time.
        """
        page = _listed(where).limit(where.limit).subquery()
        run = (runs.c.agent, runs.c.group, runs.c.user)
        query = select(page, *run).join_from(page, runs, runs.c.id == page.c.run_id)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(*(column.desc() for column in _order(where, page.c)))).all()
        return [ChargedCall(step=step_of(row), agent=row[-3], group=row[-2], user=row[-1]) for row in found]


def _listed(where: CallFilter) -> Select[*tuple[Any, ...]]:
    """The rows of steps that fit, in order."""
    query = _spanned(select(steps).where(_ENDED), where)
    if where.name is not None:
        query = query.where(steps.c.name == where.name)
    # An agent has many runs of all times: its calls are found by their time. A group or user has few.
    of_run = (
        (runs.c.agent.concat(literal_column("''")), where.agent),
        (runs.c.group, where.group),
        (runs.c.user, where.user),
    )
    chosen = [column == value for column, value in of_run if value is not None]
    if where.without is not None:
        chosen.append(runs.c[where.without].is_(None))
    if chosen:
        query = query.join(runs, runs.c.id == steps.c.run_id).where(*chosen)
    order = _order(where, steps.c)
    if where.after is not None:
        query = query.where(tuple_(*order) < tuple_(*_place(where.order, where.after)))
    return query.order_by(*(column.desc() for column in order))


def _order(where: CallFilter, of: ReadOnlyColumnCollection[str, Any]) -> Sequence[ColumnElement[Any]]:
    newest = (of.ended_at, of.run_id, of.seq)
    return newest if where.order == "newest" else (func.coalesce(of.cost_nano, _UNPRICED), *newest)


def _place(order: CallOrder, after: CallPlace) -> Sequence[object]:
    newest = (micros(after.at), after.run_id, after.seq)
    return newest if order == "newest" else (_UNPRICED if after.nano_usd is None else after.nano_usd, *newest)


def _is_whole(moment: datetime | None) -> bool:
    return moment is None or micros(moment) % HOUR == 0


def _rolled(by: CostBy, where: CostFilter) -> Select[*tuple[Any, ...]]:
    """The same sums as of the steps, in the same order of columns."""
    of = rollup_hour.c
    key = _ROLLED[by].label("key")
    usage = (of.input_tokens, of.output_tokens, of.cached_input_tokens, of.cache_write_tokens, of.reasoning_tokens)
    summed = (of.calls, of.unpriced, of.cost_nano, *usage, of.requests, of.estimated)
    # Rows lie by kind, then hour: naming all kinds is what finds the hours without reading the others.
    query = select(key, *(func.sum(column) for column in summed)).where(of.kind.in_(_KINDS), of.is_charged)
    if where.agent is not None:
        query = query.where(of.agent == where.agent)
    if where.since is not None:
        query = query.where(of.hour >= micros(where.since) // HOUR)
    if where.until is not None:
        query = query.where(of.hour < micros(where.until) // HOUR)
    return query.group_by(key).order_by(key)


def _charged(columns: Sequence[ColumnElement[Any]], by: CostBy, where: CostFilter) -> Select[*tuple[Any, ...]]:
    """Calls that may cost something."""
    query = select(*columns).select_from(steps).where(_ENDED)
    if by in _OF_RUN or where.agent is not None:
        query = query.join(runs, runs.c.id == steps.c.run_id)
    if where.agent is not None:
        query = query.where(runs.c.agent == where.agent)
    return _spanned(query, where)


def _spanned(query: Select[*tuple[Any, ...]], where: CostFilter) -> Select[*tuple[Any, ...]]:
    if where.since is not None:
        query = query.where(steps.c.ended_at >= micros(where.since))
    if where.until is not None:
        query = query.where(steps.c.ended_at < micros(where.until))
    return query


def _call(by: CostBy, row: Row) -> CostCall:
    key, name, kind, at, nano_usd, source, *usage = row
    cost = Cost(nano_usd=nano_usd, source=source)
    ref = name if kind == "model" else None
    return CostCall(key=_named(by, key), ref=ref, at=moment(at), usage=_usage(usage), cost=cost)


def _row(by: CostBy, row: Row) -> CostRow:
    key, calls, unpriced, nano_usd, *usage = row
    return CostRow(
        key=_named(by, key),
        calls=calls,
        unpriced_calls=int(unpriced),
        nano_usd=int(nano_usd or 0),
        usage=_usage(usage),
    )


def _usage(sums: Row) -> Usage:
    return Usage(
        input_tokens=int(sums[0]),
        output_tokens=int(sums[1]),
        cached_input_tokens=int(sums[2]),
        cache_write_tokens=int(sums[3]),
        reasoning_tokens=int(sums[4]),
        requests=int(sums[5]),
        is_estimated=bool(sums[6]),
    )


def _named(by: CostBy, key: Any) -> str | None:  # noqa: ANN401 - a driver's value
    if by != "day" or key is None:
        return key
    return f"{moment(0) + timedelta(days=int(key)):%Y-%m-%d}"
