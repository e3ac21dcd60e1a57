"""The guard: how calls of models and tools fare with resends, and the state of their targets now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.budget import parse_account
from runwright.core.ports import Clock, StatStore
from runwright.core.stats import CallKind, OutcomeRow
from runwright.guard import LiveTarget
from runwright.service.budgets import Budgets, BudgetView
from runwright.service.costs import moment
from runwright.service.stats import hour
from runwright.watch.guard import GuardState


class GuardQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls: those that ended from the hour of `since` on, a time or how long ago; of one `target`, or of all."""

    target: str | None = None
    since: str | None = "7d"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """How the calls of one model or tool fared; `kind` and `target` are None for all in all.

    `attempts` counts how often calls were begun, `successes` and `failures` how they ended. `retried_successes` and
    `retried_failures` are those of calls that were begun more than once. Rates are shares, None of nothing:
    `success_rate` of all calls that ended, `retry_success_rate` of those begun more than once.
    """

    kind: CallKind | None
    target: str | None
    attempts: int
    successes: int
    failures: int
    retried_successes: int
    retried_failures: int
    success_rate: float | None
    retry_success_rate: float | None


class GuardReport(msgspec.Struct, frozen=True, kw_only=True):
    """Operations by kind and target, all together, the targets that this process calls, and how budgets stand.

    For one target, the budgets are those of that model or tool.
    """

    object: Literal["guard_report"] = "guard_report"
    since: datetime | None
    data: Sequence[Operation]
    total: Operation
    live: Sequence[LiveTarget]
    budgets: Sequence[BudgetView] = ()


class GuardFigures:
    """What a caller can ask about the guard."""

    def __init__(
        self, store: StatStore, live: Callable[[], Sequence[LiveTarget]], *, budgets: Budgets, clock: Clock
    ) -> None:
        self._store = store
        self._live = live
        self._budgets = budgets
        self._clock = clock

    async def report(self, query: GuardQuery) -> GuardReport:
        """The figures from sums by the hour: steps are not read, and what a replay answered is left out.

        Raises InvalidRequest.
        """
        since = hour(moment("since", query.since, self._clock.now()))
        rows = await asyncio.to_thread(self._store.outcomes, since, query.target)
        return GuardReport(
            since=since,
            data=[_operation(row.kind, row.target, row) for row in rows],
            total=_operation(None, None, *rows),
            live=[each for each in self._live() if query.target in (None, each.target)],
            budgets=[each for each in (await self._budgets.find()).data if _is_of(each, query.target)],
        )

    def levels(self) -> Sequence[GuardState]:
        """What matters most of each target now, for metrics. Called on the event loop."""
        return [GuardState(layer=of.layer, target=of.target, place=of.place, value=of.level) for of in self._live()]


def _is_of(budget: BudgetView, target: str | None) -> bool:
    scope = parse_account(budget.account).scope
    return target is None or scope in (f"model:{target}", f"tool:{target}")


def _operation(kind: CallKind | None, target: str | None, *rows: OutcomeRow) -> Operation:
    good, bad = sum(row.successes for row in rows), sum(row.failures for row in rows)
    again, vain = sum(row.retried_successes for row in rows), sum(row.retried_failures for row in rows)
    return Operation(
        kind=kind,
        target=target,
        attempts=sum(row.attempts for row in rows),
        successes=good,
        failures=bad,
        retried_successes=again,
        retried_failures=vain,
        success_rate=_share(good, good + bad),
        retry_success_rate=_share(again, again + vain),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
