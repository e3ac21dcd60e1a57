"""The ledger: nothing is spent that was not reserved, and reservations come back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.budget import NOTHING, Account, Allowance, Booked, Raise, Shortage, Spend
from runwright.core.policy import Budget
from runwright.guard.ledger import RECHECK_S, REFRESH_S, Hold, LocalLedger
from runwright.guard.virtual import run_virtual

RUN = Allowance(Account("app", "run", "run_1"), Budget(tokens=100))
DAY = Allowance(Account("app", "day", "2026-12-31"), Budget(tokens=150, calls=3))


class Books:
    """A store that is asked what was spent."""

    def __init__(self, booked: Booked | None = None) -> None:
        self.booked = booked or Booked()
        self.asked: list[Account] = []

    async def __call__(self, account: Account) -> Booked:
        """What was spent, after a while."""
        self.asked.append(account)
        await asyncio.sleep(0.01)
        return self.booked


async def totals(ledger: LocalLedger, allowance: Allowance = RUN) -> tuple[Spend, Spend]:
    """What was spent and is reserved of an account."""
    standing = await ledger.standing(allowance)
    return standing.spent, standing.reserved


async def reserved(ledger: LocalLedger, tokens: int, *allowances: Allowance) -> Hold:
    """A reservation that is granted."""
    hold = await ledger.reserve(allowances or (RUN,), Spend(tokens))
    assert isinstance(hold, Hold)
    return hold


def test_all_or_none() -> None:
    """A call is reserved on all its accounts or on none."""

    async def main() -> None:
        ledger = LocalLedger()
        await ledger.settle(await reserved(ledger, 90, RUN), Spend(90))
        short = await ledger.reserve((DAY, RUN), Spend(20))
        assert isinstance(short, Shortage)
        assert (short.account, short.unit, short.spent, short.limit) == ("app run:run_1", "tokens", 90, 100)
        assert await totals(ledger, DAY) == (NOTHING, NOTHING)

    run_virtual(main())


def test_settled_by_use() -> None:
    """What was used counts, also beyond what was reserved and the limit; the next call is refused then."""

    async def main() -> None:
        ledger = LocalLedger()
        await ledger.settle(await reserved(ledger, 60), Spend(130))
        assert await totals(ledger) == (Spend(130, 0, 1), NOTHING)
        assert isinstance(await ledger.reserve((RUN,), Spend(0)), Shortage)

    run_virtual(main())


def test_hundred_at_once() -> None:
    """A hundred calls at once overshoot by nothing, and all that fits is made."""

    async def main() -> None:
        ledger, made = LocalLedger(Books()), 0

        async def call() -> None:
            nonlocal made
            hold = await ledger.reserve((RUN, DAY), Spend(7, calls=0))
            if isinstance(hold, Hold):
                await asyncio.sleep(0.1)
                made += 7
                await ledger.settle(hold, Spend(7, calls=0))

        await asyncio.gather(*(call() for _ in range(100)))
        assert made == 98
        assert await totals(ledger) == (Spend(98, 0, 0), NOTHING)

    run_virtual(main())


def test_waits_for_others() -> None:
    """Where others have reserved what is left, a call waits for them, and goes on when they used less."""

    async def main() -> None:
        ledger = LocalLedger()
        first = await reserved(ledger, 90)
        second = asyncio.create_task(ledger.reserve((RUN,), Spend(50)))
        await asyncio.sleep(1)
        assert not second.done()
        await ledger.settle(first, Spend(10))
        hold = await second
        assert isinstance(hold, Hold)
        assert hold.is_late

    run_virtual(main())


def test_refused_when_others_used_it() -> None:
    """A call that waited for others is refused when they used what they had reserved."""

    async def main() -> None:
        ledger = LocalLedger()
        first = await reserved(ledger, 90)
        second = asyncio.create_task(ledger.reserve((RUN,), Spend(50)))
        await asyncio.sleep(1)
        await ledger.settle(first, Spend(90))
        short = await second
        assert isinstance(short, Shortage)
        assert short.spent == 90

    run_virtual(main())


def test_in_order() -> None:
    """Small calls do not pass a large one that waits for the same account; those of other accounts do."""

    async def main() -> None:
        ledger, order = LocalLedger(), list[str]()
        first = await reserved(ledger, 90)

        async def wait(name: str, tokens: int, allowance: Allowance) -> None:
            hold = await ledger.reserve((allowance,), Spend(tokens))
            assert isinstance(hold, Hold)
            order.append(name)
            await ledger.settle(hold, Spend(0))

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("large", 80, RUN))
            await asyncio.sleep(0)
            group.create_task(wait("small", 5, RUN))
            group.create_task(wait("other", 5, DAY))
            await asyncio.sleep(1)
            assert order == ["other"]
            await ledger.settle(first, Spend(0))
        assert order == ["other", "large", "small"]

    run_virtual(main())


def test_wait_ends_at_the_deadline() -> None:
    """A wait for others ends at the call's deadline, and leaves nothing behind."""

    async def main() -> None:
        ledger = LocalLedger()
        first = await reserved(ledger, 90)
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await ledger.reserve((RUN,), Spend(50), until=loop.time() + 3)
        await ledger.settle(first, Spend(0))
        assert await totals(ledger) == (Spend(0, 0, 1), NOTHING)
        await reserved(ledger, 100)

    run_virtual(main())


def test_read_when_first_used() -> None:
    """What was spent before is read once, however many calls come at once."""

    async def main() -> None:
        books = Books(Booked(Spend(80, 0, 4)))
        ledger = LocalLedger(books)
        answers = await asyncio.gather(*(ledger.reserve((RUN,), Spend(10)) for _ in range(2)))
        assert all(isinstance(answer, Hold) for answer in answers)
        assert books.asked == [RUN.account]
        await asyncio.sleep(RECHECK_S)
        assert isinstance(await ledger.reserve((RUN,), Spend(30)), Shortage)

    run_virtual(main())


def test_sees_other_processes() -> None:
    """What others spent is seen at the next look, and what was spent here is not counted twice."""

    async def main() -> None:
        books = Books()
        ledger = LocalLedger(books)
        await ledger.settle(await reserved(ledger, 40), Spend(40))
        books.booked = Booked(Spend(70, 0, 2))
        await asyncio.sleep(REFRESH_S)
        await ledger.settle(await reserved(ledger, 10), Spend(10))
        assert await totals(ledger) == (Spend(80, 0, 3), NOTHING)

    run_virtual(main())


def test_raise_is_seen_before_a_refusal() -> None:
    """Before a call is refused, the store is asked whether the budget was raised meanwhile."""

    async def main() -> None:
        books = Books()
        ledger = LocalLedger(books)
        await ledger.settle(await reserved(ledger, 100), Spend(100))
        assert not await ledger.has_room((RUN,), Spend(50))
        at = datetime(2026, 12, 31, tzinfo=UTC)
        books.booked = Booked(Spend(100), Raise(account=RUN.account.name, tokens=200, at=at))
        await asyncio.sleep(RECHECK_S)
        assert await ledger.has_room((RUN,), Spend(50))
        await reserved(ledger, 50)

    run_virtual(main())


@given(steps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 80), st.integers(0, 5)), max_size=30))
def test_reservations_sum_to_settlements(steps: list[tuple[int, int, int]]) -> None:
    """Whatever is reserved and used, in whatever order: nothing stays reserved, all use is counted, and as long as
    nobody uses more than was reserved no limit is passed."""

    async def main() -> None:
        ledger, used = LocalLedger(Books()), 0

        async def call(tokens: int, use: int, delay: int) -> None:
            nonlocal used
            await asyncio.sleep(delay)
            hold = await ledger.reserve((RUN, DAY), Spend(tokens, calls=0))
            if isinstance(hold, Hold):
                await asyncio.sleep(use % 3)
                real = min(use, tokens)
                await ledger.settle(hold, Spend(real, calls=0))
                used += real

        await asyncio.gather(*(call(*step) for step in steps))
        assert await totals(ledger) == await totals(ledger, DAY) == (Spend(used, 0, 0), NOTHING)
        assert used <= 100

    run_virtual(main())


@pytest.mark.parametrize("cancelled_after", range(12))
def test_cancelled_anywhere(cancelled_after: int) -> None:
    """Cancelled at any await, a reservation leaves the ledger as if it had not been, and those behind go on."""

    async def main() -> None:
        ledger = LocalLedger(Books())
        first = await reserved(ledger, 90)
        wait = asyncio.create_task(ledger.reserve((DAY, RUN), Spend(50)))
        behind = asyncio.create_task(ledger.reserve((RUN,), Spend(60)))
        for step, _ in pairwise(range(14)):
            if step == cancelled_after:
                wait.cancel()
            if step == 8:
                await ledger.settle(first, NOTHING)
            await asyncio.sleep(0 if step % 2 else 0.005)
        answer = (await asyncio.gather(wait, return_exceptions=True))[0]
        if isinstance(answer, Hold):
            await ledger.settle(answer, NOTHING)
        hold = await behind
        assert isinstance(hold, Hold)
        await ledger.settle(hold, NOTHING)
        assert await totals(ledger) == await totals(ledger, DAY) == (NOTHING, NOTHING)

    run_virtual(main())
