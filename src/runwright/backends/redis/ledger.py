"""The ledger of budgets that several processes share: reserved on all accounts of a call or on none, in one script."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from uuid import uuid4

import msgspec

from runwright.backends.redis.ledger_scripts import RENEW, RESERVE, SETTLE
from runwright.backends.redis.pool import RedisPool
from runwright.core.budget import NOTHING, UNITS, Account, Allowance, Booked, Shortage, Spend, Standing, Unit, limit
from runwright.core.policy import Budget
from runwright.errors import StorageError, Unavailable
from runwright.guard.ledger import RECHECK_S, REFRESH_S, Hold, LocalLedger, Read, larger, unread

LEASE_S: Final = 20.0
"""Seconds after which the reservation of a process that died counts as spent."""

FIRST_LOOK_S: Final = 0.02
LONGEST_LOOK_S: Final = 0.5
MOST: Final = 10_000
"""Accounts that are remembered here; beyond that the oldest ones are forgotten."""

SHOWN: Final = 1000
"""Accounts that are told, the latest ones."""

_MICROS: Final = 1_000_000
_encode = msgspec.json.Encoder().encode


class SharedHold(Hold, frozen=True, gc=False, kw_only=True):
    """A reservation that the server knows by its id. `born` is since when it knows each of the accounts."""

    id: str
    born: tuple[int, ...] = ()


class _Known:
    """What this process knows of an account from the store, and when it looked."""

    __slots__ = ("booked", "budgets", "read_at", "reading")

    def __init__(self) -> None:
        self.booked = Booked()
        self.budgets: tuple[Budget, ...] = ()
        self.read_at: float | None = None
        self.reading = asyncio.Lock()

    def is_older(self, seconds: float) -> bool:
        """Whether the last look was so long ago."""
        return self.read_at is None or asyncio.get_running_loop().time() - self.read_at >= seconds


class RedisLedger:
    """The ledger of all processes. What was spent before is read from the store when an account is first used.

    A call for which there is room only if others use less than they reserved looks again and again. While the server
    is away calls with a budget are refused but for those of runs alone, or with `is_alone` counted by this process.
    """

    def __init__(
        self, pool: RedisPool, *, read: Read = unread, is_alone: bool = False, prefix: str = "runwright"
    ) -> None:
        self._pool = pool
        self._read = read
        self._alone = LocalLedger(read)
        self._is_alone = is_alone
        self._prefix = prefix
        self._known: OrderedDict[Account, _Known] = OrderedDict()
        self._holds: dict[str, SharedHold] = {}
        self._owed: list[tuple[SharedHold, Spend]] = []
        self._renewing: asyncio.Task[Any] | None = None
        self._settled = asyncio.Event()
        pool.when_back(self._return)

    async def reserve(
        self, allowances: Sequence[Allowance], spend: Spend, *, until: float | None = None
    ) -> Hold | Shortage:
        """Reserve on all accounts or on none. Raises TimeoutError, and Unavailable while the server is away."""
        try:
            return await self._reserve(allowances, spend, until)
        except StorageError as error:
            # The database may be what cannot be read.
            if error.place != self._pool.place:
                raise
            if not self._may_count(allowances):
                raise _refused(error) from error
        return await self._alone.reserve(allowances, spend, until=until)

    async def settle(self, hold: Hold, used: Spend) -> None:
        """Give a reservation back and count what was used."""
        if not isinstance(hold, SharedHold):
            try:
                if not self._pool.is_away:
                    # The server counts by now what was reserved without it, beside what it is told was spent before.
                    await self.settle(SharedHold(hold.accounts, hold.spend, id=uuid4().hex), used)
            finally:
                await self._alone.settle(hold, used)
            return
        # It belongs to the pool, so that it is done whoever is cancelled, and whenever.
        await asyncio.shield(self._pool.later(self._settle(hold, used)))

    async def has_room(self, allowances: Sequence[Allowance], spend: Spend) -> bool:
        """Whether that could be reserved by now, after a look into the store."""
        try:
            await self._look(allowances, older_s=RECHECK_S)
            answer = await self._ask(allowances, spend, hold=None)
        except StorageError:
            return self._may_count(allowances) and await self._alone.has_room(allowances, spend)
        return not isinstance(answer, Shortage)

    async def standing(self, allowance: Allowance) -> Standing:
        """How an account stands, after a look into the store. Raises StorageError."""
        await self._look([allowance], older_s=RECHECK_S)
        return (await self._standings([(allowance.account, allowance.budget)]))[0]

    async def active(self) -> Sequence[Standing]:
        """The accounts that calls of this process were charged to of late. Raises StorageError."""
        latest = list(self._known.items())[-SHOWN:]
        return await self._standings([(account, budget) for account, known in latest for budget in known.budgets])

    def distrust(self, account: Account) -> None:
        """Look into the store before this account is relied on again."""
        known = self._known.get(account)
        if known is not None:
            known.read_at = None
        self._alone.distrust(account)

    def _may_count(self, allowances: Sequence[Allowance]) -> bool:
        """Whether this process may count for itself: the calls of a run are all its own."""
        return self._is_alone or all(each.account.per == "run" for each in allowances)

    async def _reserve(self, allowances: Sequence[Allowance], spend: Spend, until: float | None) -> Hold | Shortage:
        await self._look(allowances, older_s=REFRESH_S)
        accounts = tuple(dict.fromkeys(allowance.account for allowance in allowances))
        hold = SharedHold(accounts, spend, id=uuid4().hex)
        look_s, is_late = FIRST_LOOK_S, False
        while True:
            self._settled.clear()
            answer = await self._ask(allowances, spend, hold=hold)
            if not isinstance(answer, Shortage):
                hold = self._holds[hold.id] = msgspec.structs.replace(hold, born=answer, is_late=is_late)
                if self._renewing is None:
                    self._renewing = self._pool.tend(self._renew())
                return hold
            if not answer.reserved and not await self._look(allowances, older_s=RECHECK_S):
                return answer
            if answer.reserved:
                is_late = True
                await self._pause(look_s, until)
                look_s = min(2 * look_s, LONGEST_LOOK_S)

    async def _pause(self, pause_s: float, until: float | None) -> None:
        """Wait until something was settled here, or for a while. Raises TimeoutError when that would be too late."""
        now = asyncio.get_running_loop().time()
        if until is not None and now >= until:
            raise TimeoutError
        end = now + pause_s
        try:
            async with asyncio.timeout_at(end if until is None else min(end, until)):
                await self._settled.wait()
        except TimeoutError:
            return

    async def _ask(
        self, allowances: Sequence[Allowance], spend: Spend, *, hold: SharedHold | None
    ) -> Shortage | tuple[int, ...]:
        """Reserve, or without a hold just look. Where there is room, since when the server knows the accounts."""
        accounts = list(dict.fromkeys(allowance.account for allowance in allowances))
        question = {
            "id": "" if hold is None else hold.id,
            "want": _amounts(spend),
            "lease": LEASE_S * _MICROS,
            "seeds": [_amounts(self._booked(account).spent) for account in accounts],
            "bounds": [
                [
                    accounts.index(each.account) + 1,
                    *(_bound(each, self._booked(each.account), unit) for unit in UNITS),
                ]
                for each in allowances
            ],
        }
        late = None if hold is None else partial(self._give_back, hold)
        was_away = self._pool.is_away
        try:
            answer = await self._pool.script(RESERVE, self._keys(accounts), [_encode(question)], late=late)
        except StorageError:
            if late is not None and self._pool.is_away and not was_away:
                late(None)
            raise
        if answer[0] == b"held":
            return tuple(int(born) for born in answer[1:])
        place, unit, spent, reserved = (int(each) for each in answer[1:])
        short = allowances[place - 1]
        most = _bound(short, self._booked(short.account), UNITS[unit - 1])
        return Shortage(
            account=short.account.name,
            budget=short.budget,
            unit=UNITS[unit - 1],
            wants=spend,
            limit=max(0, most),
            spent=spent,
            reserved=reserved,
            until=short.account.until,
        )

    def _give_back(self, hold: SharedHold, answer: Any) -> None:  # noqa: ANN401 - what the script gave
        """Who reserved does not know whether it did: it was cancelled before it was told, or the answer was lost."""
        if answer is None:
            self._owed.append((hold, NOTHING))
        elif answer[0] == b"held":
            self._pool.later(self._settle(hold, NOTHING))

    async def _renew(self) -> None:
        """Keep the reservations of this process from being taken for those of a dead one, and settle what is owed."""
        while True:
            await asyncio.sleep(LEASE_S / 4)
            await self._pay()
            for hold in list(self._holds.values()):
                told = _encode({"member": _member(hold), "lease": LEASE_S * _MICROS})
                try:
                    await self._pool.script(RENEW, self._keys(hold.accounts), [told])
                except StorageError:
                    break

    def _return(self) -> None:
        """The server is back: it is told what is owed, and what others spent meanwhile the store alone knows."""
        for account in self._known:
            self.distrust(account)
        self._pool.later(self._pay())

    async def _pay(self) -> None:
        """Settle what could not be settled: at the most what was reserved when the server went away."""
        owed, self._owed = self._owed, []
        for hold, used in owed:
            await self._settle(hold, used)

    async def _settle(self, hold: SharedHold, used: Spend) -> None:
        self._holds.pop(hold.id, None)
        try:
            await self._pool.script(SETTLE, self._keys(hold.accounts), [_told(hold, used)])
        except StorageError:
            # It may have been done all the same; the server does it once.
            self._owed.append((hold, used))
        self._settled.set()

    async def _look(self, allowances: Sequence[Allowance], *, older_s: float) -> bool:
        """Read what the store knows of accounts, where the last look is so long ago; whether there were any."""
        is_read = False
        for allowance in allowances:
            known = self._known.setdefault(allowance.account, _Known())
            self._known.move_to_end(allowance.account)
            if allowance.budget not in known.budgets:
                known.budgets = (*known.budgets, allowance.budget)[-4:]
            async with known.reading:
                if known.is_older(older_s):
                    known.booked = await self._read(allowance.account)
                    known.read_at = asyncio.get_running_loop().time()
                    is_read = True
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return is_read

    def _booked(self, account: Account) -> Booked:
        """What was spent at least: the server knows nothing of what was counted here while it was away."""
        known = self._known.get(account)
        booked = Booked() if known is None else known.booked
        return msgspec.structs.replace(booked, spent=larger(booked.spent, self._alone.spent(account)))

    async def _standings(self, wanted: Sequence[tuple[Account, Budget]]) -> list[Standing]:
        fields = ("usd", "tokens", "calls", "r_usd", "r_tokens", "r_calls")
        rows = await self._pool.run_all([("HMGET", self._keys([account])[0], *fields) for account, _ in wanted])
        return [
            _standing(Allowance(account, budget), self._booked(account), row)
            for (account, budget), row in zip(wanted, rows, strict=True)
        ]

    def _keys(self, accounts: Sequence[Account]) -> list[str]:
        """Of each account the hash of its sums, the reservations by their lease, and those whose lease has ended."""
        # A name may hold any text, also what would be the end of another key.
        parts = ("sum", "held", "lapsed")
        return [f"{self._prefix}:budget:{part}:{account.name}" for account in accounts for part in parts]


def _refused(error: StorageError) -> Unavailable:
    return Unavailable(
        f"Budgets are counted in Redis, which does not answer: no call is made that cannot be counted. {error.public} "
        'They go on when it is back; with `redis.without = "alone"` each process counts for itself.'
    )


def _standing(allowance: Allowance, booked: Booked, row: Sequence[bytes | None]) -> Standing:
    usd, tokens, calls, *held = (int(each or 0) for each in row)
    return Standing(
        account=allowance.account,
        budget=allowance.budget,
        spent=larger(Spend(tokens, usd, calls), booked.spent),
        reserved=Spend(held[1], held[0], held[2]),
        raised=booked.raised,
    )


def _amounts(spend: Spend) -> tuple[int, int, int]:
    """In the order of the units."""
    return spend.nano_usd, spend.tokens, spend.calls


def _bound(allowance: Allowance, booked: Booked, unit: Unit) -> int:
    """The limit, or -1 for none."""
    most = limit(allowance.budget, booked.raised, unit)
    return -1 if most is None else most


def _member(hold: SharedHold) -> str:
    return "|".join([hold.id, *map(str, _amounts(hold.spend))])


def _told(hold: SharedHold, used: Spend) -> bytes:
    amounts = {"want": _amounts(hold.spend), "used": _amounts(used)}
    return _encode({"id": hold.id, "member": _member(hold), "born": hold.born, **amounts})
