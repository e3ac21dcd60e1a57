"""What budgets count: sums over roll-ups where a window is a time, else over the steps of the runs it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, or_, select, update
from sqlalchemy import false as never

from runwright.core.budget import Account, Booked, Raise, Spend
from runwright.store.database import Database
from runwright.store.rollups import HOUR
from runwright.store.rows import Row, micros, moment
from runwright.store.schema import budgets, rollup_hour, runs, steps

_KINDS = ("model", "tool", "http")
"""Kinds of steps that pass the guard with policies."""

_TIMED = frozenset({"day", "month", "ever"})


class SqlBudgetStore:
    """The BudgetStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def booked(self, account: Account) -> Booked:
        """What was spent of an account, as far as it is stored, and how far it was raised.

        Every step that ended counts as a call, however often it was sent; what a tape answered does not count.
        """
        is_rolled = account.per in _TIMED and not account.scope.startswith("run:")
        query = _rolled(account) if is_rolled else _summed(account)
        with self._database.read() as connection:
            calls, tokens, nano_usd = connection.execute(query).one()
            row = connection.execute(select(budgets).where(budgets.c.account == account.name)).one_or_none()
        spent = Spend(int(tokens or 0), int(nano_usd or 0), int(calls or 0))
        return Booked(spent, None if row is None else _raise(row))

    def put(self, raised: Raise) -> None:
        """Raise an account: in the units that are given, the others stay."""
        given = {"nano_usd": raised.nano_usd, "tokens": raised.tokens, "calls": raised.calls}
        values = {name: value for name, value in given.items() if value is not None}
        values_now = {**values, "raised_at": micros(raised.at), "raised_by": raised.by}
        with self._database.write() as connection:
            changed = connection.execute(
                update(budgets).where(budgets.c.account == raised.account).values(**values_now)
            )
            if changed.rowcount == 0:
                connection.execute(insert(budgets).values(account=raised.account, **values_now))

    def raises(self) -> Sequence[Raise]:
        """All accounts that were raised, by name."""
        with self._database.read() as connection:
            return [_raise(row) for row in connection.execute(select(budgets).order_by(budgets.c.account))]


def _raise(row: Row) -> Raise:
    account, nano_usd, tokens, calls, at, by = row
    return Raise(account=account, nano_usd=nano_usd, tokens=tokens, calls=calls, at=moment(at), by=by)


def _rolled(account: Account) -> Select[*tuple[Any, ...]]:
    of = rollup_hour.c
    sums = (func.sum(of.calls), func.sum(of.input_tokens + of.output_tokens), func.sum(of.cost_nano))
    query = select(*sums).where(*_scoped(account, kind=of.kind, name=of.name, agent=of.agent))
    if account.since is not None and account.until is not None:
        query = query.where(of.hour >= micros(account.since) // HOUR, of.hour < micros(account.until) // HOUR)
    return query


def _summed(account: Account) -> Select[*tuple[Any, ...]]:
    of = steps.c
    sums = (func.count(), func.sum(of.input_tokens + of.output_tokens), func.sum(of.cost_nano))
    query = select(*sums).select_from(steps).join(runs, runs.c.id == of.run_id)
    query = query.where(of.status.in_(("completed", "failed")), of.taped.is_(None))
    query = query.where(*_scoped(account, kind=of.kind, name=of.name, agent=runs.c.agent), _chosen(account))
    if account.since is not None and account.until is not None:
        query = query.where(of.ended_at >= micros(account.since), of.ended_at < micros(account.until))
    return query


def _chosen(account: Account) -> ColumnElement[bool]:
    """The runs of an account that is not of a time alone."""
    scope, _, own = account.scope.partition(":")
    if scope == "run":
        return runs.c.id == own
    match account.per:
        case "run":
            return runs.c.id == account.of
        case "thread":
            # A run without a thread is one of its own.
            return or_(runs.c.thread_id == account.of, runs.c.id == account.of)
        case "group":
            return or_(runs.c.group == account.of, runs.c.id == account.of)
        case "user":
            return runs.c.user == account.of if account.of else runs.c.user.is_(None)
        case _:
            return never()


def _scoped(
    account: Account, *, kind: ColumnElement[Any], name: ColumnElement[Any], agent: ColumnElement[Any]
) -> Sequence[ColumnElement[bool]]:
    """The calls that belong to the scope of an account."""
    scope, _, own = account.scope.partition(":")
    if scope == "model":
        is_own = name.startswith(own.removesuffix("*"), autoescape=True) if own.endswith(":*") else name == own
        return kind == "model", is_own
    if scope == "tool":
        return kind.in_(("tool", "http")), name == own
    return (kind.in_(_KINDS), agent == own) if scope == "agent" else (kind.in_(_KINDS),)
