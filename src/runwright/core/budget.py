"""What budgets count: accounts, what was spent of them, and how far they were raised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol, get_args

import msgspec

from runwright.core.policy import LIMITS, Budget, ScopedBudget, Window

Unit = Literal["usd", "tokens", "calls"]
"""What an account is bounded in."""

UNITS: Final[tuple[Unit, ...]] = get_args(Unit)

ANYBODY = ""
"""Whose the account of calls is that name no user."""


class Spend(msgspec.Struct, frozen=True, gc=False):
    """What a call uses, or several together. Money is nano-USD."""

    tokens: int = 0
    nano_usd: int = 0
    calls: int = 1

    def __add__(self, other: Spend) -> Spend:
        return Spend(self.tokens + other.tokens, self.nano_usd + other.nano_usd, self.calls + other.calls)

    def __sub__(self, other: Spend) -> Spend:
        return Spend(self.tokens - other.tokens, self.nano_usd - other.nano_usd, self.calls - other.calls)


NOTHING = Spend(calls=0)


class Payer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whom a call is made for. Without a thread or group a run is one of its own."""

    run: str = ""
    root: str = ""
    thread: str | None = None
    group: str | None = None
    user: str | None = None


NOBODY = Payer()


class Account(msgspec.Struct, frozen=True, gc=False):
    """What is counted together: the calls of a scope (`app`, `agent:NAME`, `model:REF`, `tool:NAME`, `run:ID`) in one
    window. `of` is the run (of a tree the one at its top), thread, group or user, a day as `2026-12-31` or a month as
    `2026-12`, both of UTC.
    """

    scope: str
    per: Window
    of: str = ""

    @property
    def name(self) -> str:
        """The account in one text, for example `agent:support user:ada`, `app day:2026-12-31` or `app ever`.

        A run's own account of the whole run is `run:ID`.
        """
        if self.per == "run" and self.scope == f"run:{self.of}":
            return self.scope
        return f"{self.scope} {self.per}:{self.of}" if self.per != "ever" else f"{self.scope} ever"

    @property
    def since(self) -> datetime | None:
        """When its window began, where that is a time."""
        if self.per == "day":
            return datetime.fromisoformat(f"{self.of}T00:00:00+00:00")
        return datetime.fromisoformat(f"{self.of}-01T00:00:00+00:00") if self.per == "month" else None

    @property
    def until(self) -> datetime | None:
        """When its window ends, where that is a time."""
        since = self.since
        if since is None:
            return None
        if self.per == "day":
            return since + timedelta(days=1)
        return (since + timedelta(days=31)).replace(day=1)


def parse_account(name: str) -> Account:
    """The account of a name. Raises ValueError."""
    if name.startswith("run:") and " " not in name:
        return Account(name, "run", name.removeprefix("run:"))
    scope, _, window = name.partition(" ")
    per, _, of = window.partition(":")
    if scope and per in _WINDOWS and (per == "ever") == (":" not in window):
        found = Account(scope, _WINDOWS[per], of)
        _ = found.until
        return found
    raise ValueError(f"an account is written like 'app day:2026-12-31' or 'agent:support user:ada', not {name!r}")


_WINDOWS: Final[dict[str, Window]] = {window: window for window in get_args(Window)}


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """A budget, and the account that it bounds."""

    account: Account
    budget: Budget


def allowances(budgets: tuple[ScopedBudget, ...], payer: Payer, now: datetime) -> tuple[Allowance, ...]:
    """The accounts that a call of `payer` is charged to now."""
    return tuple(
        Allowance(
            Account(
                f"run:{payer.run}" if scoped.scope == "run" else scoped.scope,
                scoped.budget.per,
                _whose(scoped, payer, now),
            ),
            scoped.budget,
        )
        for scoped in budgets
    )


def _whose(scoped: ScopedBudget, payer: Payer, now: datetime) -> str:
    if scoped.scope == LIMITS:
        return scoped.of or payer.run
    return _of(scoped.budget.per, payer, now)


def _of(per: Window, payer: Payer, now: datetime) -> str:
    if per == "day":
        return f"{now.astimezone(UTC):%Y-%m-%d}"
    if per == "month":
        return f"{now.astimezone(UTC):%Y-%m}"
    if per == "run":
        return payer.run
    if per == "tree":
        return payer.root or payer.run
    if per == "thread":
        return payer.thread or payer.run
    if per == "group":
        return payer.group or payer.run
    return (payer.user or ANYBODY) if per == "user" else ""


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """How far an account was raised: its limits are at least these, whatever its budget says. None raises nothing."""

    account: str
    nano_usd: int | None = None
    tokens: int | None = None
    calls: int | None = None
    at: datetime
    by: str = ""


class Booked(msgspec.Struct, frozen=True, gc=False):
    """What the store knows of an account. `open` is reserved by calls that have not ended on record."""

    spent: Spend = NOTHING
    raised: Raise | None = None
    open: Spend = NOTHING


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """The process that asks for an account, by its boot id and since when it runs: it knows its own open calls."""

    boot: str
    since: datetime


class BudgetStore(Protocol):
    """The port of what budgets count, and of how far they were raised."""

    def booked(self, account: Account, asker: Asker | None = None) -> Booked:
        """What was spent of an account, as far as it is stored, what calls of other processes than the asker's, also
        of dead ones, have reserved, and how far it was raised.
        """
        ...

    def put(self, raised: Raise) -> None:
        """Raise an account: in the units that are given, the others stay."""
        ...


class Shortage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a call was refused: with what it `wants`, an account would stand above its limit in one unit.

    `account` is its name, `limit`, `spent` and `reserved` are whole numbers of the unit, or nano-USD.
    """

    account: str
    budget: Budget
    unit: Unit
    wants: Spend
    limit: int
    spent: int
    reserved: int = 0
    until: datetime | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an account stands: what was spent and is reserved of it, and how far it was raised."""

    account: Account
    budget: Budget
    spent: Spend = NOTHING
    reserved: Spend = NOTHING
    raised: Raise | None = None


def limit(budget: Budget, raised: Raise | None, unit: Unit) -> int | None:
    """The limit of an account in a unit, money in nano-USD: what its budget says, or what it was raised to."""
    own = budget.nano_usd if unit == "usd" else budget.tokens if unit == "tokens" else budget.calls
    if own is None or raised is None:
        return own
    more = raised.nano_usd if unit == "usd" else raised.tokens if unit == "tokens" else raised.calls
    return own if more is None else max(own, more)


def amount(spend: Spend, unit: Unit) -> int:
    """What was spent in a unit, money in nano-USD."""
    return spend.nano_usd if unit == "usd" else spend.tokens if unit == "tokens" else spend.calls
