"""The budget layer: what an attempt may use is reserved before it, what it used is counted after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from runwright.core.budget import NOTHING, Allowance, Payer, Spend, allowances
from runwright.core.clock import SystemClock
from runwright.core.policy import Budget, ScopedBudget
from runwright.errors import (
    BudgetExceeded,
    ConfigError,
    DeadlineExceeded,
    MalformedResponse,
    ModelError,
    NotSent,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    ToolFailed,
)
from runwright.guard import Call, LocalLedger, Sending
from runwright.guard.budget import Budgeting
from runwright.guard.chain import compose
from runwright.guard.timeout import Attempt
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of

NOW = datetime(2026, 12, 31, 12, tzinfo=UTC)
PAYER = Payer(run="run_1", user="ada")
ESTIMATE = Spend(100, 1_000)


class Noon(SystemClock):
    """A clock that stands."""

    def now(self) -> datetime:
        """Noon."""
        return NOW


class Books:
    """A ledger, and the way through the layer to it."""

    def __init__(self, *budgets: Budget) -> None:
        self.scoped = tuple(ScopedBudget(budget, "app") for budget in budgets or (Budget(usd="0.00001"),))
        self.ledger = LocalLedger()
        self.notes = Notes()
        layer = Budgeting[Any](self.scoped, self.ledger, Noon())
        self._proceed = compose([layer], Attempt[Any](None))

    async def send(self, upstream: Upstream, **changes: Any) -> Any:
        """Make a call."""
        fields: dict[str, Any] = {"estimate": ESTIMATE, "payer": PAYER, "note": self.notes, "kind": "model"}
        return await self._proceed(call_of(upstream.send, **(fields | changes)))

    async def totals(self) -> tuple[Spend, Spend]:
        """What was spent and is reserved."""
        (first, *_) = allowances(self.scoped, PAYER, NOW)
        standing = await self.ledger.standing(Allowance(first.account, first.budget))
        return standing.spent, standing.reserved


def test_counted_by_use() -> None:
    """An answer counts with what it used, and nothing is noted."""

    async def main() -> None:
        books = Books()
        assert await books.send(Upstream("answer"), spent=lambda _: Spend(7, 300)) == "answer"  # pyright: ignore[reportUnknownLambdaType]
        assert await books.totals() == (Spend(7, 300, 1), NOTHING)
        assert books.notes.decisions == []

    run_virtual(main())


def unused(error: ModelError) -> ModelError:
    """An error of a call that used nothing."""
    error.is_unused = True
    return error


@pytest.mark.parametrize(
    ("make", "spent"),
    [
        (lambda: ProviderRejected("400"), NOTHING),
        (lambda: RateLimited("429"), NOTHING),
        (lambda: NotSent("not sent"), NOTHING),
        (lambda: ConfigError("no key"), NOTHING),
        (lambda: unused(ProviderUnavailable("503")), NOTHING),
        (lambda: ProviderUnavailable("the connection broke"), ESTIMATE),
        (lambda: ProviderTimeout("late"), ESTIMATE),
        (lambda: MalformedResponse("half an answer"), ESTIMATE),
        (lambda: ToolFailed("the tool raised"), ESTIMATE),
    ],
    ids=["400", "429", "not sent", "no key", "503", "broken", "late", "malformed", "tool"],
)
def test_failures(make: Callable[[], Exception], spent: Spend) -> None:
    """A failed attempt counts as nothing where it used nothing for certain, and else as what was reserved."""

    async def main() -> None:
        books, error = Books(), make()
        with pytest.raises(type(error)):
            await books.send(Upstream(error))
        assert await books.totals() == (spent, NOTHING)
        assert books.notes.actions == ([] if spent == NOTHING else ["budget counted"])

    run_virtual(main())


def test_broken_in_mid_stream() -> None:
    """An error after the first chunk counts as what was reserved, whatever its kind."""

    async def main() -> None:
        books = Books()

        async def half(call: Call[Any], sending: Sending) -> None:
            sending.chunk()
            raise RateLimited("in mid-stream")

        with pytest.raises(RateLimited):
            await books.send(Upstream(half))
        assert await books.totals() == (ESTIMATE, NOTHING)

    run_virtual(main())


def test_refused() -> None:
    """At the limit nothing is sent; the error names the budget, what is spent, the limit and the end of the window."""

    async def main() -> None:
        books, upstream = Books(Budget(usd="0.0000015", per="day")), Upstream("answer")
        await books.send(upstream, spent=lambda _: Spend(7, 1_000))  # pyright: ignore[reportUnknownLambdaType]
        with pytest.raises(BudgetExceeded) as caught:
            await books.send(upstream)
        assert len(upstream.calls) == 1
        assert caught.value.message == (
            "The budget of 'app day:2026-12-31' is 0.0000015 USD: this call may use 0.000001 USD, and 0.0000005 USD "
            "are left; its window ends at 2027-01-01T00:00Z. Raise it with "
            "`runwright budgets raise 'app day:2026-12-31' --usd ...`."
        )
        assert (caught.value.retry_after_s, caught.value.is_waiting) == (12 * 3600, False)
        assert books.notes.actions == ["budget refused"]
        assert await books.totals() == (Spend(7, 1_000, 1), NOTHING)

    run_virtual(main())


def test_held() -> None:
    """A budget whose runs wait says so, and why is left on the trail."""

    async def main() -> None:
        books = Books(Budget(calls=1, at_limit="wait"))
        await books.send(Upstream("answer"))
        call = call_of(Upstream("answer").send, estimate=ESTIMATE, payer=PAYER, note=books.notes)
        with pytest.raises(BudgetExceeded) as caught:
            await Budgeting[Any](books.scoped, books.ledger, Noon())(call, Attempt[Any](None))
        assert caught.value.is_waiting
        assert call.trail.shortage is not None
        assert call.trail.shortage.account == "app run:run_1"
        assert books.notes.actions == ["budget held"]

    run_virtual(main())


def test_waited() -> None:
    """A call that waited for the reservations of others says how long."""

    async def main() -> None:
        books = Books(Budget(usd="0.0000015"))

        async def slow(call: Call[Any], sending: Sending) -> str:
            await asyncio.sleep(2)
            return "answer"

        upstream = Upstream(slow)
        calls = [books.send(upstream, spent=lambda _: Spend(7, 100)) for _ in range(3)]  # pyright: ignore[reportUnknownLambdaType]
        assert await asyncio.gather(*calls) == ["answer"] * 3
        assert books.notes.actions == ["budget waited"] * 2
        assert [decision.wait_s for decision in books.notes.decisions] == [2.0, 4.0]

    run_virtual(main())


def test_deadline() -> None:
    """A call does not wait for reservations beyond the run's deadline."""

    async def main() -> None:
        books = Books(Budget(usd="0.0000015"))

        async def slow(call: Call[Any], sending: Sending) -> str:
            await asyncio.sleep(2)
            return "answer"

        first = asyncio.create_task(books.send(Upstream(slow)))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await books.send(Upstream("answer"), deadline=asyncio.get_running_loop().time() + 1)
        assert await first == "answer"
        assert await books.totals() == (ESTIMATE, NOTHING)

    run_virtual(main())


def test_what_a_tool_spent() -> None:
    """What a tool says that it spent counts when its attempt ends, well or badly."""

    async def main() -> None:
        books = Books()

        async def spending(call: Call[Any], sending: Sending) -> str:
            call.trail.charged_nano += 40
            if call.effect == "once":
                raise ToolFailed("no")
            return "answer"

        await books.send(Upstream(spending), estimate=Spend(), kind="tool")
        with pytest.raises(ToolFailed):
            await books.send(Upstream(spending), estimate=Spend(), kind="tool", effect="once")
        assert await books.totals() == (Spend(0, 80, 2), NOTHING)

    run_virtual(main())


@pytest.mark.parametrize("cancelled_after", range(8))
def test_cancelled_anywhere(cancelled_after: int) -> None:
    """Cancelled at any await, a call keeps no reservation; it counts only if it had been sent."""

    async def main() -> None:
        books = Books(Budget(usd="0.0000015"))

        async def slow(call: Call[Any], sending: Sending) -> str:
            for _ in range(3):
                await asyncio.sleep(0)
            return "answer"

        upstream, spent = Upstream(slow), 0
        first = asyncio.create_task(books.send(upstream, spent=lambda _: NOTHING))  # pyright: ignore[reportUnknownLambdaType]
        second = asyncio.create_task(books.send(upstream))
        for _ in range(cancelled_after):
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        spent = len(upstream.calls) - 1
        assert await books.totals() == ((ESTIMATE if spent else NOTHING), NOTHING)

    run_virtual(main())
