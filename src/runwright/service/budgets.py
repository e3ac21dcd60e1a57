"""Budgets: how the accounts in force stand, and how they are raised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runwright.core.agent import BuiltAgent, guard_of
from runwright.core.budget import (
    UNITS,
    Account,
    Allowance,
    BudgetStore,
    Payer,
    Raise,
    Shortage,
    Standing,
    Unit,
    allowances,
    amount,
    limit,
    parse_account,
)
from runwright.core.event import RunWaiting
from runwright.core.money import NANO, format_usd
from runwright.core.policy import Guard, GuardSettings, ScopedBudget, Usd
from runwright.core.ports import Clock, RunStore
from runwright.errors import InvalidRequest, StorageError
from runwright.guard import Ledger
from runwright.journal.read import JournalReader
from runwright.service.views import Page, RunView
from runwright.watch.guard import BudgetState

LAST = 50
"""Events at the end of a run among which its wait is."""

TIMED = frozenset({"day", "month", "ever"})

Limit = Annotated[int, Meta(ge=1, le=10**15)]


class BudgetView(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands in one unit: `usd` as decimal strings, `tokens` and `calls` as numbers.

    `until` is the end of its window, where that is a time.
    """

    account: str
    object: Literal["budget"] = "budget"
    unit: Unit
    limit: str | int
    spent: str | int
    reserved: str | int
    left: str | int
    at_limit: Literal["fail", "wait"]
    until: datetime | None = None
    is_raised: bool = False


class BudgetWait(msgspec.Struct, frozen=True, kw_only=True):
    """What a run waits for: how the account stands, what the call `wants` of it, and what limit would be `enough`."""

    budget: BudgetView
    wants: str | int
    enough: str | int


class RaiseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to where an account is raised, in the units that are given. What a budget says already is never lowered."""

    account: str
    usd: Usd | None = None
    tokens: Limit | None = None
    calls: Limit | None = None


class Budgets:
    """What a caller can ask about budgets. `agents` gives the agents that are served."""

    def __init__(
        self,
        store: BudgetStore,
        runs: RunStore,
        reader: JournalReader,
        *,
        ledger: Ledger,
        policies: GuardSettings,
        agents: Callable[[], Iterable[BuiltAgent]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._runs = runs
        self._reader = reader
        self._ledger = ledger
        self._policies = policies
        self._agents = agents
        self._clock = clock

    async def find(self) -> Page[BudgetView]:
        """The accounts in force: those of days, months and ever that somebody set, those of runs that are not over,
        and those of threads, groups and users that calls were charged to of late.
        """
        now = self._clock.now()
        found = dict.fromkeys(allowances(tuple(self._timed()), Payer(), now))
        active = [Allowance(standing.account, standing.budget) for standing in await self._ledger.active()]
        waited = await asyncio.to_thread(self._waited)
        found |= dict.fromkeys(await asyncio.to_thread(self._in_force, [*active, *waited], now))
        standings = [await self._ledger.standing(allowance) for allowance in found]
        views = {(view.account, view.unit, view.limit): view for each in standings for view in _views(each)}
        return Page(data=sorted(views.values(), key=lambda view: (view.account, view.unit)))

    async def wait_of(self, run: RunView) -> BudgetWait | None:
        """What a run that waits for a budget needs; None for another."""
        if (run.status, run.reason) != ("waiting", "budget"):
            return None
        short = await asyncio.to_thread(self._shortage, run.id, run.last_seq)
        if short is None:
            return None
        standing = await self._ledger.standing(Allowance(parse_account(short.account), short.budget))
        view = next((view for view in _views(standing) if view.unit == short.unit), None)
        if view is None:
            return None
        wants = amount(short.wants, short.unit)
        enough = amount(standing.spent, short.unit) + amount(standing.reserved, short.unit) + wants
        return BudgetWait(budget=view, wants=_shown(wants, short.unit), enough=_shown(enough, short.unit))

    async def levels(self) -> Sequence[BudgetState]:
        """How budgets stand, for metrics: those of days, months and ever, and what is reserved of all others."""
        timed = dict.fromkeys(allowances(tuple(self._timed()), Payer(), self._clock.now()))
        try:
            found = [await self._ledger.standing(allowance) for allowance in timed]
            others = await self._ledger.active()
        except StorageError:
            # Metrics are read most when something is down.
            return []
        found += [each for each in others if not _is_one(each.account)]
        # Several budgets may bound an account in the same unit: one is told.
        told = {(standing.account, unit): state for standing in found for unit, state in _levels(standing)}
        return list(told.values())

    async def raise_to(self, body: RaiseBody, *, by: str = "") -> Page[BudgetView]:
        """Raise an account; runs that wait for it go on where runs are taken up. Raises InvalidRequest."""
        body = _checked(body)
        account = _account(body.account)
        nano_usd = None if body.usd is None else int(Decimal(body.usd) * NANO)
        if nano_usd is None and body.tokens is None and body.calls is None:
            raise InvalidRequest("Say up to where: usd, tokens or calls.", problems=[("/usd", "is missing")])
        raised = Raise(
            account=account.name,
            nano_usd=nano_usd,
            tokens=body.tokens,
            calls=body.calls,
            at=self._clock.now(),
            by=by,
        )
        await asyncio.to_thread(self._store.put, raised)
        self._ledger.distrust(account)
        page = await self.find()
        return Page(data=[view for view in page.data if view.account == account.name])

    def _timed(self) -> Iterator[ScopedBudget]:
        """Budgets whose accounts need no run to be known."""
        for scope, guard in self._guards():
            given = () if guard is None or guard.budget is None else guard.budget
            for budget in given if isinstance(given, tuple) else (given,):
                if budget.per in TIMED:
                    yield ScopedBudget(budget, scope)

    def _guards(self) -> Iterator[tuple[str, Guard | None]]:
        policies = self._policies
        yield "app", policies.app
        yield from _prefixed("model", policies.models)
        yield from _prefixed("tool", policies.tools)
        for agent in self._agents():
            yield f"agent:{agent.name}", agent.guard
            for name, tool in agent.flow.tools.items():
                yield f"tool:{name}", guard_of(tool)

    def _waited(self) -> Sequence[Allowance]:
        """What runs wait for."""
        found: list[Allowance] = []
        for run in self._runs.owned(("waiting",)):
            if run.reason != "budget":
                continue
            short = self._shortage(run.id, run.last_seq)
            if short is not None:
                found.append(Allowance(parse_account(short.account), short.budget))
        return found

    def _shortage(self, run_id: str, last_seq: int) -> Shortage | None:
        """What a run that waits was refused: nothing happens in it behind its wait."""
        last = self._reader.page(run_id, after=max(0, last_seq - LAST), limit=LAST)
        waits = [event.data for event in last if isinstance(event.data, RunWaiting)]
        return waits[-1].shortage if waits else None

    def _in_force(self, found: Sequence[Allowance], now: datetime) -> Sequence[Allowance]:
        """Those whose window has not ended."""
        return [each for each in found if self._is_in_force(each.account, now)]

    def _is_in_force(self, account: Account, now: datetime) -> bool:
        if account.until is not None:
            return now < account.until
        run_id = account.of if account.per == "run" else ""
        run = self._runs.get(run_id) if run_id else None
        return account.per != "run" or (run is not None and not run.is_over)


def _prefixed(kind: str, guards: Mapping[str, Guard]) -> Iterator[tuple[str, Guard | None]]:
    yield from ((f"{kind}:{name}", guard) for name, guard in guards.items())


def _checked(body: RaiseBody) -> RaiseBody:
    """The body, which callers in Python make as they like."""
    try:
        return msgspec.convert(msgspec.to_builtins(body), RaiseBody)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The limit is not valid: {error}. Write usd as a decimal, for example 0.05.") from error


def _account(name: str) -> Account:
    try:
        return parse_account(name)
    except ValueError as error:
        detail = "an account is written as in the list of budgets, for example 'app day:2026-12-31'"
        raise InvalidRequest(f"There is no account {name!r}: {detail}.", problems=[("/account", detail)]) from error


def _views(standing: Standing) -> Iterator[BudgetView]:
    for unit in UNITS:
        most = limit(standing.budget, standing.raised, unit)
        if most is None:
            continue
        spent, reserved = amount(standing.spent, unit), amount(standing.reserved, unit)
        yield BudgetView(
            account=standing.account.name,
            unit=unit,
            limit=_shown(most, unit),
            spent=_shown(spent, unit),
            reserved=_shown(reserved, unit),
            left=_shown(max(0, most - spent - reserved), unit),
            at_limit=standing.budget.at_limit,
            until=standing.account.until,
            is_raised=most != limit(standing.budget, None, unit),
        )


def _is_one(account: Account) -> bool:
    """Whether there is one account of its scope and window at a time."""
    return account.per in TIMED and not account.scope.startswith("run:")


def _levels(standing: Standing) -> Iterator[tuple[Unit, BudgetState]]:
    account = standing.account
    for unit in UNITS:
        most = limit(standing.budget, standing.raised, unit)
        if most is None:
            continue
        size = NANO if unit == "usd" else 1
        spent, reserved = amount(standing.spent, unit), amount(standing.reserved, unit)
        is_one = _is_one(account)
        state = BudgetState(
            scope="run" if account.scope.startswith("run:") else account.scope,
            per=account.per,
            unit=unit,
            reserved=reserved / size,
            spent=spent / size if is_one else None,
            left=max(0, most - spent - reserved) / size if is_one else None,
        )
        yield unit, state


def _shown(value: int, unit: Unit) -> str | int:
    return format_usd(value) if unit == "usd" else value
