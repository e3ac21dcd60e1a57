"""The ledger: what was spent of every account, and what calls that are under way may still spend.

Nothing is spent that was not reserved before, so calls side by side cannot overrun a limit together. A call for which
there is room only if others use less than they reserved waits for them; who waits is served in order.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from typing import Protocol

import msgspec

from runwright.core.budget import (
    NOTHING,
    UNITS,
    Account,
    Allowance,
    Booked,
    Raise,
    Shortage,
    Spend,
    Standing,
    Unit,
    amount,
    limit,
)
from runwright.core.policy import Budget
from runwright.guard.registry import make_room

REFRESH_S = 15.0
"""Seconds after which an account in use is read from the store again, to see what other processes spent."""

RECHECK_S = 1.0
"""Seconds that the store is trusted for before a call is refused."""

MOST = 10_000
"""Accounts that are remembered; beyond that those used longest ago are forgotten that nothing is reserved of."""

Read = Callable[[Account], Awaitable[Booked]]
"""What the store knows of an account."""


class Hold(msgspec.Struct, frozen=True, gc=False):
    """A reservation of the same amount on some accounts, settled once. `is_late` ones waited for others."""

    accounts: tuple[Account, ...]
    spend: Spend
    is_late: bool = False


class Ledger(Protocol):
    """What the budget layer asks. One in memory does not suspend where it need not."""

    async def reserve(
        self, allowances: Sequence[Allowance], spend: Spend, *, until: float | None = None
    ) -> Hold | Shortage:
        """Reserve on all accounts or on none; waits for reservations of others until a time of the loop's clock.

        Raises TimeoutError.
        """
        ...

    async def settle(self, hold: Hold, used: Spend) -> None:
        """Give a reservation back and count what was used. Holds also when the caller is being cancelled."""
        ...

    async def has_room(self, allowances: Sequence[Allowance], spend: Spend) -> bool:
        """Whether that could be reserved by now, after a look into the store."""
        ...

    async def standing(self, allowance: Allowance) -> Standing:
        """How an account stands, after a look into the store."""
        ...

    async def active(self) -> Sequence[Standing]:
        """The accounts that calls were charged to of late, each with the budgets that bound them."""
        ...

    def distrust(self, account: Account) -> None:
        """Look into the store before this account is relied on again."""
        ...


async def unread(account: Account) -> Booked:
    """Where there is no store, nothing was spent before."""
    return Booked()


class _Tab:
    """One account. `users` are those that look at it now: it is not forgotten meanwhile. `open` is reserved by calls
    of other processes, also of dead ones.
    """

    __slots__ = ("account", "budgets", "is_read", "open", "raised", "read_at", "reading", "reserved", "spent", "users")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.budgets: tuple[Budget, ...] = ()
        self.spent = NOTHING
        self.reserved = NOTHING
        self.open = NOTHING
        self.raised: Raise | None = None
        self.is_read = False
        self.read_at = 0.0
        self.reading = asyncio.Lock()
        self.users = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody would miss it: what was spent stands in the store."""
        return not self.users and self.reserved == NOTHING


class _Waiter(msgspec.Struct, eq=False):
    """A call that waits for reservations of others."""

    allowances: Sequence[Allowance]
    spend: Spend
    answer: asyncio.Future[Hold | Shortage]


class LocalLedger:
    """The ledger of one process. What was spent before is read from the store when an account is first used.

    What other processes spend meanwhile is seen at the next look: every `REFRESH_S` seconds of use, and before a call
    is refused.
    """

    def __init__(self, read: Read = unread) -> None:
        self._read = read
        self._tabs: OrderedDict[Account, _Tab] = OrderedDict()
        self._waiting: list[_Waiter] = []

    async def reserve(
        self, allowances: Sequence[Allowance], spend: Spend, *, until: float | None = None
    ) -> Hold | Shortage:
        """Reserve on all accounts or on none. Raises TimeoutError."""
        tabs = [self._tab(allowance) for allowance in allowances]
        for tab in tabs:
            tab.users += 1
        try:
            now = asyncio.get_running_loop().time()
            for tab in tabs:
                # Whoever needs no first look goes on with what is known while another one looks.
                if not tab.is_read or (now - tab.read_at >= REFRESH_S and not tab.reading.locked()):
                    await self._look(tab, before=now)
            answer = await self._try(allowances, spend, until=until)
            if isinstance(answer, Shortage) and await self._look_again(tabs):
                answer = await self._try(allowances, spend, until=until)
            return answer
        finally:
            for tab in tabs:
                tab.users -= 1

    async def settle(self, hold: Hold, used: Spend) -> None:
        """Give a reservation back and count what was used."""
        self._settle(hold, used)

    def _settle(self, hold: Hold, used: Spend) -> None:
        for account in hold.accounts:
            tab = self._tabs[account]
            tab.reserved -= hold.spend
            tab.spent += used
        self._serve()

    async def has_room(self, allowances: Sequence[Allowance], spend: Spend) -> bool:
        """Whether that could be reserved by now, after a look into the store."""
        tabs = [self._tab(allowance) for allowance in allowances]
        for tab in tabs:
            tab.users += 1
        try:
            await self._look_again(tabs)
            return self._short(allowances, spend) is None
        finally:
            for tab in tabs:
                tab.users -= 1

    async def standing(self, allowance: Allowance) -> Standing:
        """How an account stands, after a look into the store."""
        tab = self._tabs.get(allowance.account) or _Tab(allowance.account)
        await self._look_again([tab])
        return _standing(tab, allowance.budget)

    async def active(self) -> Sequence[Standing]:
        """The accounts that calls were charged to of late, each with the budgets that bound them."""
        return [_standing(tab, budget) for tab in self._tabs.values() for budget in tab.budgets]

    def distrust(self, account: Account) -> None:
        """Read an account again before it is used: it was raised."""
        tab = self._tabs.get(account)
        if tab is not None:
            tab.read_at = -inf

    def spent(self, account: Account) -> Spend:
        """What is known here to be spent of an account."""
        tab = self._tabs.get(account)
        return NOTHING if tab is None else tab.spent

    def _tab(self, allowance: Allowance) -> _Tab:
        tab = self._tabs.get(allowance.account)
        if tab is None:
            make_room(self._tabs, MOST)
            tab = self._tabs[allowance.account] = _Tab(allowance.account)
        self._tabs.move_to_end(allowance.account)
        if allowance.budget not in tab.budgets:
            # A budget that was changed takes the place of the one before it.
            tab.budgets = (*tab.budgets, allowance.budget)[-4:]
        return tab

    async def _look(self, tab: _Tab, *, before: float) -> None:
        """Read an account, once for all who want it."""
        async with tab.reading:
            if tab.is_read and tab.read_at >= before:
                return
            booked = await self._read(tab.account)
            tab.read_at = asyncio.get_running_loop().time()
            tab.is_read = True
            tab.raised = booked.raised
            tab.open = booked.open
            # What this process spent may not be stored yet, and what others spent is known to the store alone.
            tab.spent = larger(tab.spent, booked.spent)

    async def _look_again(self, tabs: Iterable[_Tab]) -> bool:
        """Read accounts whose last look is some time ago; whether there were any."""
        now = asyncio.get_running_loop().time()
        old = [tab for tab in tabs if not tab.is_read or now - tab.read_at >= RECHECK_S]
        for tab in old:
            await self._look(tab, before=now)
        if old:
            self._serve()
        return bool(old)

    async def _try(self, allowances: Sequence[Allowance], spend: Spend, *, until: float | None) -> Hold | Shortage:
        if not self._is_behind(allowances, self._waiting):
            short = self._short(allowances, spend)
            if short is None:
                return self._take(allowances, spend)
            if not short.reserved:
                return short
        waiter = _Waiter(allowances, spend, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                return await waiter.answer
        except BaseException:
            self._leave(waiter)
            raise

    def _leave(self, waiter: _Waiter) -> None:
        """Somebody waits no longer; what it was given meanwhile goes back."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._serve()
        elif waiter.answer.done() and not waiter.answer.cancelled():
            answer = waiter.answer.result()
            if isinstance(answer, Hold):
                self._settle(answer, NOTHING)

    def _serve(self) -> None:
        """Answer those who wait, in order, as far as that can be said by now."""
        left: list[_Waiter] = []
        for waiter in self._waiting:
            if self._is_behind(waiter.allowances, left):
                left.append(waiter)
                continue
            short = self._short(waiter.allowances, waiter.spend)
            if short is not None and short.reserved:
                left.append(waiter)
            elif waiter.answer.cancelled():
                continue
            else:
                waiter.answer.set_result(short or self._take(waiter.allowances, waiter.spend, is_late=True))
        self._waiting = left

    def _is_behind(self, allowances: Sequence[Allowance], others: Sequence[_Waiter]) -> bool:
        if not others:
            return False
        mine = {allowance.account for allowance in allowances}
        return any(allowance.account in mine for other in others for allowance in other.allowances)

    def _take(self, allowances: Sequence[Allowance], spend: Spend, *, is_late: bool = False) -> Hold:
        # Several budgets may bound one account.
        hold = Hold(tuple(dict.fromkeys(allowance.account for allowance in allowances)), spend, is_late)
        for account in hold.accounts:
            self._tabs[account].reserved += spend
        return hold

    def _short(self, allowances: Sequence[Allowance], spend: Spend) -> Shortage | None:
        """What is short: first what stays so, whatever becomes of the calls that are under way."""
        passing: Shortage | None = None
        for allowance in allowances:
            tab = self._tabs[allowance.account]
            for unit in UNITS:
                most = limit(allowance.budget, tab.raised, unit)
                if most is None:
                    continue
                # For calls of other processes nobody can wait here.
                wanted = amount(tab.spent + tab.open, unit) + amount(spend, unit)
                reserved = amount(tab.reserved, unit)
                if wanted > most:
                    return _shortage(allowance, unit, spend, tab=tab, reserved=0)
                if wanted + reserved > most:
                    passing = passing or _shortage(allowance, unit, spend, tab=tab, reserved=reserved)
        return passing


def _shortage(allowance: Allowance, unit: Unit, wants: Spend, *, tab: _Tab, reserved: int) -> Shortage:
    return Shortage(
        account=tab.account.name,
        budget=allowance.budget,
        unit=unit,
        wants=wants,
        limit=limit(allowance.budget, tab.raised, unit) or 0,
        spent=amount(tab.spent + tab.open, unit),
        reserved=reserved,
        until=tab.account.until,
    )


def _standing(tab: _Tab, budget: Budget) -> Standing:
    return Standing(
        account=tab.account, budget=budget, spent=tab.spent, reserved=tab.reserved + tab.open, raised=tab.raised
    )


def larger(one: Spend, other: Spend) -> Spend:
    """In each unit the larger amount of two that know of the same calls."""
    return Spend(max(one.tokens, other.tokens), max(one.nano_usd, other.nano_usd), max(one.calls, other.calls))
