"""What budgets count: sums over roll-ups where a window is a time, else over the steps of the runs it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, text, update
from sqlalchemy import false as never

from runwright.core.budget import Account, Asker, Booked, Raise, Spend
from runwright.store.database import Database
from runwright.store.rollups import HOUR
from runwright.store.rows import Row, micros, moment
from runwright.store.schema import budgets, rollup_hour, runs, steps

_KINDS = ("model", "tool", "http")
"""Kinds of steps that pass the guard with policies."""

_TIMED = frozenset({"day", "month", "ever"})

NOT_COMPLETED_RUN = text("runs.status <> 'completed'")
"""Lets the index of such runs be used."""


class SqlBudgetStore:
    """The BudgetStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def booked(self, account: Account, asker: Asker | None = None) -> Booked:
        """What was spent of an account, as far as it is stored, what calls that have not ended have reserved, but for
        those of the asker, and how far it was raised.

        Every step that ended counts as a call, however often it was sent; what a tape answered does not count.
        """
        is_rolled = account.per in _TIMED and not account.scope.startswith("run:")
        query = _rolled(account) if is_rolled else _summed(account)
        with self._database.read() as connection:
            spent = _spend(connection.execute(query).one())
            left = _spend(connection.execute(_open(account, asker)).one())
            row = connection.execute(select(budgets).where(budgets.c.account == account.name)).one_or_none()
        return Booked(spent, None if row is None else _raise(row), left)

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


def _spend(row: Row) -> Spend:
    calls, tokens, nano_usd = row
    return Spend(int(tokens or 0), int(nano_usd or 0), int(calls or 0))


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


def _open(account: Account, asker: Asker | None) -> Select[*tuple[Any, ...]]:
    """What calls have reserved whose end is not on record. A run that waits for a budget has sent nothing."""
    of = steps.c
    sums = (func.count(), func.sum(of.reserved_tokens), func.sum(of.reserved_nano + func.coalesce(of.cost_nano, 0)))
    query = select(*sums).select_from(runs).join(steps, runs.c.id == of.run_id)
    query = query.where(NOT_COMPLETED_RUN, runs.c.status.in_(("queued", "running", "waiting")))
    query = query.where(or_(runs.c.reason.is_(None), runs.c.reason != "budget"))
    query = query.where(of.status.in_(("running", "unknown")), of.reserved_tokens.is_not(None), of.taped.is_(None))
    query = query.where(*_scoped(account, kind=of.kind, name=of.name, agent=runs.c.agent))
    if account.per not in _TIMED or account.scope.startswith("run:"):
        query = query.where(_chosen(account))
    if account.since is not None and account.until is not None:
        query = query.where(of.started_at >= micros(account.since), of.started_at < micros(account.until))
    if asker is not None:
        # What waits has no owner: what this process began itself it has counted.
        is_before = and_(runs.c.owner.is_(None), of.started_at < micros(asker.since))
        query = query.where(or_(runs.c.owner != asker.boot, is_before))
    return query


def _chosen(account: Account) -> ColumnElement[bool]:
    """The runs of an account that is not of a time alone."""
    scope, _, own = account.scope.partition(":")
    if scope == "run":
        return runs.c.id == own
    match account.per:
        case "run":
            return runs.c.id == account.of
        case "tree":
            return runs.c.id.in_(_tree(account.of))
        case "thread":
            # A run without a thread is one of its own.
            return or_(runs.c.thread_id == account.of, runs.c.id == account.of)
        case "group":
            return or_(runs.c.group == account.of, runs.c.id == account.of)
        case "user":
            return runs.c.user == account.of if account.of else runs.c.user.is_(None)
        case _:
            return never()


def _tree(run: str) -> Select[*tuple[Any, ...]]:
    """A run and all that stand below it."""
    tree = select(runs.c.id).where(runs.c.id == run).cte("tree", recursive=True)
    below = runs.alias("below")
    return select(tree.union_all(select(below.c.id).where(below.c.parent_run_id == tree.c.id)).c.id)


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
