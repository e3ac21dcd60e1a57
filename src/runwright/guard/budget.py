"""The budget layer: reserves what an attempt may use before it is sent, and counts what it used after."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from runwright.core.budget import NOTHING, Allowance, Shortage, Spend, Unit, allowances, amount, parse_account
from runwright.core.event import GuardDecided
from runwright.core.money import format_usd
from runwright.core.policy import LIMITS, ScopedBudget
from runwright.core.ports import Clock
from runwright.errors import BudgetExceeded, ConfigError, LimitExceeded, ModelError, NotSent
from runwright.guard.call import Call, Proceed, was_sent
from runwright.guard.ledger import Hold, Ledger
from runwright.guard.timeout import too_late

T = TypeVar("T")


class Budgeting(Generic[T]):
    """Holds the calls of a plan within its budgets."""

    def __init__(self, budgets: tuple[ScopedBudget, ...], ledger: Ledger, clock: Clock) -> None:
        self._budgets = budgets
        self._ledger = ledger
        self._clock = clock

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Send within the budgets. Raises BudgetExceeded, or LimitExceeded for that of an agent's `limits`."""
        bounds = allowances(self._budgets, call.payer, self._clock.now())
        began = asyncio.get_running_loop().time()
        hold = await self._reserved(call, bounds)
        used, attempts = call.estimate, call.trail.attempts
        try:
            if hold.is_late:
                self._tell_wait(call, asyncio.get_running_loop().time() - began)
            answer = await proceed(call)
            used = call.estimate if call.spent is None else call.spent(answer)
        except BaseException as error:
            used = _used(call, error, is_sent=was_sent(call, since=attempts))
            raise
        finally:
            await self._ledger.settle(hold, _charged(call, used))
        return answer

    async def _reserved(self, call: Call[T], bounds: tuple[Allowance, ...]) -> Hold:
        try:
            answer = await self._ledger.reserve(bounds, call.estimate, until=call.deadline)
        except TimeoutError as error:
            raise too_late(call) from error
        if isinstance(answer, Hold):
            return answer
        call.trail.shortage = answer
        raise self._refused(call, answer)

    def _tell_wait(self, call: Call[T], wait_s: float) -> None:
        call.trail.waited_s += wait_s
        reason = "other calls had reserved what was left"
        decision = GuardDecided(
            layer="budget", action="waited", target=call.target, attempt=call.attempt, wait_s=wait_s, reason=reason
        )
        call.note(decision)

    def _refused(self, call: Call[T], short: Shortage) -> BudgetExceeded | LimitExceeded:
        told = exceeded(short)
        is_waiting = short.budget.at_limit == "wait"
        call.note(
            GuardDecided(
                layer="budget",
                action="held" if is_waiting else "refused",
                target=call.target,
                attempt=call.attempt,
                reason=told,
                figures={"spent": short.spent, "limit": short.limit, "wants": amount(short.wants, short.unit)},
            )
        )
        if _is_limit(short):
            return LimitExceeded(told)
        until = None if short.until is None else max(0.0, (short.until - self._clock.now()).total_seconds())
        return BudgetExceeded(told, is_waiting=is_waiting, retry_after_s=until)


async def has_room(ledger: Ledger, clock: Clock, short: Shortage) -> bool:
    """Whether a call that was refused could be made by now: the budget was raised, or its window has ended."""
    if short.until is not None and short.until <= clock.now():
        return True
    return await ledger.has_room((Allowance(parse_account(short.account), short.budget),), short.wants)


def exceeded(short: Shortage) -> str:
    """What is short, and what to do, in a sentence."""
    unit = short.unit
    if _is_limit(short):
        return _over(short)
    wants = f"this call may use {shown(amount(short.wants, unit), unit)}"
    if short.spent >= short.limit:
        wants = f"{shown(short.spent, unit)} are spent"
    ends = "" if short.until is None else f"; its window ends at {short.until:%Y-%m-%dT%H:%MZ}"
    what = shown(short.limit, unit)
    left = shown(max(0, short.limit - short.spent), unit)
    told = f"The budget of {short.account!r} is {what}: {wants}, and {left} are left{ends}."
    return f"{told} Raise it with `runwright budgets raise {short.account!r} --{unit} ...`."


def _over(short: Shortage) -> str:
    wants = amount(short.wants, short.unit)
    who = f"{parse_account(short.account).of} and the runs below it"
    if short.unit != "usd":
        return over_limit(short.limit, used=short.spent, wants=wants, who=who)
    used, limit = shown(short.spent, "usd"), shown(short.limit, "usd")
    told = f"{who} spent {used} of {limit}"
    more = "" if short.spent >= short.limit else f", and this call may use {shown(wants, 'usd')}"
    return f"{told}{more}; raise its limits.usd."


def over_limit(limit: int, *, used: int, wants: int = 0, who: str = "The run") -> str:
    """That a run is at its agent's limit of tokens, or that its next call may use more than is left."""
    told = f"{who} used {used} tokens of {limit}"
    if used >= limit:
        return f"{told}; raise limits.tokens."
    return f"{told}, and this call may use {wants}; raise limits.tokens, or lower max_tokens."


def _is_limit(short: Shortage) -> bool:
    return parse_account(short.account).scope == LIMITS


def shown(value: int, unit: Unit) -> str:
    """An amount with its unit."""
    return f"{format_usd(value)} USD" if unit == "usd" else f"{value} {unit}"


def _used(call: Call[T], error: BaseException, *, is_sent: bool) -> Spend:
    """What a failed attempt counts as: nothing where it used nothing for certain, else what it might have used."""
    is_unused = isinstance(error, NotSent | ConfigError) or (
        isinstance(error, ModelError) and error.is_unused and not call.trail.is_begun
    )
    if not is_sent or is_unused:
        return NOTHING
    # Nobody reads on in a call that is cancelled.
    if isinstance(error, Exception) and (call.estimate.tokens or call.estimate.nano_usd):
        call.note(_counted(call))
    return call.estimate


def _counted(call: Call[T]) -> GuardDecided:
    return GuardDecided(
        layer="budget",
        action="counted",
        target=call.target,
        attempt=call.attempt,
        reason="it is not known what the attempt used, so what was reserved for it counts",
        figures={"nano_usd": call.estimate.nano_usd, "tokens": call.estimate.tokens},
    )


def _charged(call: Call[T], used: Spend) -> Spend:
    """What was used together with what a tool said that it spent."""
    if not call.trail.charged_nano:
        return used
    charged, call.trail.charged_nano = call.trail.charged_nano, 0
    return used + Spend(nano_usd=charged, calls=0)
